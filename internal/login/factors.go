package login

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"dex/internal/factor"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/policy"
	"dex/internal/store"
	"dex/internal/token"
)

// lately is how long ago somebody may have proved who they are to change how they do.
const lately = 15 * time.Minute

// Factors is what a Flow knows of second factors.
type Factors struct {
	*factor.Factors

	Authenticators []factor.Authenticator
	// RememberFor is how long a factor counts in a session; nil means as long as the session.
	RememberFor *time.Duration
	// RecoveryCodes says that users get codes for when they have lost their factors.
	RecoveryCodes bool
}

func (f *Factors) ids() []string {
	ids := make([]string, 0, len(f.Authenticators))
	for _, a := range f.Authenticators {
		ids = append(ids, a.ID)
	}
	return ids
}

// find returns an authenticator; nil if there is none of that id.
func (f *Factors) find(id string) *factor.Authenticator {
	i := slices.IndexFunc(f.Authenticators, func(a factor.Authenticator) bool { return a.ID == id })
	if i < 0 {
		return nil
	}
	return &f.Authenticators[i]
}

// setUp returns which of some authenticators a user has set up.
func (*Factors) setUp(ids []string, r *factor.Record) []string {
	var found []string
	for _, id := range ids {
		if r.Has(id) {
			found = append(found, id)
		}
	}
	return found
}

// pass notes that the user has passed a second factor.
func (v *visit) pass(id string, at time.Time) {
	passed := maps.Clone(v.passed)
	if passed == nil {
		passed = map[string]time.Time{}
	}
	passed[id] = at
	v.passed = passed
}

// factors returns the second factors that the user has passed.
func (v *visit) factors() []string { return slices.Sorted(maps.Keys(v.passed)) }

// methods returns how the user has signed in, by all that counts for this login. Until it ends its Authorization has only those of the first
// proof.
func (v *visit) methods() []string { return token.MethodsOf(v.user.Methods, v.factors()) }

// remembered returns the second factors of a session that count for another login in it: those that were passed lately enough, and that the
// user still has.
func (f *Flow) remembered(v *visit, passed map[string]time.Time) (map[string]time.Time, error) {
	if f.cfg.Factors == nil || len(passed) == 0 {
		return passed, nil
	}
	record, err := f.factorsOf(v)
	if err != nil {
		return nil, err
	}
	left := map[string]time.Time{}
	for member, at := range passed {
		id, _ := token.FactorOf(member)
		lapsed := f.cfg.Factors.RememberFor != nil && time.Since(at) >= *f.cfg.Factors.RememberFor
		if !lapsed && (id == "" || record.Has(id)) {
			left[member] = at
		}
	}
	return left, nil
}

// decideWithOtherKeys asks the policy once more about a user who can't sign in as the application asks for with what they have passed in
// their session, a recovery code in place of a key, say. They may have keys there that they haven't used, and are asked for them. In a
// login that has already asked for something the answer stays what it is.
func (f *Flow) decideWithOtherKeys(v *visit, q policy.Question, unmet error) (policy.Decision, error) {
	if f.cfg.Factors == nil || v.pending != nil || len(v.passed) == 0 {
		return policy.Decision{}, unmet
	}
	record, err := f.factorsOf(v)
	if err != nil {
		return policy.Decision{}, err
	}
	before, left := v.passed, maps.Clone(v.passed)
	maps.DeleteFunc(left, func(member string, _ time.Time) bool {
		id, _ := token.FactorOf(member)
		return slices.ContainsFunc(record.Credentials, func(c factor.Credential) bool { return c.Authenticator == id && isUnused(&c, before) })
	})
	if len(left) == len(before) {
		return policy.Decision{}, unmet
	}
	v.passed = left
	q.Passed, q.Methods, q.Enrolled = v.factors(), v.methods(), f.cfg.Factors.setUp(f.cfg.Factors.ids(), record)
	decision, err := f.cfg.Policy.Decide(v.r.Context(), q)
	if err != nil {
		v.passed = before
	}
	return decision, err
}

// isUnused reports whether a user has a key by which they would prove more of its authenticator than they have.
func isUnused(c *factor.Credential, passed map[string]time.Time) bool {
	return !c.Clone && slices.ContainsFunc(token.FactorsOf(c.Authenticator, c.Methods()), func(member string) bool {
		_, has := passed[member]
		return !has
	})
}

