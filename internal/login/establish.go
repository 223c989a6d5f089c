package login

import (
	"bytes"
	"errors"
	"net/http"
	"slices"

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
	Remember  bool                    `json:"remember,omitempty"`
	SessionID string                  `json:"sessionID"` // of the session, if it is a new one
	Source    connector.SourceSession `json:"source,omitzero"`
	Groups    bool                    `json:"groups,omitempty"`  // the source was asked for them
	Offline   bool                    `json:"offline,omitempty"` // the source gave what it takes to ask it again, or needs nothing
}

// hasConsented reports whether the user has agreed to all of this before.
func (f *Flow) hasConsented(v *visit) bool {
	return v.known != nil && !v.ask.Consent && f.cfg.Sessions.Identities.Allows(v.known, v.ask.ClientID, v.ask.Scopes)
}

// prove notes how a user has proved who they are, for the session that begins when the login ends.
func (f *Flow) prove(v *visit, d *federation.Definition, id connector.Identity) {
	if f.cfg.Sessions == nil {
		return
	}
	v.proof = &proof{
		Remember: f.cfg.Sessions.Sessions.RememberByDefault(), SessionID: session.NewID(), Source: id.Session,
	}
	asked := connector.ScopesOf(f.sourceScopes(v, d))
	v.proof.Groups, v.proof.Offline = asked.Groups, asked.OfflineAccess || len(id.Data) > 0
	if v.remember != nil {
		v.proof.Remember = *v.remember
	}
}

// sourceScopes returns the scopes of which a source is told. Where users type a password, and don't notice, it is asked for all that
// another application may want of the session later; a provider is not, as it may ask its users for their consent.
func (f *Flow) sourceScopes(v *visit, d *federation.Definition) []string {
	if f.cfg.Sessions == nil || !d.AsksPassword() {
		return v.ask.Scopes
	}
	scopes := slices.Clone(v.ask.Scopes)
	for _, more := range []string{oauth.ScopeOfflineAccess, oauth.ScopeGroups} {
		if !slices.Contains(scopes, more) {
			scopes = append(scopes, more)
		}
	}
	return scopes
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
		err = f.cfg.Sessions.Identities.Note(v.r.Context(), f.note(v))
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
		ID: v.proof.SessionID, ClientID: a.ClientID, ConnectorID: a.ConnectorID, Identity: a.Identity, AuthTime: a.AuthTime,
		Methods: a.Methods, Remember: v.proof.Remember, Source: v.proof.Source,
		Groups: v.proof.Groups, Offline: v.proof.Offline, Again: v.pending != nil && v.pending.Value.Begun,
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
		if ok, v.viaSSO, err = f.isShared(ctx, &e.Value, v.client); err != nil {
			return err
		}
	}
	if !ok {
		return v.refuse(oauth.LoginRequired, "The user's session has ended.", nil)
	}
	f.cfg.Events.Emit(ctx, event.SessionUsed{
		SessionID: e.Key, ClientID: a.ClientID, ConnectorID: a.ConnectorID, UserID: a.Identity.UserID,
	})
	return v.browser.Use(ctx, e, a.ClientID, v.viaSSO)
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
