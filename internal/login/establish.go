package login

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/session"
	"dex/internal/store"
	"dex/internal/token"
)

// A proof is what a login keeps of its user's proof until it ends, for the session that it begins.
type proof struct {
	At        time.Time               `json:"at"`
	Methods   []string                `json:"methods,omitempty"` // without second factors
	Remember  bool                    `json:"remember,omitempty"`
	SessionID string                  `json:"sessionID"` // of the session, if it is a new one
	Source    connector.SourceSession `json:"source,omitzero"`
	Groups    bool                    `json:"groups,omitempty"`  // the source was asked for them
	Offline   bool                    `json:"offline,omitempty"` // the source gave what it takes to ask it again, or needs nothing
}

// hasConsented reports whether the user has agreed to all of this before.
func (f *Flow) hasConsented(v *visit) bool {
	return v.known != nil && !v.ask.Consent && f.cfg.Identities.Allows(v.known, v.ask.ClientID, v.ask.Scopes)
}

// prove notes how a user has proved who they are, for the session that begins when the login ends.
func (f *Flow) prove(v *visit, d *federation.Definition, id connector.Identity) {
	if f.cfg.Sessions == nil {
		return
	}
	v.proof = &proof{
		At: time.Now(), Methods: id.Methods,
		Remember: f.cfg.Sessions.Sessions.RememberByDefault(), SessionID: session.NewID(), Source: id.Session,
	}
	v.proof.Groups, v.proof.Offline = f.groupsTold(v, d), f.sourceScopes(v, d).OfflineAccess || len(id.Data) > 0
	if v.remember != nil {
		v.proof.Remember = *v.remember
	}
}

// sourceScopes returns what a source is asked for. Where users type a password, and don't notice, it is asked for all that
// another application may want of the session later; a provider is not, as it may ask its users for their consent.
func (f *Flow) sourceScopes(v *visit, d *federation.Definition) connector.Scopes {
	if f.cfg.Sessions != nil && d.AsksPassword() {
		return connector.Scopes{OfflineAccess: true, Groups: true}
	}
	wanted := connector.ScopesOf(v.ask.Scopes)
	wanted.Groups = wanted.Groups || v.needsGroups
	return wanted
}

// groupsTold reports whether a source that has just told who the user is was asked for the groups. A rule that needs them may have come
// while the user was at a provider, which tells only what it was asked for when they left.
func (f *Flow) groupsTold(v *visit, d *federation.Definition) bool {
	return f.sourceScopes(v, d).Groups && (v.AskedGroups || d.AsksPassword())
}

// keepData keeps what a source gave to be asked again, for applications that get a refresh token in the session later.
func (f *Flow) keepData(v *visit, a *token.Authorization) error {
	if v.proof == nil || len(a.Identity.Data) == 0 || slices.Contains(a.Scopes, oauth.ScopeOfflineAccess) {
		return nil // or the grant does so
	}
	return f.cfg.Sessions.Offline.Keep(v.r.Context(), a.Identity.UserID, a.ConnectorID, a.Identity.Data, nil)
}

// establish begins the user's session, or uses the one that they have, now that the application gets what it has asked for.
func (f *Flow) establish(v *visit, a *token.Authorization) error {
	if f.cfg.Sessions == nil {
		return nil
	}
	if err := f.readBrowser(v); err != nil {
		return err
	}
	err := f.signInto(v, a)
	if err == nil {
		err = f.keepData(v, a)
	}
	if err == nil {
		err = f.cfg.Identities.Note(v.r.Context(), f.note(v))
	}
	if err == nil {
		err = v.browser.Keep(v.w)
	}
	if _, ok := errors.AsType[*refused](err); err != nil && !ok {
		return page.Errorf(http.StatusInternalServerError, "Your session can't be saved.").
			Hint("Try again in a moment.").Because(err)
	}
	return err
}

