package logout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/id"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/session"
	"dex/internal/store"
	"dex/internal/ui"
)

// A journey is what comes after a browser's sessions have ended: the applications that are told through the browser, the sources that
// can end their own sessions, and at last the application or a page of ours. It is a record, as what sources want back can be long, and
// as they may send the browser back without our cookies. Its key, which only the browser and the sources learn, is the state.
type journey struct {
	Sources []source  `json:"sources,omitempty"` // still to be asked, the first of them now
	Target  string    `json:"target,omitempty"`
	Outcome outcome   `json:"outcome,omitzero"`
	Expires time.Time `json:"expires"`

	id     string
	stored bool
}

// journeyTime is how long a logout at the sources may take.
const journeyTime = 10 * time.Minute

var journeyKind = store.Declare(store.Declaration[journey]{
	Name: "logout", Quiet: true,
	Expires: func(j *journey) time.Time { return j.Expires },
})

// stateCookie names the journey where a source brings back no state, as some don't. It gives nobody any rights.
const stateCookie = "dex_logout"

// keep stores how far a journey has come.
func (l *Logout) keep(w http.ResponseWriter, r *http.Request, j *journey) error {
	ctx := r.Context()
	j.Expires = time.Now().Add(journeyTime)
	var err error
	if j.stored {
		_, err = l.journeys.Update(ctx, j.id, func(stored *journey) error {
			*stored = *j
			return nil
		})
	} else {
		_, err = l.journeys.Create(ctx, j.id, *j)
		j.stored = err == nil
	}
	if err != nil {
		return fmt.Errorf("keep a logout: %w", err)
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: Secure where the issuer is https
		Name: stateCookie, Value: j.id, Path: cmp.Or(page.Base(l.cfg.IssuerURL), "/"), MaxAge: int(journeyTime / time.Second),
		HttpOnly: true, Secure: l.cfg.IssuerURL.Scheme == "https", SameSite: http.SameSiteLaxMode,
	})
	return nil
}

// A source is an identity source that is to end its own session.
type source struct {
	ConnectorID string                  `json:"connector"`
	Identity    connector.Identity      `json:"identity"`
	Session     connector.SourceSession `json:"session,omitzero"`
	Data        []byte                  `json:"data,omitempty"` // what the connector wants back
	Asked       bool                    `json:"asked,omitempty"`
}

// An outcome is what the page in the end has to say.
type outcome struct {
	Ended    bool     `json:"ended,omitempty"`   // a session has ended
	Clients  []string `json:"clients,omitempty"` // that can't be told, by id
	Sources  []string `json:"sources,omitempty"` // that still have a session, by id
	ClientID string   `json:"client,omitempty"`  // that asked
}

// leave leads on from sessions that have ended.
func (l *Logout) leave(w http.ResponseWriter, r *http.Request, b *session.Browser, ended []session.Entry, req *request) error {
	ctx := r.Context()
	j := journey{id: "r" + id.NewSecret(), Target: l.targetOf(req), Outcome: outcome{Ended: true, ClientID: req.clientID()}}
	var frames []ui.Frame
	for _, e := range ended {
		for _, clientID := range slices.Sorted(maps.Keys(e.Value.Clients)) {
			c, err := l.cfg.Clients.Get(ctx, clientID)
			if err != nil {
				continue // the session has ended all the same
			}
			address := l.frameOf(ctx, c, e.Key)
			switch {
			case address != "":
				frames = append(frames, ui.Frame{URL: address, Client: c.DisplayName()})
			case c.BackchannelLogoutURI == "" && clientID != j.Outcome.ClientID && !slices.Contains(j.Outcome.Clients, clientID):
				j.Outcome.Clients = append(j.Outcome.Clients, clientID)
			}
		}
		j.addSource(e)
	}
	if len(frames) == 0 {
		return l.goOn(w, r, j)
	}
	if err := l.keep(w, r, &j); err != nil {
		return err
	}
	l.page.Frontchannel(w, r, ui.FrontchannelPage{Frames: frames, NextURL: l.page.Path("/logout/callback", url.Values{"state": {j.id}})})
	return nil
}

// addSource notes that a session's source may have one of its own.
func (j *journey) addSource(e session.Entry) {
	identity := e.Value.Identity
	identity.Groups = nil // which can be many, and no source asks for them back
	j.Sources = append(j.Sources, source{ConnectorID: e.Value.ConnectorID, Identity: identity, Session: e.Value.Source})
}

// frameOf returns the address that tells a client through the browser (Front-Channel Logout, section 3); empty if there is none.
func (l *Logout) frameOf(ctx context.Context, c *client.Client, sessionID string) string {
	if c.FrontchannelLogoutURI == "" || l.cfg.FrameAllowed != nil && !l.cfg.FrameAllowed(ctx, c, c.FrontchannelLogoutURI) {
		return ""
	}
	return oauth.WithQuery(c.FrontchannelLogoutURI, url.Values{"iss": {l.cfg.Issuer}, "sid": {sessionID}})
}

