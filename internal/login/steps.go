package login

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/oauth"
	"dex/internal/policy"
	"dex/internal/session"
	"dex/internal/store"
	"dex/internal/token"
)

// A visit is a browser's request that takes a login further.
type visit struct {
	*login
	w       http.ResponseWriter
	r       *http.Request
	request Request
	ask     Ask

	wanted string // the connector that the address names; empty for none
	// needsGroups says that the policy needs the groups of the connector's users, whatever the scopes are.
	needsGroups bool
	user        *token.Authorization // nil before somebody has signed in
	identity    *connector.Identity  // of a user who has just signed in
	typed       string               // the name that they have done so with, if there was one
	pending     *store.Entry[pending]

	browser  *session.Browser   // nil before it is needed
	viaSSO   bool               // the user has the session from another application
	remember *bool              // what the user says of keeping the session; nil if nobody has asked
	proof    *proof             // of a user who has signed in, and not by a session
	known    *identity.Identity // what is known of the user, where sessions are on
	// answering is set where the user has come to the consent page.
	answering bool

	passed map[string]time.Time // second factors that the user has passed, by authenticator
	at     *factorPage          // the page of a second factor that the request is for; nil for others
	// sourceLapsed says that the source of the session has once asked for a second factor, which no longer counts.
	sourceLapsed bool

	client    *client.Client // set by decide, as all that follows
	connector *federation.Definition
	terms     token.Terms
	missing   [][]string // second factors that the user has still to pass
	acr       string
}

// steps are what a login goes through, in this order. Each lets the login pass, or shows a page from which the user comes
// back to the first step that doesn't let it pass yet.
var steps = []func(f *Flow, v *visit) (passed bool, err error){
	(*Flow).useSession, (*Flow).who, (*Flow).checkUser, (*Flow).checkKnown, (*Flow).decide, (*Flow).secondFactors,
	(*Flow).consent,
}

// advance takes a login as far as it gets.
func (f *Flow) advance(v *visit) error {
	for _, step := range steps {
		if passed, err := step(f, v); err != nil || !passed {
			return err
		}
	}
	return f.end(v)
}

// who lets users sign in who have not yet done so.
func (f *Flow) who(v *visit) (bool, error) {
	switch {
	case v.user != nil:
		return true, nil
	case v.wanted != "":
		return false, f.beginWith(v)
	}
	return false, f.choose(v)
}

// signedIn goes on with a user who has signed in.
func (f *Flow) signedIn(v *visit, d *federation.Definition, id connector.Identity) error {
	id.GroupsTold = f.groupsTold(v, d)
	f.tellSignedIn(v, d.ID, id)
	a := token.Authorization{
		ClientID:    v.ask.ClientID,
		ConnectorID: d.ID,
		Scopes:      v.ask.Scopes,
		AuthTime:    time.Now(),
		Methods:     id.Methods,
		Identity:    id,
	}
	if d.HasAskedForMore(id.Methods) {
		v.pass(token.FactorOfSource, time.Now())
	}
	f.prove(v, d, id)
	// What belongs to this login only.
	a.Identity.Methods, a.Identity.AuthTime, a.Identity.Session = nil, time.Time{}, connector.SourceSession{}
	if !id.AuthTime.IsZero() && !f.cfg.KeepHints {
		a.AuthTime = earlier(id.AuthTime, a.AuthTime)
	}
	v.user, v.identity = &a, &id
	return f.advance(v)
}

// reauthLeeway is how far the clock of a source may be behind ours when it says when a user signed in.
const reauthLeeway = 10 * time.Second

