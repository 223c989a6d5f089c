package login

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"dex/internal/event"
	"dex/internal/factor"
	"dex/internal/page"
	"dex/internal/ui"
)

// MaxCredential bounds what a browser says of a security key or passkey, in bytes.
const MaxCredential = 64 << 10

// webAuthn shows the page of a security key or passkey. Its script does the rest.
func (f *Flow) webAuthn(v *visit, now turn, r *factor.Record) error {
	id := v.r.URL.Query().Get("authenticator")
	if a := f.cfg.Factors.find(id); a == nil || a.Type != factor.TypeWebAuthn {
		return errNoAuthenticator()
	}
	mode := ui.WebAuthnLogin
	if now.setUp {
		mode = ui.WebAuthnRegister
	}
	f.page.WebAuthn(v.w, v.r, http.StatusOK, ui.WebAuthnPage{
		Mode: mode, AuthenticatorID: id, RecoveryURL: f.recoveryPath(v, now, r, id), OtherURL: f.otherPath(v, now),
	})
	return nil
}

// A ceremony is a step of a script with a security key or passkey. It returns the options for the browser, or nil where the user has
// passed.
type ceremony func(v *visit, now turn, r *factor.Record, id string, body []byte) (options json.RawMessage, err error)

// BeginRegistration gives a script what it takes to register a security key or passkey.
func (f *Flow) BeginRegistration() http.Handler {
	return f.ceremony(true, func(v *visit, _ turn, _ *factor.Record, id string, _ []byte) (json.RawMessage, error) {
		return f.cfg.Factors.BeginRegistration(v.r.Context(), v.factorUser(), id, v.ID)
	})
}

// FinishRegistration takes a registered security key or passkey from a script.
func (f *Flow) FinishRegistration() http.Handler {
	return f.ceremony(true, func(v *visit, now turn, r *factor.Record, id string, body []byte) (json.RawMessage, error) {
		var named struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal(body, &named); err != nil {
			return nil, errors.Join(factor.ErrCeremony, err)
		}
		c, err := f.cfg.Factors.FinishRegistration(v.r.Context(), v.factorUser(), id, v.ID, named.Name, body, f.condition(now))
		if err != nil {
			return nil, err
		}
		return nil, f.passFactor(v, id, c.Methods(), r.RecoveryLeft() == 0)
	})
}

// BeginAssertion gives a script what it takes to ask for a security key or passkey.
func (f *Flow) BeginAssertion() http.Handler {
	return f.ceremony(false, func(v *visit, _ turn, _ *factor.Record, id string, _ []byte) (json.RawMessage, error) {
		return f.cfg.Factors.BeginAssertion(v.r.Context(), v.factorUser(), id, v.ID)
	})
}

// FinishAssertion takes from a script what a security key or passkey has signed.
func (f *Flow) FinishAssertion() http.Handler {
	return f.ceremony(false, func(v *visit, _ turn, _ *factor.Record, id string, body []byte) (json.RawMessage, error) {
		a, err := f.cfg.Factors.FinishAssertion(v.r.Context(), v.factorUser(), id, v.ID, body)
		if err != nil {
			return nil, err
		}
		return nil, f.passFactor(v, id, a.Methods, false)
	})
}

// ceremony serves a step of a script. It fits only where the login asks for that authenticator next: a key can be registered only where
// the user has none, or has just passed what they have.
func (f *Flow) ceremony(setUp bool, do ceremony) http.Handler {
	return f.answerScripts(func(w http.ResponseWriter, r *http.Request) error {
		if !f.page.OwnForm(r) {
			return page.Errorf(http.StatusForbidden, "The form was sent from another site.")
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return page.Unreadable("The request can't be read.", err)
		}
		id := r.URL.Query().Get("authenticator")
		at := &factorPage{authenticator: id, script: true}
		at.serve = func(v *visit, now turn, r *factor.Record) error {
			if now.setUp != setUp {
				return errPassed
			}
			if a := f.cfg.Factors.find(id); a == nil || a.Type != factor.TypeWebAuthn {
				return errNoAuthenticator()
			}
			options, err := do(v, now, r, id, body)
			if err != nil {
				return failedCeremony(err)
			}
			if options == nil {
				return errPassed
			}
			answer(v.w, http.StatusOK, options)
			return nil
		}
		v, err := f.atFactor(w, r, at)
		if err != nil {
			return err
		}
		err = f.advance(v)
		if _, refused := errors.AsType[*refused](err); refused || errors.Is(err, errPassed) { // the page that comes next tells the application
			answer(w, http.StatusOK, map[string]string{"status": "ok", "redirect": f.factorsPath(v, pathFactors)})
			return nil
		}
		return err
	})
}

// failedCeremony returns what a user is told whose security key or passkey isn't accepted.
func failedCeremony(err error) error {
	if _, ok := errors.AsType[*page.Error](err); ok {
		return err
	}
	switch {
	case errors.Is(err, factor.ErrNotFirst):
		return errPassed
	case errors.Is(err, factor.ErrClone):
		return page.Errorf(http.StatusUnauthorized, "This key may have been copied, so it’s no longer accepted. Use another one, and tell your administrator.").
			Because(err)
	case errors.Is(err, factor.ErrTooMany):
		return page.Errorf(http.StatusConflict, "You have as many keys as you may. Remove one first.").Because(err)
	case errors.Is(err, factor.ErrTaken):
		return page.Errorf(http.StatusConflict, "You have added this key already.").Because(err)
	case errors.Is(err, factor.ErrNotEnrolled):
		return errNotSetUp(err)
	case errors.Is(err, factor.ErrCeremony), errors.Is(err, factor.ErrReplayed):
		return page.Errorf(http.StatusUnauthorized, "That didn’t work. Try again.").Because(err)
	}
	return page.Errorf(http.StatusInternalServerError, "Your key can't be checked.").Hint("Try again in a moment.").Because(err)
}

// answerScripts turns a step into a handler that answers scripts: its errors are JSON.
func (f *Flow) answerScripts(s page.Step) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = ui.Wishing(r)
		r, _ = withVisit(r)
		err := s(w, r)
		if err == nil {
			return
		}
		e, ok := errors.AsType[*page.Error](err)
		if !ok {
			e = page.Errorf(http.StatusInternalServerError, "Something went wrong on our side.").Because(err)
		}
		f.page.Report(r, event.LoginFailed{Status: e.Status, Err: err})
		answer(w, e.Status, map[string]string{"error": f.page.LanguageOf(r).Say(e.Message)})
	})
}

// ScriptError answers a request that no handler gets, in the form that scripts expect.
func ScriptError(w http.ResponseWriter, _ *http.Request, status int) {
	answer(w, status, map[string]string{"error": http.StatusText(status)})
}

func answer(w http.ResponseWriter, status int, body any) {
	document, err := json.Marshal(body)
	if err != nil { // never: the bodies are ours
		status, document = http.StatusInternalServerError, []byte(`{}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(document, '\n'))
}