// goOn leads to the next source that has a logout of its own, and from the last one to the end.
func (l *Logout) goOn(w http.ResponseWriter, r *http.Request, j journey) error {
	for len(j.Sources) > 0 {
		next := &j.Sources[0]
		if !next.Asked {
			next.Asked = true
			to, ok := l.askSource(r.Context(), next, j.id)
			if ok {
				next.Data = to.Data
				if err := l.keep(w, r, &j); err != nil {
					return err
				}
				shown := ui.FormPostPage{Source: l.nameOf(r, next.ConnectorID), URL: to.URL}
				if to.Form != nil {
					shown.Fields = page.Fields(to.Form)
				}
				l.page.Go(w, r, http.StatusSeeOther, shown)
				return nil
			}
			if l.keepsSession(r.Context(), next.ConnectorID) {
				j.Outcome.Sources = append(j.Outcome.Sources, next.ConnectorID)
			}
		}
		j.Sources = j.Sources[1:]
	}
	return l.finish(w, r, j, j.Outcome)
}

// askSource returns the way to a source's own logout; false if there is none, or it can't be had.
func (l *Logout) askSource(ctx context.Context, s *source, state string) (connector.Redirect, bool) {
	opened, err := l.cfg.Connectors.Open(ctx, s.ConnectorID)
	if err != nil {
		return connector.Redirect{}, false
	}
	at, ok := opened.Instance.(connector.Logout)
	if !ok {
		return connector.Redirect{}, false
	}
	to, err := at.LogoutURL(ctx, connector.LogoutRequest{
		Identity: s.Identity, Session: s.Session, ReturnURL: l.cfg.IssuerURL.String() + "/logout/callback", State: state,
	})
	if err != nil {
		l.cfg.Log.WarnContext(ctx, "identity source can't be asked to log out", "connector_id", s.ConnectorID, "err", err)
		return connector.Redirect{}, false
	}
	return to, to.URL != ""
}

// keepsSession reports whether a source may have a session of its own, as those do that have a login page of their own.
func (l *Logout) keepsSession(ctx context.Context, connectorID string) bool {
	opened, err := l.cfg.Connectors.Open(ctx, connectorID)
	if err != nil {
		return false
	}
	_, own := opened.Instance.(connector.Callback)
	return own
}

// Callback is where sources, and our own page, lead on from.
func (l *Logout) Callback() http.Handler { return l.page.Serve(l.callback) }

func (l *Logout) callback(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	if err := page.Parse(r, "The provider's answer can't be read."); err != nil {
		return err
	}
	state := stateOf(r)
	if state == noState && l.repost(w, r, "/logout/callback") {
		return nil
	}
	e, err := l.journeys.Get(r.Context(), state)
	if errors.Is(err, store.ErrNotFound) {
		return page.Errorf(http.StatusBadRequest, "This logout has already finished, or it took too long.").
			Hint("You can close this page.")
	}
	if err != nil {
		return page.Errorf(http.StatusInternalServerError, "This logout can't continue.").Hint("Try again in a moment.").Because(err)
	}
	j := e.Value
	j.id, j.stored = state, true
	if len(j.Sources) > 0 && j.Sources[0].Asked {
		l.heard(r, j.Sources[0], state)
	}
	return l.goOn(w, r, j)
}

// noState is the state if a source gives none back: no journey has this key.
const noState = "-"

// stateOf returns what a source gives back.
func stateOf(r *http.Request) string {
	state := cmp.Or(r.Form.Get("RelayState"), r.Form.Get("state"))
	if c, err := r.Cookie(stateCookie); err == nil && state == "" {
		state = c.Value
	}
	if len(state) > store.MaxKey || state == "" {
		return noState
	}
	return state
}

// heard reads a source's answer. Our own session has ended whatever it says.
func (l *Logout) heard(r *http.Request, s source, state string) {
	ctx := r.Context()
	opened, err := l.cfg.Connectors.Open(ctx, s.ConnectorID)
	if err == nil {
		if at, ok := opened.Instance.(connector.Logout); ok {
			err = at.HandleLogout(ctx, connector.Return{State: state, Data: s.Data, Request: r})
		}
	}
	if err != nil && !errors.Is(err, federation.ErrUnknown) {
		l.cfg.Log.WarnContext(ctx, "identity source's answer to a logout can't be used", "connector_id", s.ConnectorID, "err", err)
	}
}

// finish leads to the application, or shows the page at the end.
func (l *Logout) finish(w http.ResponseWriter, r *http.Request, j journey, o outcome) error {
	if j.stored {
		if err := l.journeys.Delete(r.Context(), j.id, ""); err != nil && !errors.Is(err, store.ErrNotFound) {
			l.cfg.Log.WarnContext(r.Context(), "a logout that has ended could not be removed", "err", err)
		}
	}
	if j.Target != "" {
		http.Redirect(w, r, j.Target, http.StatusFound)
		return nil
	}
	shown := ui.LogoutPage{LoggedOut: o.Ended}
	if c, err := l.cfg.Clients.Get(r.Context(), o.ClientID); err == nil && len(c.PostLogoutRedirectURIs) > 0 {
		shown.BackURL, shown.App = c.PostLogoutRedirectURIs[0], c.DisplayName()
	}
	for _, clientID := range o.Clients {
		if c, err := l.cfg.Clients.Get(r.Context(), clientID); err == nil {
			shown.StillOpen = append(shown.StillOpen, c.DisplayName())
		}
	}
	if len(o.Sources) > 0 {
		shown.SourceName = l.nameOf(r, o.Sources[0])
	}
	if b, err := l.cfg.Sessions.Browser(r); err == nil && o.Ended {
		for _, e := range b.Accounts() {
			shown.Others = append(shown.Others, l.account(r, e))
		}
	}
	l.page.Logout(w, r, shown)
	return nil
}
