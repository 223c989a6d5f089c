package selfservice

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"strings"

	"dex/internal/client"
	"dex/internal/connector/local"
	"dex/internal/locale"
	"dex/internal/mail"
)

// A letter is what a mail says, in one language.
type letter struct {
	Lang, Dir string
	Subject   string
	Before    []string // paragraphs before the link
	Button    string   // what the link is called
	Link      string
	After     []string
}

var letterPage = template.Must(template.New("letter").Parse(`<!DOCTYPE html>
<html lang="{{ .Lang }}" dir="{{ .Dir }}">
<head><meta charset="utf-8"><title>{{ .Subject }}</title></head>
<body style="font-family: sans-serif; font-size: 16px; line-height: 1.5; color: #1d2733; background: #ffffff">
<div style="max-width: 36em; margin: 0 auto; padding: 1em">
{{- range .Before }}
<p>{{ . }}</p>
{{- end }}
<p><a href="{{ .Link }}" style="display: inline-block; padding: .6em 1.2em; border-radius: 4px; background: #1f5fbf; color: #ffffff">{{ .Button }}</a></p>
{{- range .After }}
<p>{{ . }}</p>
{{- end }}
</div>
</body>
</html>
`))

// message returns a letter to a user. Links are our own, so the template escapes nothing in them that matters.
func (l *letter) message(u *local.User) (*mail.Message, error) {
	var html strings.Builder
	if err := letterPage.Execute(&html, l); err != nil {
		return nil, &mail.PermanentError{Err: fmt.Errorf("write mail: %w", err)}
	}
	text := append(append(append([]string(nil), l.Before...), l.Link), l.After...)
	return &mail.Message{
		To: u.Email, UserID: u.UserID, Language: l.Lang, Subject: l.Subject, Text: strings.Join(text, "\n\n") + "\n", HTML: html.String(),
	}, nil
}

// begin begins a letter.
func begin(lang *locale.Language, subject, button, link string) *letter {
	return &letter{Lang: lang.Tag, Dir: lang.Direction(), Subject: subject, Button: button, Link: link}
}

func (s *SelfService) writeReset(ctx context.Context, u *local.User, l *link, clientID string, lang *locale.Language) (*mail.Message, error) {
	address, err := s.address(reset, l)
	if err != nil {
		return nil, &mail.PermanentError{Err: err}
	}
	name := s.cfg.Pages.IssuerName()
	text := begin(lang, lang.Text("Set a new password for {name}", name), lang.Text("Set a new password"), address)
	app, err := s.clientName(ctx, clientID)
	if err != nil {
		return nil, err
	}
	if app == "" {
		text.Before = append(text.Before, lang.Text("Somebody has asked to set a new password for {account} at {name}.", u.Email, name))
	} else {
		text.Before = append(text.Before,
			lang.Text("Somebody who wanted to log in to {client} has asked to set a new password for {account} at {name}.", app, u.Email, name))
	}
	text.Before = append(text.Before, lang.Text("If it was you, open this link in the same browser. It works once, for {n} minutes:", minutes(s.cfg.ResetLifetime)))
	text.After = append(text.After,
		lang.Text("If it wasn’t you, ignore this email: without this link nothing changes. Don’t pass the link on."),
		lang.Text("A new password logs you out everywhere."))
	return text.message(u)
}

// clientName returns the name of an application; empty if there is none.
func (s *SelfService) clientName(ctx context.Context, clientID string) (string, error) {
	if clientID == "" {
		return "", nil
	}
	c, err := s.cfg.Clients.Get(ctx, clientID)
	if errors.Is(err, client.ErrUnknown) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return c.DisplayName(), nil
}

// writeInvitation is in the language of the configuration, as nobody knows the user's.
func (s *SelfService) writeInvitation(u *local.User, l *link) (*mail.Message, error) {
	address, err := s.address(invitation, l)
	if err != nil {
		return nil, &mail.PermanentError{Err: err}
	}
	lang, name := s.cfg.Pages.LanguageFor(""), s.cfg.Pages.IssuerName()
	text := begin(lang, lang.Text("Your account at {name}", name), lang.Text("Choose a password"), address)
	text.Before = append(text.Before,
		lang.Text("You’re invited to {name}. Your account is {account}.", name, u.Email),
		lang.Text("Choose a password with this link. It works once, until {time}:", lang.Time(l.Expires)))
	text.After = append(text.After, lang.Text("Don’t pass the link on. If you didn’t expect this email, ignore it."))
	return text.message(u)
}

func (s *SelfService) writeVerification(u *local.User, l *link, lang *locale.Language) (*mail.Message, error) {
	address, err := s.address(verification, l)
	if err != nil {
		return nil, &mail.PermanentError{Err: err}
	}
	name := s.cfg.Pages.IssuerName()
	text := begin(lang, lang.Text("Is this your email address?"), lang.Text("Confirm this address"), address)
	text.Before = append(text.Before,
		lang.Text("An account at {name} has the email address {account}.", name, u.Email),
		lang.Text("If it is yours, open this link in the browser in which you’re logged in. It works for {n} minutes:",
			minutes(verificationLifetime)))
	text.After = append(text.After, lang.Text("If it isn’t, ignore this email."))
	return text.message(u)
}