// factorUser returns the user, as their authenticators know them.
func (v *visit) factorUser() factor.User {
	who := &v.user.Identity
	return factor.User{
		UserID: who.UserID, ConnectorID: v.user.ConnectorID,
		Name:        cmp.Or(who.Email, who.PreferredUsername, who.Username, who.UserID),
		DisplayName: cmp.Or(who.Username, who.PreferredUsername, who.Email),
	}
}

// factorsOf returns what the user has set up.
func (f *Flow) factorsOf(v *visit) (*factor.Record, error) {
	r, err := f.cfg.Factors.Get(v.r.Context(), v.factorUser())
	if err != nil {
		return nil, page.Errorf(http.StatusInternalServerError, "Your second factors can't be looked up.").
			Hint("Try again in a moment.").Because(err)
	}
	return &r, nil
}

// A turn is what a login asks for next.
type turn struct {
	ids   []string // any one of these authenticators
	setUp bool     // the user sets it up now
	first bool     // and has no other
	codes bool     // instead, the user is shown their recovery codes
}

// secondFactors asks for the second factors that are missing.
func (f *Flow) secondFactors(v *visit) (bool, error) {
	if f.cfg.Factors == nil {
		if len(v.missing) == 0 {
			return true, nil
		}
		return false, v.refuse(oauth.AccessDenied, "This server has no second factors.", nil)
	}
	codes := v.pending != nil && v.pending.Value.NewCodes
	if len(v.missing) == 0 && !codes && !v.ask.FreshFactor {
		return f.nothingMissing(v)
	}
	record, err := f.factorsOf(v)
	if err != nil {
		return false, err
	}
	f.addFreshFactor(v, record)
	switch {
	case codes:
		return false, f.serveTurn(v, turn{codes: true}, record)
	case len(v.missing) == 0:
		return f.nothingMissing(v)
	case v.ask.Silent:
		return false, v.refuse(oauth.InteractionRequired, "The user must be asked for a second factor.", nil)
	}
	return false, f.askForFactor(v, record)
}

// askForFactor leads to the page of what is missing, or serves it.
func (f *Flow) askForFactor(v *visit, record *factor.Record) error {
	next := f.turn(v, record)
	// Whoever sits at a browser that was left open must not set up factors of their own. And it is for the source to ask anew for what it
	// has asked for before.
	if next.setUp && !v.isFresh() || v.sourceLapsed {
		return f.signInAgain(v)
	}
	if v.pending == nil {
		if err := f.hold(v); err != nil {
			return err
		}
	}
	return f.serveTurn(v, next, record)
}

// isFresh reports whether the user has just proved who they are.
func (v *visit) isFresh() bool {
	at := v.user.AuthTime
	if v.proof != nil {
		at = v.proof.At
	}
	return time.Since(at) < lately
}

// signInAgain has the source ask the user anew who they are.
func (f *Flow) signInAgain(v *visit) error {
	if v.at != nil && v.at.script {
		return errPassed
	}
	now := time.Duration(0)
	v.ask.Prompt, v.ask.MaxAge = []string{"login"}, &now
	v.wanted = v.user.ConnectorID
	v.user, v.pending, v.proof, v.passed, v.viaSSO = nil, nil, nil, nil, false
	v.Done, v.Secret = false, ""
	return f.beginWith(v)
}

// nothingMissing lets a login pass, unless it is a script that has asked for the page of a factor.
func (*Flow) nothingMissing(v *visit) (bool, error) {
	if v.at != nil && v.at.script {
		return false, errPassed
	}
	return true, nil
}

// addFreshFactor adds one of the user's own factors to what is missing, where the purpose of the login asks for that.
func (f *Flow) addFreshFactor(v *visit, r *factor.Record) {
	own := f.cfg.Factors.setUp(f.cfg.Factors.ids(), r)
	if v.ask.FreshFactor && len(v.missing) == 0 && len(own) > 0 && !v.passedLately(own) {
		v.missing = [][]string{own}
	}
}