// checkUser holds the user who has just signed in to what the application has asked for.
func (f *Flow) checkUser(v *visit) (bool, error) {
	id := v.identity
	if id == nil {
		return true, nil
	}
	if v.ask.Subject != "" && v.ask.Subject != token.Subject(id.UserID, v.user.ConnectorID) {
		// OpenID Connect Core, 3.1.2.1.
		return false, v.refuse(oauth.LoginRequired, "Another user signed in than the one of the id_token_hint.", nil)
	}
	if f.cfg.KeepHints || id.AuthTime.IsZero() || v.ask.MaxAge == nil {
		return true, nil
	}
	if time.Since(id.AuthTime) > *v.ask.MaxAge+reauthLeeway {
		return false, v.refuse(oauth.LoginRequired, "The identity source did not ask the user to sign in again.", nil)
	}
	return true, nil
}

// decide asks the policy anew when it is known who the user is. Users may take an hour for the consent page, and meanwhile
// client and connector may have changed or gone.
func (f *Flow) decide(v *visit) (bool, error) {
	ctx := v.r.Context()
	c, err := f.clientOf(ctx, v)
	if err != nil {
		return false, err
	}
	if err := v.request.Check(c); err != nil {
		return false, v.refusal(err)
	}
	d, err := f.definition(ctx, v.user.ConnectorID)
	if err != nil {
		return false, err
	}
	if d == nil {
		return false, v.refuse(oauth.AccessDenied, "The connector that the user signed in with is no longer there.", nil)
	}
	decision, err := f.decideOn(v, c, d)
	if err != nil {
		return false, v.connectorRefused(err)
	}
	v.client, v.connector, v.terms = c, d, decision.Terms
	v.user.Scopes = decision.Scopes // fewer than were asked for, if the client may no longer have some
	v.missing, v.acr = decision.Missing, decision.ACR
	return true, nil
}

// decideOn asks the policy about the user who has signed in. Where the application names several ways of signing in, it is asked once
// more, with what the user has set up.
func (f *Flow) decideOn(v *visit, c *client.Client, d *federation.Definition) (policy.Decision, error) {
	q := v.question(policy.Known, c, d)
	q.Passed, q.Methods, q.User = v.factors(), v.methods(), &v.user.Identity
	q.RedirectURI = v.ask.RedirectURI
	q.ACRValues = strings.Fields(v.ask.ACRValues)
	decision, err := f.cfg.Policy.Decide(v.r.Context(), q)
	if no, ok := errors.AsType[*policy.Refusal](err); ok && no.Err.Code == oauth.UnmetAuthenticationRequirements {
		return f.decideWithOtherKeys(v, q, err)
	}
	if err != nil || len(decision.Missing) == 0 || len(q.ACRValues) < 2 || f.cfg.Factors == nil {
		return decision, err
	}
	record, err := f.factorsOf(v)
	if err != nil {
		return policy.Decision{}, err
	}
	q.Enrolled = f.cfg.Factors.setUp(f.cfg.Factors.ids(), record)
	return f.cfg.Policy.Decide(v.r.Context(), q)
}

// question returns what the policy is asked about a login.
func (v *visit) question(at policy.Stage, c *client.Client, d *federation.Definition) policy.Question {
	return policy.Question{
		Stage: at, Client: c, Grant: v.ask.Grant, Also: v.ask.Also, Login: true, Connector: d, Scopes: v.ask.Scopes,
	}
}

// connectorRefused returns what comes of an error of the policy about a login whose connector is chosen; nil for nil.
func (v *visit) connectorRefused(err error) error {
	if refusedBy(err, policy.RuleConnector) {
		return v.refuse(oauth.AccessDenied, "The client may no longer use the connector that the user signed in with.", err)
	}
	if no, ok := errors.AsType[*policy.Refusal](err); ok && no.Reason != "" {
		return &refused{v: v, Refusal: Refusal{Err: no.Err, Denied: denial(no)}}
	}
	return v.refusal(err)
}

// denial is what a user is told whom the policy refuses.
func denial(no *policy.Refusal) *Denial {
	told := &Denial{Reason: no.Message} // the page's usual advice holds: the service works as its operators want it to
	switch {
	case told.Reason != "":
	case no.Reason == policy.NotInGroup && no.Everywhere:
		told.Reason = "You are not in a group that may log in here."
	default:
		told.Reason = "You may not use this application with this account."
	}
	return told
}

