package selfservice

import (
	"context"
	"errors"
	"net/http"

	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/refresh"
	"dex/internal/store"
	"dex/internal/ui"
)

// Fields of the form for a new password.
const (
	fieldPassword = "password"
	fieldAgain    = "password_again"
)

// password is the page behind a link of a kind, on which somebody sets a password.
func (s *SelfService) password(k kind) page.Step {
	return func(w http.ResponseWriter, r *http.Request) error {
		token := r.URL.Query().Get(fieldToken)
		if r.Method == http.MethodPost {
			if err := s.page.ReadForm(r); err != nil {
				return err
			}
			token = r.PostForm.Get(fieldToken)
		}
		l, err := s.open(r.Context(), k, token)
		if err != nil {
			return err
		}
		u, err := s.userOf(r.Context(), k, l) // first, as the browser of a link that was used has forgotten its part
		if err != nil {
			return err
		}
		if k == reset && !s.cookie.has(r, l.Browser) {
			return s.elsewhere(w, r, k, token)
		}
		form := ui.NewPasswordPage{PostURL: s.page.Path(k.path(), nil), Token: token, Username: u.Email, Invited: k == invitation}
		if r.Method != http.MethodPost {
			s.page.NewPassword(w, r, http.StatusOK, form)
			return nil
		}
		return s.setPassword(w, r, k, l, u, form)
	}
}

// elsewhere says that a link was opened in another browser than it was asked for in, and shows it to be copied there.
func (s *SelfService) elsewhere(w http.ResponseWriter, r *http.Request, k kind, token string) error {
	u := s.cfg.IssuerURL.JoinPath(k.path())
	s.page.Report(r, event.LoginFailed{Status: http.StatusForbidden, Err: errors.New("the link was asked for in another browser")})
	s.page.Elsewhere(w, r, http.StatusForbidden, ui.ElsewherePage{
		Link: u.String() + "?" + fieldToken + "=" + token, Verification: k == verification,
	})
	return nil
}

// setPassword sets what the form has.
func (s *SelfService) setPassword(w http.ResponseWriter, r *http.Request, k kind, l *link, u *local.User, form ui.NewPasswordPage) error {
	chosen, again := r.PostForm.Get(fieldPassword), r.PostForm.Get(fieldAgain)
	if oauth.TooLong("password", chosen) || oauth.TooLong("password", again) {
		return page.Errorf(http.StatusBadRequest, "The username or the password is too long.")
	}
	if chosen != again {
		form.Message = "The two passwords differ. Type the same one twice."
		s.page.NewPassword(w, r, http.StatusBadRequest, form)
		return nil
	}
	// A browser that hangs up must not leave half of it.
	ctx := context.WithoutCancel(r.Context())
	done, err := s.change(ctx, k, l, u, chosen)
	if unfit, ok := errors.AsType[*local.Unfit](err); ok {
		form.Message = unfit.Reason
		s.page.NewPassword(w, r, http.StatusBadRequest, form)
		return nil
	}
	if err != nil {
		return err
	}
	s.cookie.forget(w)
	s.page.PasswordSet(w, r, http.StatusOK, ui.PasswordSetPage{
		LoginURL: s.loginPath(l.Login), FromLogin: l.Login != "", Invited: k == invitation, Incomplete: !done,
	})
	return nil
}

// change sets a password, and ends whatever was begun with the one before. It reports whether all of that has ended. After an error
// the link is still good, unless the storage has changed the password and could not say so.
//
// Sessions end first, so that a storage that fails then leaves something to try again, and once more afterwards, for those that
// somebody has begun meanwhile with the password before.
func (s *SelfService) change(ctx context.Context, k kind, l *link, u *local.User, chosen string) (done bool, err error) {
	if err := s.cfg.Policy.Check(chosen, u); err != nil {
		if _, ok := errors.AsType[*local.Unfit](err); ok {
			return false, err
		}
		return false, notNow(err)
	}
	if err := s.endAll(ctx, u.UserID); err != nil {
		return false, notNow(err)
	}
	err = s.cfg.Users.SetPassword(ctx, u.Email, u.Hash, chosen)
	_, unfit := errors.AsType[*local.Unfit](err)
	switch {
	case unfit:
		return false, err
	case errors.Is(err, local.ErrChanged), errors.Is(err, local.ErrUnknown), errors.Is(err, local.ErrFixed):
		return false, s.gone(k, err)
	case err != nil:
		return false, notNow(err)
	}
	changed := event.PasswordChanged{ConnectorID: connectorID, UserID: u.UserID, By: event.ByReset}
	if k == invitation {
		changed.By = event.ByInvitation
	}
	s.cfg.Events.Emit(ctx, changed)
	if l.Mailed {
		if _, err := s.setVerified(ctx, u); err != nil {
			s.cfg.Log.WarnContext(ctx, "email address is not marked as verified", "user_id", u.UserID, "err", err)
		}
	}
	if err := s.endAll(ctx, u.UserID); err != nil {
		s.cfg.Log.ErrorContext(ctx, "sessions and tokens of a user with a new password could not all be ended", "user_id", u.UserID, "err", err)
		return false, nil
	}
	return true, nil
}

// endAll ends the user's sessions in all browsers, the refresh tokens with all other tokens of their logins, and codes that have not been
// redeemed yet.
func (s *SelfService) endAll(ctx context.Context, userID string) error {
	ctx = store.Latest(ctx)
	if _, err := s.cfg.Identities.EndAll(ctx, userID, connectorID); err != nil {
		return err
	}
	if s.cfg.SignOut != nil {
		if err := s.cfg.SignOut.EndUser(ctx, userID, connectorID, event.SessionPassword); err != nil {
			return err
		}
	}
	return s.cfg.Families.List(ctx, userID, connectorID, func(l refresh.Listed) error {
		// As at the revocation endpoint: tokens first, so that the login is still found if this is cut off.
		if err := s.cfg.Revocations.RevokeLogin(ctx, l.FamilyID); err != nil {
			return err
		}
		if err := s.cfg.Families.End(ctx, l.FamilyID); err != nil {
			return err
		}
		login := event.Login{ID: l.FamilyID, ClientID: l.ClientID, ConnectorID: l.ConnectorID, UserID: l.UserID}
		s.cfg.Events.Emit(ctx, event.Revoked{Login: login, All: true})
		return nil
	})
}

// setVerified notes that a user reads the mail to their address; false if that was known.
func (s *SelfService) setVerified(ctx context.Context, u *local.User) (changed bool, err error) {
	if u.EmailVerified == nil || *u.EmailVerified {
		return false, nil
	}
	if err := s.cfg.Users.Verified(ctx, u.Email); err != nil {
		return false, err
	}
	s.cfg.Events.Emit(ctx, event.EmailVerified{ConnectorID: connectorID, UserID: u.UserID})
	return true, nil
}
