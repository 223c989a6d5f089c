package account

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"dex/internal/event"
	"dex/internal/factor"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/telemetry"
	"dex/internal/token"
)

// lately is how long ago somebody may have proved who they are to change how they do.
const lately = 15 * time.Minute

const (
	// longestID bounds the id of an authenticator, in bytes, and longestCredential that of a credential, in base64: WebAuthn has at most
	// 1023 bytes.
	longestID         = 256
	longestCredential = 1364
)

// A recent visit is that of somebody who has just proved who they are.
type recent struct {
	*visit
	target
	record factor.Record // the user's factors; empty where there are none
}

// A sensitive page changes how its user proves who they are.
type sensitive func(v *recent) error

// serveFresh serves a page for people who have proved who they are lately. Others are led to a login, and back.
func (a *Account) serveFresh(path string, serve sensitive) http.Handler {
	return a.page.Serve(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Cache-Control", "no-store")
		if err := a.read(r); err != nil {
			return err
		}
		at := target{Page: path, Authenticator: r.Form.Get(fieldAuthenticator), Credential: r.Form.Get(fieldCredential)}
		if len(at.Authenticator) > longestID || len(at.Credential) > longestCredential {
			return errNoPage
		}
		v, err := a.visit(w, r)
		switch {
		case errors.Is(err, errSignedOut) && r.Method == http.MethodGet:
			a.cfg.Login.Begin(w, r, a.cfg.Purpose, &request{purpose: a.cfg.Purpose, Target: at}, "")
			return nil
		case errors.Is(err, errSignedOut), err == nil && a.isBlocked(v):
			a.home(w, r, "")
			return nil
		case err != nil:
			return err
		}
		fresh, err := a.freshen(v, at)
		if err != nil {
			return err
		}
		if fresh == nil {
			return a.proveAgain(v, at)
		}
		return serve(fresh)
	})
}

var errNoPage = page.Errorf(http.StatusNotFound, "There is no page at this address.")

// read reads a page's parameters, or its form.
func (a *Account) read(r *http.Request) error {
	if r.Method == http.MethodPost {
		return a.page.ReadForm(r)
	}
	return page.Parse(r, "The request can't be read.")
}

// freshen returns a visit of somebody who has proved lately who they are, by a factor too if they have one; nil for others.
func (a *Account) freshen(v *visit, at target) (*recent, error) {
	record, err := a.factorsOf(v)
	if err != nil {
		return nil, err
	}
	if !a.isLate(v.Value.AuthTime) || a.lacksFactor(v, &record) {
		return nil, nil
	}
	return &recent{v, at, record}, nil
}

// lacksFactor reports whether the user has factors, and has passed none of them lately.
func (a *Account) lacksFactor(v *visit, r *factor.Record) bool {
	return a.hasAny(r) && !a.hasPassed(v, r)
}

// stillFresh is what must hold when a factor is added. Otherwise whoever has the password alone could add one of theirs while the user
// sets up their first.
func (a *Account) stillFresh(v *recent) factor.Condition {
	return func(r *factor.Record) error {
		if a.lacksFactor(v.visit, r) {
			return factor.ErrNotFirst
		}
		return nil
	}
}

// isLate reports whether a time is recent. One in the future is of another replica's clock.
func (a *Account) isLate(t time.Time) bool { return a.cfg.Now().Sub(t) <= lately }

// hasPassed reports whether the user has passed one of their factors lately.
func (a *Account) hasPassed(v *visit, r *factor.Record) bool {
	for id, at := range v.browser.Factors(v.Key) {
		if r.Has(id) && a.isLate(at) {
			return true
		}
	}
	return false
}

// stepUp notes in the session that the user has proved to have what they have just set up, so that they can go on here.
func (a *Account) stepUp(v *recent, methods ...string) {
	ctx := v.r.Context()
	passed, now := map[string]time.Time{}, a.cfg.Now()
	for _, one := range token.FactorsOf(v.Authenticator, methods) {
		passed[one] = now
	}
	err := v.browser.StepUp(ctx, v.Entry, passed, append(methods, oauth.MethodMultiple))
	if err == nil {
		err = v.browser.Keep(v.w)
	}
	if err != nil { // then the user has to log in again before the next change
		a.cfg.Log.WarnContext(ctx, "a second factor that was set up could not be noted in the session", "session_id", v.Key, "err", err)
	}
}

// proveAgain leads to a login of the same user, from which they come back.
func (a *Account) proveAgain(v *visit, at target) error {
	if v.r.Method == http.MethodPost {
		http.Redirect(v.w, v.r, at.path(a.page, v.Key, false), http.StatusSeeOther) //nolint:gosec // G710: a page of ours
		return nil
	}
	if v.r.Form.Has(paramAgain) { // or a source that asks nobody anything would be asked for ever
		return page.Errorf(http.StatusForbidden, "For this you have to log in again.").
			Retry(at.path(a.page, v.Key, false), "Log in again")
	}
	a.cfg.Login.Begin(v.w, v.r, a.cfg.Purpose, &request{
		purpose: a.cfg.Purpose, Subject: v.Value.Subject(), ConnectorID: v.connectorID(), Target: at,
	}, "")
	return nil
}

// A step is a part of a ceremony between a script and an authenticator. It returns what the script is told.
type step func(v *recent) (told any, err error)

// serveScript serves a script of a page that serveFresh has shown.
func (a *Account) serveScript(do step) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		told, err := a.stepOf(w, r, do) //nolint:contextcheck // the visit has the request, and so its context
		status := http.StatusOK
		if err != nil {
			e, ok := errors.AsType[*page.Error](err)
			if !ok {
				e = page.Errorf(http.StatusInternalServerError, "Something went wrong on our side.").Because(err)
			}
			a.page.Report(r, event.LoginFailed{Status: e.Status, Err: err})
			status, told = e.Status, map[string]string{
				"error": a.page.LanguageOf(r).Say(e.Message), "request_id": telemetry.RequestID(r.Context()),
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(told) // the browser may have hung up
	})
}

func (a *Account) stepOf(w http.ResponseWriter, r *http.Request, do step) (any, error) {
	if err := a.page.ReadForm(r); err != nil {
		return nil, err
	}
	at := target{Page: pagePasskey, Authenticator: r.Form.Get(fieldAuthenticator)}
	v, err := a.visit(w, r)
	if errors.Is(err, errSignedOut) || err == nil && a.isBlocked(v) {
		return nil, errAgain
	}
	if err != nil {
		return nil, err
	}
	fresh, err := a.freshen(v, at)
	if err != nil {
		return nil, err
	}
	if fresh == nil {
		return nil, errAgain
	}
	return do(fresh)
}

var errAgain = page.Errorf(http.StatusForbidden, "You waited too long. Load the page again.")

// link returns the address of a page of the visit's account.
func (a *Account) link(v *visit, page string, params ...string) string {
	query := url.Values{fieldAccount: {v.Key}}
	for i := 0; i+1 < len(params); i += 2 {
		query.Set(params[i], params[i+1])
	}
	return a.page.Path(page, query)
}