// refusedBy reports whether an error is the refusal of one rule of the policy.
func refusedBy(err error, rule string) bool {
	refused, ok := errors.AsType[*policy.Refusal](err)
	return ok && refused.Rule == rule
}

// definition returns a connector; nil if there is none of that id.
func (f *Flow) definition(ctx context.Context, id string) (*federation.Definition, error) {
	all, err := f.cfg.Connectors.List(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(d *federation.Definition) bool { return d.ID == id })
	if i < 0 {
		return nil, nil
	}
	return all[i], nil
}

// end gives the application, or the device, what its user has let it have.
func (f *Flow) end(v *visit) error {
	if err := f.finish(v); err != nil {
		return err
	}
	a := *v.user
	a.GrantID, a.Factors, a.Methods, a.ACR = token.NewGrantID(), v.factors(), v.methods(), v.acr
	if v.pending != nil {
		a.GrantID = v.pending.Value.GrantID
	}
	if err := f.establish(v, &a); err != nil {
		return err
	}
	end, err := v.request.Granted(v.r, Grant{
		Authorization: a, Terms: v.terms, Secret: v.Secret, BrowserState: f.browserState(v),
	})
	if err != nil {
		return v.refusal(err)
	}
	f.cfg.Events.Emit(v.r.Context(), event.LoginGranted{Login: a.Login(a.GrantID), SessionID: a.SessionID})
	f.rememberConnector(v, end.Address)
	f.letGo(v, end.Address)
	end.Show(v.w, v.r)
	return nil
}

const (
	// lingerTime is how long the browser keeps a login that has ended, for a second click on the button.
	lingerTime = 10 * time.Second
	// maxHead is how long the cookies and the address of a redirect may be together, in bytes, so that with the other headers
	// they fit into the 4 KiB that proxies have for those by default.
	maxHead = 3500
)

// letGo takes a login that has ended from the browser; one that a second click may repeat, after a moment. If that takes
// more room beside the address that the browser is sent to than proxies have, as a long state is in both, the login stays
// as long as the consent page.
func (f *Flow) letGo(v *visit, address string) {
	if v.Secret == "" {
		f.logins.forget(v.w, v.r, v.ID)
		f.remember(v, address)
		return
	}
	before := v.w.Header().Values(setCookie)
	v.Expires = earlier(v.Expires, time.Now().Add(lingerTime))
	if err := f.logins.keep(v.w, v.r, v.login); err != nil {
		f.log.WarnContext(v.r.Context(), "answered login request could not be kept for a second click", "err", err)
	}
	if f.headRoom(v, address) < 0 {
		v.w.Header()[setCookie] = before
		return
	}
	f.remember(v, address)
}

const setCookie = "Set-Cookie"

// headRoom returns how many bytes are left for more cookies in an answer that redirects to an address.
func (f *Flow) headRoom(v *visit, address string) int {
	room := maxHead - len(address)
	for _, cookie := range v.w.Header().Values(setCookie) {
		room -= len(cookie)
	}
	return room
}

// remember keeps for a while what a login was for that has ended, so that somebody who goes back to it gets on, if there is room for
// that.
func (f *Flow) remember(v *visit, address string) {
	if err := f.logins.remember(v.w, v.login, f.headRoom(v, address)); err != nil {
		f.log.WarnContext(v.r.Context(), "ended login could not be remembered", "err", err)
	}
}

func (f *Flow) tellSignedIn(v *visit, connectorID string, id connector.Identity) {
	f.cfg.Events.Emit(v.r.Context(), event.SignedIn{
		ClientID: v.ask.ClientID, ConnectorID: connectorID, UserID: id.UserID, Username: id.Username,
		PreferredUsername: id.PreferredUsername, Email: id.Email, EmailVerified: id.EmailVerified, Groups: id.Groups,
	})
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
