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
	"dex/internal/page"
	"dex/internal/policy"
	"dex/internal/refresh"
	"dex/internal/session"
	"dex/internal/token"
	"dex/internal/ui"
)

// paramAccount names the session that a user has picked on the choice of accounts. Only one of the browser's own counts.
const paramAccount = "dex_account"

// A SignOut tells applications that a session has ended.
type SignOut interface {
	// End ends a session that has not ended yet, and whatever lives only as long as it.
	End(ctx context.Context, e session.Entry, why event.SessionEnd) error
}

// Sessions is what a Flow knows of browsers' sessions.
type Sessions struct {
	Sessions *session.Sessions
	SignOut  SignOut
	Offline  *refresh.OfflineSessions
	// ShareAll has clients that say nothing share their sessions with all.
	ShareAll bool
}

// A candidate is a session that may serve an application.
type candidate struct {
	session.Entry
	viaSSO bool
}

// useSession signs in a user who has a session in this browser that the application may use.
func (f *Flow) useSession(v *visit) (bool, error) {
	if f.cfg.Sessions == nil || v.user != nil || slices.Contains(v.ask.Prompt, "login") {
		return true, nil
	}
	if err := f.readBrowser(v); err != nil {
		return false, err
	}
	query := v.r.URL.Query()
	if !v.ask.Silent && (len(v.browser.Accounts()) == 0 || query.Has(paramChoose)) {
		return true, nil
	}
	usable, err := f.candidates(v)
	if err != nil {
		return false, err
	}
	if v.ask.Silent {
		if len(usable) == 0 {
			return false, v.refuse(oauth.LoginRequired, "The user must be asked to sign in.", nil)
		}
		return true, f.goOnAs(v, lastUsedFor(v.ask.ClientID, usable))
	}
	return f.pickSession(v, usable, query.Get(paramAccount))
}

// pickSession goes on with one of the sessions that may serve the application, or lets the user choose.
func (f *Flow) pickSession(v *visit, usable []candidate, account string) (bool, error) {
	picked := slices.IndexFunc(usable, func(c candidate) bool { return c.Key == account })
	choosing := slices.Contains(v.ask.Prompt, "select_account")
	switch {
	case len(usable) == 0 || f.cfg.AlwaysShowChoice && v.wanted == "":
	case picked >= 0:
		return true, f.goOnAs(v, usable[picked])
	case choosing && v.wanted != "": // the source asks which account it shall be
	case choosing, len(usable) > 1:
		return false, f.showAccounts(v, usable)
	default:
		return true, f.goOnAs(v, usable[0])
	}
	return true, nil
}

// readBrowser reads which sessions the browser has.
func (f *Flow) readBrowser(v *visit) error {
	if v.browser != nil {
		return nil
	}
	b, err := f.cfg.Sessions.Sessions.Browser(v.r)
	if err != nil {
		return page.Errorf(http.StatusInternalServerError, "Your session can't be read.").
			Hint("Try again in a moment.").Because(err)
	}
	v.browser = b
	return nil
}

// candidates returns the browser's sessions that the application may use, and that are what it has asked for.
func (f *Flow) candidates(v *visit) ([]candidate, error) {
	c, err := f.clientOf(v.r.Context(), v)
	if err != nil {
		return nil, err
	}
	var usable []candidate
	for _, e := range v.browser.Accounts() {
		if !v.matches(&e.Value) {
			continue
		}
		shares, viaSSO, err := f.isShared(v, &e.Value, c)
		if err != nil {
			return nil, err
		}
		if !shares {
			continue
		}
		serves, err := f.sourceServes(v, &e.Value, c)
		if err != nil {
			return nil, err
		}
		if serves {
			serves, err = f.StillThere(v.r.Context(), &e)
		}
		if err != nil {
			return nil, err
		}
		if serves {
			usable = append(usable, candidate{e, viaSSO})
		}
	}
	return hintedAccounts(v.ask.LoginHint, usable), nil
}

