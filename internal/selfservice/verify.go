package selfservice

import (
	"context"
	"errors"
	"net/http"

	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/limit"
	"dex/internal/locale"
	"dex/internal/mail"
	"dex/internal/page"
	"dex/internal/session"
	"dex/internal/store"
	"dex/internal/ui"
)

// fieldAccount names the session of the account that a verification is about; without it, it is the browser's first of ours.
const fieldAccount = "account"

// Verifies reports whether users can prove that they read the mail to their address: those that are signed in.
func (s *SelfService) Verifies() bool { return s.cfg.Verification && s.cfg.Sessions != nil }

// VerifyURL returns where a session's user asks for a mail, by a post with the field account, the session's id; empty if there is
// nothing to verify.
func (s *SelfService) VerifyURL(e *session.Entry) string {
	if !s.Verifies() || e.Value.ConnectorID != connectorID || e.Value.Identity.EmailVerified {
		return ""
	}
	records, key := s.cfg.Users.Records(), local.Key(e.Value.Identity.Email)
	if records.Configured(key) || records.FallsBack(key) {
		return ""
	}
	return s.page.Path(sendPath, nil)
}

// sendVerification mails a link to somebody who is signed in.
func (s *SelfService) sendVerification(w http.ResponseWriter, r *http.Request) error {
	if err := s.page.ReadForm(r); err != nil {
		return err
	}
	e, err := s.account(r, r.PostForm.Get(fieldAccount))
	if err != nil {
		return err
	}
	u, err := s.userOfSession(r.Context(), &e.Value)
	if err != nil {
		return err
	}
	shown := ui.VerifyPage{Email: u.Email, HomeURL: s.page.HomePath(), Minutes: minutes(verificationLifetime)}
	if isVerified(u) {
		shown.Done = true
		s.page.Verify(w, r, http.StatusOK, shown)
		return nil
	}
	if err := s.cfg.Limits.Mail(r.Context(), local.Key(u.Email)); err != nil {
		if exceeded, tooMany := errors.AsType[*limit.Exceeded](err); tooMany {
			page.RetryAfter(w, exceeded)
			return page.Errorf(http.StatusTooManyRequests, "%s", tooManyMails(exceeded)).Because(err)
		}
		return err
	}
	l := &link{
		Email: local.Key(u.Email), Print: u.Fingerprint(), Expires: s.cfg.Now().Add(verificationLifetime), Session: e.Key, Mailed: true,
	}
	if err := s.cfg.Queue.Add(r.Context(), s.verificationMail(u, l, s.page.LanguageOf(r))); err != nil {
		return busy(err)
	}
	shown.Sent = true
	s.page.Verify(w, r, http.StatusOK, shown)
	return nil
}

func (s *SelfService) verificationMail(u *local.User, l *link, lang *locale.Language) mail.Job {
	return mail.Job{What: "verification of an address", Write: func(context.Context) (*mail.Message, error) {
		return s.writeVerification(u, l, lang)
	}}
}

// verify is the page behind such a link. Its button says that it was a person who has opened it.
func (s *SelfService) verify(w http.ResponseWriter, r *http.Request) error {
	token := r.URL.Query().Get(fieldToken)
	if r.Method == http.MethodPost {
		if err := s.page.ReadForm(r); err != nil {
			return err
		}
		token = r.PostForm.Get(fieldToken)
	}
	l, err := s.open(r.Context(), verification, token)
	if err != nil {
		return err
	}
	e, err := s.account(r, l.Session)
	if errors.Is(err, errSignedOut) {
		return s.elsewhere(w, r, verification, token)
	}
	if err != nil {
		return err
	}
	u, err := s.userOf(r.Context(), verification, l)
	if err != nil {
		return err
	}
	shown := ui.VerifyPage{PostURL: s.page.Path(verifyPath, nil), Token: token, Email: u.Email, HomeURL: s.page.HomePath()}
	if r.Method == http.MethodPost {
		if err := s.prove(context.WithoutCancel(r.Context()), u, e); err != nil {
			return notNow(err)
		}
	}
	shown.Done = r.Method == http.MethodPost || isVerified(u)
	s.page.Verify(w, r, http.StatusOK, shown)
	return nil
}

// prove notes that the user of a session reads the mail to their address, in the session too, which applications hear of.
func (s *SelfService) prove(ctx context.Context, u *local.User, e session.Entry) error {
	if _, err := s.setVerified(ctx, u); err != nil {
		return err
	}
	_, err := s.cfg.Sessions.Table().Update(ctx, e.Key, func(v *session.Session) error {
		if v.Identity.EmailVerified {
			return store.ErrUnchanged
		}
		v.Identity.EmailVerified = true
		return nil
	})
	if errors.Is(err, store.ErrNotFound) { // it has just ended
		return nil
	}
	return err
}

// errSignedOut says that the browser has no such account.
var errSignedOut = page.Errorf(http.StatusForbidden, "You’re not logged in.").Hint("Log in, then try again.")

// account returns one of the browser's accounts of ours: that of a session, or the first.
func (s *SelfService) account(r *http.Request, sessionID string) (session.Entry, error) {
	b, err := s.cfg.Sessions.Browser(r)
	if err != nil {
		return session.Entry{}, notNow(err)
	}
	for _, e := range b.Accounts() {
		if e.Value.ConnectorID == connectorID && (sessionID == "" || e.Key == sessionID) {
			return e, nil
		}
	}
	return session.Entry{}, errSignedOut
}

// userOfSession returns who is signed in, as far as a mail may be sent to them.
func (s *SelfService) userOfSession(ctx context.Context, v *session.Session) (*local.User, error) {
	u, outcome, err := s.find(ctx, v.Identity.Email)
	switch {
	case err != nil:
		return nil, notNow(err)
	case outcome != event.ResetMailed || u.UserID != v.Identity.UserID:
		return nil, page.Errorf(http.StatusForbidden, "The email address of this account can't be verified.").
			Hint("If you think it should, ask the people who run this service.").Because(errors.New(string(outcome)))
	}
	return u, nil
}

func isVerified(u *local.User) bool { return u.EmailVerified == nil || *u.EmailVerified }
