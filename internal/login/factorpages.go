package login

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"dex/internal/factor"
	"dex/internal/limit"
	"dex/internal/page"
	"dex/internal/ui"
)

// A factorPage is the page of a second factor that a request is for.
type factorPage struct {
	shared        bool   // it belongs to no authenticator
	authenticator string // that it belongs to
	codes         bool   // the page of the recovery codes
	script        bool   // a script asks, which can't be shown a page
	// serve shows the page, or takes what was sent from it.
	serve func(v *visit, now turn, r *factor.Record) error
}

// fits reports whether the page is one for what the login asks for next.
func (p *factorPage) fits(next turn) bool {
	switch {
	case p.codes || next.codes:
		return p.codes && next.codes
	case p.shared:
		return len(next.ids) > 1
	}
	return slices.Contains(next.ids, p.authenticator)
}

// errPassed says that the page of a factor isn't what comes next.
var errPassed = errors.New("the login is past this page")

// NextFactor leads a login on to the second factor that it needs next, or past them.
func (f *Flow) NextFactor() http.Handler {
	return f.factorStep(func(*http.Request) *factorPage { return nil })
}

// ChooseFactor is the page where users choose one of several second factors.
func (f *Flow) ChooseFactor() http.Handler {
	return f.factorStep(func(*http.Request) *factorPage { return &factorPage{shared: true, serve: f.chooseFactor} })
}

// RecoveryCodes is the page that shows users their recovery codes, once.
func (f *Flow) RecoveryCodes() http.Handler {
	return f.factorStep(func(*http.Request) *factorPage { return &factorPage{shared: true, codes: true, serve: f.recoveryCodes} })
}

// TOTP is the page of an authenticator app.
func (f *Flow) TOTP() http.Handler { return f.authenticatorStep(f.totp) }

// WebAuthn is the page of a security key or passkey.
func (f *Flow) WebAuthn() http.Handler { return f.authenticatorStep(f.webAuthn) }

// Recovery is the page where a recovery code takes the place of a factor.
func (f *Flow) Recovery() http.Handler { return f.authenticatorStep(f.recovery) }

func (f *Flow) authenticatorStep(serve func(v *visit, now turn, r *factor.Record) error) http.Handler {
	return f.factorStep(func(r *http.Request) *factorPage {
		return &factorPage{authenticator: r.URL.Query().Get("authenticator"), serve: serve}
	})
}

// factorStep serves a page of the second factors.
func (f *Flow) factorStep(at func(r *http.Request) *factorPage) http.Handler {
	return f.serve(func(w http.ResponseWriter, r *http.Request) error {
		v, err := f.atFactor(w, r, at(r))
		if err != nil {
			return err
		}
		if r.Method == http.MethodPost {
			if err := f.page.ReadForm(r); err != nil {
				return err
			}
		}
		return f.advance(v)
	})
}

// atFactor returns the login of a page of the second factors, whose address the step before it has made.
func (f *Flow) atFactor(w http.ResponseWriter, r *http.Request, at *factorPage) (*visit, error) {
	if f.cfg.Factors == nil {
		return nil, page.Errorf(http.StatusNotFound, "There is no such page here.")
	}
	query := r.URL.Query()
	v, err := f.load(w, r, query.Get("req"))
	if err != nil {
		return nil, err
	}
	if err := f.loadPending(v); err != nil {
		return nil, err
	}
	label := stepFactors
	if at != nil && !at.shared {
		label = stepAuthenticator + at.authenticator
	}
	if !validMAC(v.pending.Value.Key, v.ID, label, query.Get("hmac")) {
		return nil, page.Errorf(http.StatusUnauthorized, "The address of this page is incomplete.").
			Hint("Go back to the application and log in again.")
	}
	if p := &v.pending.Value; !p.Answered.IsZero() && !p.Finished {
		return nil, errLost(errNoLogin)
	}
	v.at = at
	return v, nil
}

// chooseFactor lets the user choose one of several factors.
func (f *Flow) chooseFactor(v *visit, now turn, _ *factor.Record) error {
	shown := ui.FactorChoicePage{SettingUp: now.setUp}
	for _, id := range now.ids {
		a := f.cfg.Factors.find(id)
		if a == nil {
			continue
		}
		option := ui.FactorOption{Kind: strings.ToLower(a.Type), URL: f.factorPath(v, id)}
		if f.hasAnother(now.ids, a) { // which only its id tells apart
			option.Name = id
		}
		shown.Options = append(shown.Options, option)
	}
	f.page.FactorChoice(v.w, v.r, http.StatusOK, shown)
	return nil
}