// matches reports whether a session is what the application has asked for.
func (v *visit) matches(s *session.Session) bool {
	switch {
	case v.ask.Subject != "" && v.ask.Subject != s.Subject():
		return false
	case v.ask.ConnectorID != "" && v.ask.ConnectorID != s.ConnectorID:
		return false
	case v.wanted != "" && v.wanted != s.ConnectorID:
		return false
	}
	// 0 means prompt=login (OpenID Connect Core, 3.1.2.1), also where the clock that AuthTime is from is ahead of ours.
	return v.ask.MaxAge == nil || *v.ask.MaxAge > 0 && time.Since(s.AuthTime) <= *v.ask.MaxAge
}

// isShared reports whether a client may use a session: its user has signed in for that client, or for one that shares with it. A
// client that has the session from another one passes it on to nobody. Pages of this server may use all, and share them as clients do
// that don't say.
func (f *Flow) isShared(v *visit, s *session.Session, c *client.Client) (shares, viaSSO bool, err error) {
	if v.ask.Own != nil {
		return true, false, nil
	}
	if p, took := s.Clients[c.ID]; took && !p.ViaSSO {
		return true, false, nil
	}
	for id, p := range s.Clients {
		if p.ViaSSO || id == c.ID {
			continue
		}
		source, err := f.cfg.Clients.Get(v.r.Context(), id)
		if errors.Is(err, client.ErrUnknown) {
			continue
		}
		if err != nil {
			return false, false, err
		}
		if source.SharesWith(c.ID, f.cfg.Sessions.ShareAll) {
			return true, true, nil
		}
	}
	shares = s.Own && f.cfg.Sessions.ShareAll
	return shares, shares, nil
}

// sourceServes reports whether the client may use the connector of a session, and whether a refresh token, if it wants one, could be
// used: some sources must be asked for that while the user is there.
func (f *Flow) sourceServes(v *visit, s *session.Session, c *client.Client) (bool, error) {
	ctx := v.r.Context()
	d, err := f.definition(ctx, s.ConnectorID)
	if err != nil || d == nil {
		return false, err
	}
	_, err = f.cfg.Policy.Decide(ctx, v.question(policy.BeforeSource, c, d))
	if err != nil {
		if refusedBy(err, policy.RuleConnector) {
			return false, nil
		}
		return false, v.refusal(err)
	}
	wanted := connector.ScopesOf(v.ask.Scopes)
	wanted.Groups = wanted.Groups || f.cfg.Policy.NeedsGroups(c, d)
	return (s.Offline || !wanted.OfflineAccess) && (s.HasGroups(time.Now()) || !wanted.Groups), nil
}

// StillThere reports whether the user of a session is still in our own database, if they are from there, and brings what the session
// says of them up to date. The session of a user who is gone has ended. Other sources are not asked.
func (f *Flow) StillThere(ctx context.Context, e *session.Entry) (bool, error) {
	source, err := f.cfg.Connectors.Open(ctx, e.Value.ConnectorID)
	if err != nil && e.Value.ConnectorID == federation.LocalID {
		return false, err
	}
	if err != nil {
		return true, nil //nolint:nilerr // another source that is down stops nobody who has a session
	}
	fresh, err := source.Current(ctx, e.Value.Identity)
	if errors.Is(err, connector.ErrGone) {
		return false, f.cfg.Sessions.SignOut.End(ctx, *e, event.SessionGone)
	}
	if err != nil {
		return false, err
	}
	e.Value.Identity = fresh
	return true, nil
}

// hintedAccounts returns the account that the application has named by an e-mail address or a name, or all if it has named none of
// them.
func hintedAccounts(hint string, usable []candidate) []candidate {
	if hint == "" {
		return usable
	}
	i := slices.IndexFunc(usable, func(c candidate) bool {
		who := &c.Value.Identity
		return strings.EqualFold(who.Email, hint) || strings.EqualFold(who.PreferredUsername, hint)
	})
	if i < 0 {
		return usable
	}
	return usable[i : i+1]
}

// lastUsedFor returns the session that a client used last; the browser's first if it has used none.
func lastUsedFor(clientID string, usable []candidate) candidate {
	last := usable[0]
	for _, c := range usable[1:] {
		if c.Value.Clients[clientID].Last.After(last.Value.Clients[clientID].Last) {
			last = c
		}
	}
	return last
}

