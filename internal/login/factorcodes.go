package login

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"time"

	"dex/internal/factor"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/store"
	"dex/internal/ui"
	"dex/internal/wait"
)

// A setup is an authenticator app that a user is setting up. Its key is kept with the login until a code of the app has confirmed it.
type setup struct {
	Authenticator string `json:"authenticator"`
	Secret        string `json:"secret"`
}

// totp asks for the code of an authenticator app, which the user may have to set up first.
func (f *Flow) totp(v *visit, now turn, r *factor.Record) error {
	id := v.r.URL.Query().Get("authenticator")
	a := f.cfg.Factors.find(id)
	if a == nil || a.Type != factor.TypeTOTP {
		return errNoAuthenticator()
	}
	if now.setUp {
		if err := f.beginSetup(v, id); err != nil {
			return err
		}
	}
	shown := f.totpPage(v, now, r, a)
	if v.r.Method != http.MethodPost {
		f.page.TOTP(v.w, v.r, http.StatusOK, shown)
		return nil
	}
	code := v.r.PostForm.Get("totp")
	got, err := f.try(v, func(ctx context.Context, u factor.User) error {
		if now.setUp {
			return f.cfg.Factors.ConfirmTOTP(ctx, u, id, v.pending.Value.Setup.Secret, code, f.condition(now))
		}
		return f.cfg.Factors.CheckTOTP(ctx, u, id, code)
	})
	if err != nil {
		return err
	}
	if got.right {
		// The app may have been set up by an answer to this login that got lost.
		setUp := now.setUp || v.pending.Value.Setup != nil && v.pending.Value.Setup.Authenticator == id
		return f.passed(v, id, []string{oauth.MethodOneTime}, setUp && r.RecoveryLeft() == 0)
	}
	if got.late || got.used && f.hasPassed(v, id) {
		return f.advance(v)
	}
	shown.Invalid, shown.Message = true, got.message
	f.retryLater(v, got)
	f.page.TOTP(v.w, v.r, got.status, shown)
	return nil
}

func errNoAuthenticator() error {
	return page.Errorf(http.StatusBadRequest, "There is no such page here.").
		Hint("Go back to the application and log in again.")
}

// passed goes on with a login whose user has passed a factor.
func (f *Flow) passed(v *visit, id string, methods []string, first bool) error {
	if err := f.passFactor(v, id, methods, first); err != nil {
		return err
	}
	return f.advance(v)
}

// secondPress is how long to wait for the first press of a button that was pressed twice.
const secondPress = time.Second

// hasPassed reports whether the same login has passed a factor meanwhile: its button was pressed twice, and the code is good once.
func (f *Flow) hasPassed(v *visit, id string) bool {
	ctx, cancel := context.WithTimeout(store.Latest(v.r.Context()), secondPress)
	defer cancel()
	for {
		e, err := f.pending.Get(ctx, v.ID)
		if err != nil || !bytes.Equal(e.Value.Key, v.pending.Value.Key) {
			return false
		}
		if _, passed := e.Value.Passed[id]; passed {
			v.hold(e)
			return true
		}
		if wait.For(ctx, secondPress/10) != nil {
			return false
		}
	}
}

// retryLater tells the browser how long to wait.
func (f *Flow) retryLater(v *visit, got guess) {
	if got.wait != nil {
		page.RetryAfter(v.w, got.wait)
	}
}

// beginSetup makes the key of an authenticator app, one for each login.
func (f *Flow) beginSetup(v *visit, id string) error {
	if s := v.pending.Value.Setup; s != nil && s.Authenticator == id {
		return nil
	}
	return f.change(v, func(stored *pending) {
		if stored.Setup == nil || stored.Setup.Authenticator != id {
			stored.Setup = &setup{Authenticator: id, Secret: factor.NewTOTPSecret()}
		}
	})
}

func (f *Flow) totpPage(v *visit, now turn, r *factor.Record, a *factor.Authenticator) ui.TOTPPage {
	shown := ui.TOTPPage{
		PostURL: v.r.URL.RequestURI(), Connector: v.user.ConnectorID,
		RecoveryURL: f.recoveryPath(v, now, r, a.ID), OtherURL: f.otherPath(v, now),
	}
	secret := ""
	if now.setUp {
		secret = v.pending.Value.Setup.Secret
	}
	key := f.cfg.Factors.TOTPKey(v.factorUser(), a.ID, secret)
	shown.Issuer = key.Issuer
	if now.setUp {
		shown.Secret, shown.Account = key.Secret, key.Account
		shown.QRCodeSVG, shown.QRCode = key.SVG, base64.StdEncoding.EncodeToString(key.PNG)
	}
	return shown
}

// recovery takes a recovery code instead of a factor.
func (f *Flow) recovery(v *visit, now turn, r *factor.Record) error {
	id := v.r.URL.Query().Get("authenticator")
	if now.setUp || f.cfg.Factors.find(id) == nil {
		return errNoAuthenticator()
	}
	shown := ui.RecoveryPage{PostURL: v.r.URL.RequestURI(), OtherURL: f.factorPath(v, id)}
	if v.r.Method != http.MethodPost {
		f.page.Recovery(v.w, v.r, http.StatusOK, shown)
		return nil
	}
	got, err := f.try(v, func(ctx context.Context, u factor.User) error {
		_, err := f.cfg.Factors.UseRecoveryCode(ctx, u, v.r.PostForm.Get("code"))
		return err
	})
	if err != nil {
		return err
	}
	if got.right {
		return f.passed(v, id, []string{oauth.MethodOneTime}, false)
	}
	if got.used && f.hasPassed(v, id) {
		return f.advance(v)
	}
	shown.Invalid, shown.Message = true, got.message
	f.retryLater(v, got)
	f.page.Recovery(v.w, v.r, got.status, shown)
	return nil
}