// turn decides what a login asks for next. Who has factors and sets up another one must pass one of theirs first, so that a password
// alone is not enough to get around them.
func (f *Flow) turn(v *visit, r *factor.Record) turn {
	next := v.missing[0]
	if has := f.cfg.Factors.setUp(next, r); len(has) > 0 {
		return turn{ids: has}
	}
	others := f.cfg.Factors.setUp(f.cfg.Factors.ids(), r)
	if len(others) > 0 && !v.passedLately(others) {
		return turn{ids: others}
	}
	return turn{ids: next, setUp: true, first: len(others) == 0}
}

// passedLately reports whether the user has just passed one of some factors.
func (v *visit) passedLately(ids []string) bool {
	return slices.ContainsFunc(ids, func(id string) bool {
		at, passed := v.passed[id]
		return passed && time.Since(at) < lately
	})
}

// condition is what must still be so when a factor is set up in this turn. Otherwise whoever has the password alone could set up one of
// theirs while the user sets up their first.
func (f *Flow) condition(t turn) factor.Condition {
	if t.first {
		return factor.IfFirst(f.cfg.Factors.ids())
	}
	return factor.Always
}

// serveTurn serves the page that the request is for, if it is that of what the login asks for next, or leads there.
func (f *Flow) serveTurn(v *visit, next turn, r *factor.Record) error {
	at := v.at
	v.at = nil // what comes after it is another page
	if at != nil && at.fits(next) {
		return at.serve(v, next, r)
	}
	if at != nil && at.script {
		return errPassed
	}
	http.Redirect(v.w, v.r, f.turnPath(v, next), http.StatusSeeOther) //nolint:gosec // G710: a page of ours
	return nil
}

// Pages of second factors.
const (
	pathFactors  = "/mfa"
	pathTOTP     = "/mfa/totp"
	pathWebAuthn = "/mfa/webauthn"
	pathRecovery = "/mfa/recovery"
	pathChoose   = "/mfa/choose"
	pathCodes    = "/mfa/codes"
)

// Labels of the steps whose addresses are authenticated.
const (
	stepFactors       = "step:mfa"
	stepAuthenticator = "authenticator:"
)

// turnPath returns the address of the page for what a login asks for next.
func (f *Flow) turnPath(v *visit, next turn) string {
	switch {
	case next.codes:
		return f.factorsPath(v, pathCodes)
	case len(next.ids) > 1 && next.setUp:
		return f.factorsPath(v, pathChoose)
	}
	return f.factorPath(v, next.ids[0])
}

// factorsPath returns the address of a page that belongs to no authenticator.
func (f *Flow) factorsPath(v *visit, path string) string {
	return f.page.Path(path, url.Values{"req": {v.ID}, "hmac": {stepMAC(v.pending.Value.Key, v.ID, stepFactors)}})
}

// factorPath returns the address of the page of an authenticator.
func (f *Flow) factorPath(v *visit, id string) string {
	path := pathTOTP
	if a := f.cfg.Factors.find(id); a != nil && a.Type == factor.TypeWebAuthn {
		path = pathWebAuthn
	}
	return f.authenticatorPath(v, path, id)
}

func (f *Flow) authenticatorPath(v *visit, path, id string) string {
	mac := stepMAC(v.pending.Value.Key, v.ID, stepAuthenticator+id)
	return f.page.Path(path, url.Values{"authenticator": {id}, "hmac": {mac}, "req": {v.ID}})
}

// passFactor notes that the user has passed a factor, and how. Whoever sets up their first one is shown recovery codes.
func (f *Flow) passFactor(v *visit, id string, methods []string, first bool) error {
	now := time.Now()
	return f.change(v, func(stored *pending) {
		passed := maps.Clone(stored.Passed)
		if passed == nil {
			passed = map[string]time.Time{}
		}
		for _, one := range token.FactorsOf(id, methods) {
			passed[one] = now
		}
		stored.Passed, stored.Setup = passed, nil
		stored.NewCodes = stored.NewCodes || first && f.cfg.Factors.RecoveryCodes
	})
}

// change changes what is stored of a login that has not ended.
func (f *Flow) change(v *visit, edit func(stored *pending)) error {
	e, err := f.pending.UpdateEntry(v.r.Context(), *v.pending, func(stored *pending) error {
		if !bytes.Equal(stored.Key, v.pending.Value.Key) || !stored.Answered.IsZero() {
			return store.ErrNotFound
		}
		edit(stored)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return errLost(errNoLogin)
	}
	if err != nil {
		return NotStored(err)
	}
	v.hold(e)
	return nil
}
