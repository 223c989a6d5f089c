package selfservice

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/limit"
	"dex/internal/locale"
	"dex/internal/mail"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/ui"
)

// Fields of the form, and parameters of its address.
const (
	fieldEmail  = "email"
	fieldLogin  = "login"  // the id of the login that is interrupted
	fieldClient = "client" // the application that it is for
)

// ResetURL returns the path at which somebody asks for a link, in the midst of a login for an application; empty if nobody can. Both ids
// may be empty.
func (s *SelfService) ResetURL(loginID, clientID string) string {
	if !s.cfg.Reset {
		return ""
	}
	params := url.Values{}
	for name, value := range map[string]string{fieldLogin: loginID, fieldClient: clientID} {
		if value != "" {
			params.Set(name, value)
		}
	}
	return s.page.Path(resetPath, params)
}

// asked is a request for a link.
type asked struct {
	email, login, client string
}

func (a asked) tooLong() bool {
	return len(a.email) > mail.MaxAddress || oauth.TooLong("client_id", a.login) || oauth.TooLong("client_id", a.client)
}

// ask asks for an address, and mails a link to it. The answer, and the time it takes, is the same whether or not anybody has the
// address: all that depends on that comes later.
func (s *SelfService) ask(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		query := r.URL.Query()
		a := asked{login: query.Get(fieldLogin), client: query.Get(fieldClient)}
		if a.tooLong() {
			a = asked{}
		}
		s.page.Reset(w, r, http.StatusOK, s.resetPage(a))
		return nil
	}
	if err := s.page.ReadForm(r); err != nil {
		return err
	}
	a := asked{strings.TrimSpace(r.PostForm.Get(fieldEmail)), r.PostForm.Get(fieldLogin), r.PostForm.Get(fieldClient)}
	if a.tooLong() {
		return page.Errorf(http.StatusBadRequest, "The form can't be read.")
	}
	shown := s.resetPage(a)
	if _, err := mail.Address(a.email); err != nil {
		shown.Message = "This is not an email address. Check it, then try again."
		s.page.Reset(w, r, http.StatusBadRequest, shown)
		return nil //nolint:nilerr // the user is told
	}
	if err := s.cfg.Limits.Mail(r.Context(), local.Key(a.email)); err != nil {
		exceeded, tooMany := errors.AsType[*limit.Exceeded](err)
		if !tooMany {
			return err
		}
		s.page.Report(r, event.LoginFailed{Status: http.StatusTooManyRequests, Err: err})
		page.RetryAfter(w, exceeded)
		shown.Message = tooManyMails(exceeded)
		s.page.Reset(w, r, http.StatusTooManyRequests, shown)
		return nil
	}
	browser := s.cookie.give(w, r)
	if err := s.cfg.Queue.Add(r.Context(), s.resetMail(a, browser, s.page.LanguageOf(r))); err != nil {
		return busy(err)
	}
	shown.Sent = true
	s.page.Reset(w, r, http.StatusOK, shown)
	return nil
}

func (s *SelfService) resetPage(a asked) ui.ResetPage {
	p := ui.ResetPage{
		PostURL: s.page.Path(resetPath, nil), Email: a.email, Minutes: minutes(s.cfg.ResetLifetime),
		Fields: []ui.FormField{{Name: fieldLogin, Value: a.login}, {Name: fieldClient, Value: a.client}},
	}
	if a.login != "" {
		p.BackURL = s.loginPath(a.login)
	}
	return p
}

// loginPath returns the address of our own password form, in the midst of a login; the home page's without one.
func (s *SelfService) loginPath(loginID string) string {
	if loginID == "" {
		return s.page.HomePath()
	}
	return s.page.Path("/auth/"+connectorID+"/login", url.Values{"state": {loginID}})
}

// resetMail is the mail with the link, if there is to be one.
func (s *SelfService) resetMail(a asked, browser []byte, lang *locale.Language) mail.Job {
	expires := s.cfg.Now().Add(s.cfg.ResetLifetime)
	return mail.Job{What: "password reset", Write: func(ctx context.Context) (*mail.Message, error) {
		u, outcome, err := s.find(ctx, a.email)
		if err != nil {
			return nil, err
		}
		var m *mail.Message
		if outcome == event.ResetMailed {
			l := &link{Email: local.Key(u.Email), Print: u.Fingerprint(), Expires: expires, Browser: browser, Login: a.login, Mailed: true}
			if m, err = s.writeReset(ctx, u, l, a.client, lang); err != nil {
				return nil, err
			}
		}
		asked := event.PasswordResetAsked{ConnectorID: connectorID, Outcome: outcome}
		if u != nil {
			asked.UserID = u.UserID
		}
		s.cfg.Events.Emit(ctx, asked)
		return m, nil
	}}
}

// canGetMail reports whether a user's login name is an address.
func canGetMail(u *local.User) bool {
	_, err := mail.Address(u.Email)
	return err == nil
}

func tooManyMails(exceeded *limit.Exceeded) string {
	return fmt.Sprintf("You have asked for too many emails. Wait %d minutes, then try again.", minutes(exceeded.Wait))
}

// busy is the error for a queue that is full.
func busy(cause error) error {
	return page.Errorf(http.StatusServiceUnavailable, "Too many emails are waiting to be sent.").Hint("Try again in a few minutes.").Because(cause)
}

// minutes rounds up.
func minutes(d time.Duration) int { return max(1, int((d+time.Minute-1)/time.Minute)) }