// goOnAs goes on with a session's user.
func (f *Flow) goOnAs(v *visit, c candidate) error {
	s := &c.Value
	v.user = &token.Authorization{
		ClientID:    v.ask.ClientID,
		ConnectorID: s.ConnectorID,
		Scopes:      v.ask.Scopes,
		AuthTime:    s.AuthTime,
		Epoch:       s.Epoch,
		Methods:     s.FirstMethods,
		Identity:    s.Identity,
		SessionID:   c.Key,
	}
	v.user.Identity.GroupsTold = s.HasGroups(time.Now())
	v.viaSSO, v.ConnectorID = c.viaSSO, s.ConnectorID
	if len(s.Factors) == 0 {
		v.user.Methods = s.Methods // also those of a session from before there were any others
	}
	var err error
	if v.passed, err = f.remembered(v, v.browser.Factors(c.Key)); err != nil {
		return err
	}
	_, ofSource := s.Factors[token.FactorOfSource]
	_, counts := v.passed[token.FactorOfSource]
	if v.sourceLapsed = ofSource && !counts; !v.sourceLapsed {
		return nil
	}
	d, err := f.definition(v.r.Context(), s.ConnectorID)
	if err == nil && d != nil {
		v.user.Methods = d.WithoutMore(v.user.Methods)
	}
	return err
}

// showAccounts lets the user choose one of their accounts.
func (f *Flow) showAccounts(v *visit, usable []candidate) error {
	c, err := f.clientOf(v.r.Context(), v)
	if err != nil {
		return err
	}
	if err := f.keepRepeatable(v); err != nil {
		return err
	}
	shown := ui.AccountsPage{Client: v.clientName(c), AnotherURL: f.anotherAccount(v)}
	last := lastUsedFor(v.ask.ClientID, usable)
	for _, c := range usable {
		params := f.repeat(v)
		params.Set(paramAccount, c.Key)
		who := &c.Value.Identity
		account := ui.Account{Name: who.Username, Email: who.Email, URL: f.page.Path("/auth", params), LastUsed: c.Key == last.Key}
		if d, err := f.definition(v.r.Context(), c.Value.ConnectorID); err == nil && d != nil {
			account.Connector = f.nameOf(v, d)
		}
		shown.Accounts = append(shown.Accounts, account)
	}
	f.page.Accounts(v.w, v.r, shown)
	return nil
}

// checkKnown refuses users who are blocked, and finds out what they have agreed to before. Logins and sessions that the user had when
// all of them were ended begin anew.
func (f *Flow) checkKnown(v *visit) (bool, error) {
	e, err := f.cfg.Identities.Standing(v.r.Context(), v.user.Identity.UserID, v.user.ConnectorID)
	if err != nil {
		return false, page.Errorf(http.StatusInternalServerError, "Your account can't be looked up.").
			Hint("Try again in a moment.").Because(err)
	}
	if v.identity != nil { // they have just proved who they are
		v.user.Epoch = e.Value.Epoch
	}
	err = e.Value.Check(time.Now(), v.user.Epoch)
	if errors.Is(err, identity.ErrBlocked) {
		no := oauth.Errorf(oauth.AccessDenied, "The user's account is blocked.")
		return false, &refused{v: v, Refusal: Refusal{Err: no, Denied: &Denial{
			Reason: "Your account is blocked.", Advice: "Ask your administrator.",
		}}}
	}
	if err != nil {
		return false, f.hasEnded(v, err)
	}
	if v.typed != "" {
		f.makeKnown(v, knownByPassword, v.typed)
	}
	if f.cfg.Sessions != nil {
		v.known = &e.Value
	}
	return true, nil
}

// hasEnded has a user sign in again whose proof no longer counts.
func (f *Flow) hasEnded(v *visit, cause error) error {
	switch {
	case v.pending != nil:
		return errLost(cause)
	case v.ask.Silent:
		return v.refuse(oauth.LoginRequired, "The user's session has ended.", cause)
	}
	return f.signInAgain(v)
}