// hasAnother reports whether there is another authenticator of the same type among some.
func (f *Flow) hasAnother(ids []string, a *factor.Authenticator) bool {
	return slices.ContainsFunc(ids, func(id string) bool {
		other := f.cfg.Factors.find(id)
		return other != nil && other.ID != a.ID && other.Type == a.Type
	})
}

// otherPath returns where the user chooses another factor; empty where there is no other.
func (f *Flow) otherPath(v *visit, now turn) string {
	if len(now.ids) < 2 {
		return ""
	}
	return f.factorsPath(v, pathChoose)
}

// recoveryPath returns where the user gives a recovery code instead; empty where they have none.
func (f *Flow) recoveryPath(v *visit, now turn, r *factor.Record, id string) string {
	if now.setUp || r.RecoveryLeft() == 0 {
		return ""
	}
	return f.authenticatorPath(v, pathRecovery, id)
}

// recoveryCodes shows new recovery codes until the user has said that they are safe.
func (f *Flow) recoveryCodes(v *visit, _ turn, r *factor.Record) error {
	if v.r.Method == http.MethodPost {
		return f.codesSaved(v)
	}
	codes, err := f.cfg.Factors.NewRecoveryCodes(v.r.Context(), v.factorUser())
	if errors.Is(err, factor.ErrNotEnrolled) { // all factors were removed meanwhile, and codes stand for none
		return f.codesSaved(v)
	}
	if err != nil {
		return page.Errorf(http.StatusInternalServerError, "Your recovery codes can't be saved.").
			Hint("Try again in a moment.").Because(err)
	}
	f.page.RecoveryCodes(v.w, v.r, http.StatusOK, ui.RecoveryCodesPage{
		Codes: codes, PostURL: f.factorsPath(v, pathCodes), Account: v.factorUser().Name,
	})
	return nil
}

// codesSaved goes on with a user who has seen their recovery codes.
func (f *Flow) codesSaved(v *visit) error {
	if err := f.change(v, func(stored *pending) { stored.NewCodes = false }); err != nil {
		return err
	}
	return f.advance(v)
}

// A guess is what comes of a code that somebody has typed.
type guess struct {
	right   bool
	late    bool // somebody has set up a factor meanwhile
	used    bool // it was right once
	status  int
	message string // instead of the page's usual one; "" for that
	wait    *limit.Exceeded
}

// try lets a code be checked, within the limits.
func (f *Flow) try(v *visit, check func(ctx context.Context, u factor.User) error) (guess, error) {
	ctx, u := v.r.Context(), v.factorUser()
	known, err := f.known.from(ctx, v.r, u.ConnectorID, knownByFactor, u.UserID)
	if err != nil {
		return guess{}, err
	}
	attempt, err := f.cfg.Limits.Factor(known, u.ConnectorID, u.UserID)
	if exceeded, tooMany := errors.AsType[*limit.Exceeded](err); tooMany {
		return guess{status: http.StatusTooManyRequests, message: exceeded.Message(), wait: exceeded}, nil
	}
	if err != nil {
		return guess{}, err
	}
	defer attempt.End()
	err = check(ctx, u)
	if locked, ok := errors.AsType[*factor.Locked](err); ok {
		if locked.ForGood {
			return guess{status: http.StatusForbidden, message: "There were too many wrong codes. Ask your administrator to unlock your account."}, nil
		}
		exceeded := &limit.Exceeded{Wait: time.Until(locked.Until)}
		return guess{status: http.StatusTooManyRequests, message: exceeded.Message(), wait: exceeded}, nil
	}
	switch {
	case err == nil:
		f.makeKnown(v, knownByFactor, u.UserID)
		return guess{right: true}, nil
	case errors.Is(err, factor.ErrWrong), errors.Is(err, factor.ErrReplayed):
		attempt.Failed()
		return guess{status: http.StatusUnauthorized, used: errors.Is(err, factor.ErrReplayed)}, nil
	case errors.Is(err, factor.ErrTaken), errors.Is(err, factor.ErrNotFirst):
		return guess{late: true}, nil
	case errors.Is(err, factor.ErrNotEnrolled):
		return guess{}, errNotSetUp(err)
	}
	return guess{}, page.Errorf(http.StatusInternalServerError, "Your code can't be checked.").
		Hint("Try again in a moment.").Because(err)
}

// errNotSetUp is the page for a factor that was removed while its page was open.
func errNotSetUp(cause error) error {
	return page.Errorf(http.StatusConflict, "This way to confirm that it’s you has been removed.").
		Hint("Go back to the application and log in again.").Because(cause)
}