func (f *Flow) signInto(v *visit, a *token.Authorization) error {
	ctx := v.r.Context()
	if v.proof == nil {
		return f.goOnIn(v, a)
	}
	e, crowded, err := v.browser.SignIn(ctx, session.SignIn{
		ID: v.proof.SessionID, ClientID: v.participant(), ConnectorID: a.ConnectorID, Identity: a.Identity, AuthTime: a.AuthTime,
		Epoch:   a.Epoch,
		Methods: a.Methods, FirstMethods: v.proof.Methods, Remember: v.proof.Remember, Source: v.proof.Source,
		Factors: v.passed, Groups: v.proof.Groups, Offline: v.proof.Offline, Again: v.pending != nil && v.pending.Value.Begun,
	})
	if errors.Is(err, store.ErrNotFound) {
		return v.refuse(oauth.LoginRequired, "The user's session has ended.", nil)
	}
	if err != nil {
		return err
	}
	a.SessionID = e.Key
	if err := f.noteBegun(v); err != nil {
		return err
	}
	for _, other := range crowded {
		if err := f.cfg.Sessions.SignOut.End(ctx, other, event.SessionCrowded); err != nil {
			return err
		}
	}
	return nil
}

// goOnIn uses the session that the user has signed in by. They may have taken an hour for the consent page, and the session may have
// ended meanwhile, or be shared no longer.
func (f *Flow) goOnIn(v *visit, a *token.Authorization) error {
	ctx := v.r.Context()
	e, ok := v.browser.Account(a.SessionID)
	if ok && v.pending != nil {
		var err error
		if ok, v.viaSSO, err = f.isShared(v, &e.Value, v.client); err != nil {
			return err
		}
	}
	if !ok {
		return v.refuse(oauth.LoginRequired, "The user's session has ended.", nil)
	}
	f.cfg.Events.Emit(ctx, event.SessionUsed{
		SessionID: e.Key, ClientID: a.ClientID, ConnectorID: a.ConnectorID, UserID: a.Identity.UserID,
	})
	if err := v.browser.Use(ctx, e, v.participant(), v.viaSSO); err != nil {
		return err
	}
	return v.stepUp(ctx, e)
}

// stepUp notes in the session what its user has proved besides in this login.
func (v *visit) stepUp(ctx context.Context, e session.Entry) error {
	fresh, known := map[string]time.Time{}, v.browser.Factors(e.Key)
	for id, at := range v.passed {
		if at.After(known[id]) {
			fresh[id] = at
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	return v.browser.StepUp(ctx, e, fresh, v.methods())
}

// participant returns the id of the application that takes part in the session; empty for a page of this server.
func (v *visit) participant() string {
	if v.ask.Own != nil {
		return ""
	}
	return v.ask.ClientID
}

// noteBegun notes that the answer to a page has begun a session, so that the same answer, given again, doesn't bring the session back
// after its user has signed out.
func (f *Flow) noteBegun(v *visit) error {
	if v.pending == nil || v.pending.Value.Begun {
		return nil
	}
	_, err := f.pending.Update(v.r.Context(), v.pending.Key, func(stored *pending) error {
		if !bytes.Equal(stored.Key, v.pending.Value.Key) {
			return store.ErrUnchanged // another user has signed in since
		}
		stored.Begun = true
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil // it has expired
	}
	return err
}

// browserState returns what changes when the sessions of the browser do.
func (f *Flow) browserState(v *visit) string {
	if f.cfg.Sessions == nil || f.cfg.Sessions.Sessions.StateCookie() == "" {
		return ""
	}
	return v.browser.State()
}

// note returns what the login says of its user.
func (f *Flow) note(v *visit) identity.Login {
	l := identity.Login{
		Claims: v.user.Identity, ConnectorID: v.user.ConnectorID, Proved: v.proof != nil, ClientID: v.ask.ClientID,
	}
	if v.pending != nil && v.pending.Value.Approved {
		l.Consented = v.ask.Scopes
	}
	return l
}
