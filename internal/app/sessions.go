package app

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/login"
	"dex/internal/logout"
	"dex/internal/outbound"
	"dex/internal/server"
	"dex/internal/session"
	"dex/internal/store"
	"dex/internal/ui"
)

// shareSessions makes what rooms need for browsers' sessions, where they are on. Tokens that live only as long as a session are known as
// such in any case, so that they are refused once sessions have been switched off.
func (e *Edition) shareSessions(with *shared) {
	with.bound = &session.Bound{Clients: with.clients}
	with.verifier.Sessions = with.bound
	if !e.cfg.SessionsOn() {
		return
	}
	core, set := e.core, e.cfg.Sessions
	with.sessions = session.New(session.Config{
		Store: core.store, Ring: core.ring, IssuerURL: core.issuer,
		CookieName:  set.CookieName,
		Upstream:    e.upstreamCookie(),
		CrossSite:   set.CrossSite,
		State:       set.CheckSessionIframe,
		Idle:        set.ValidIfNotUsedFor,
		Lifetime:    set.AbsoluteLifetime,
		MaxAccounts: set.MaxAccounts,
		Remember:    *set.RememberMeCheckedByDefault,
		Now:         time.Now,
	})
	with.bound.Sessions = with.sessions
	remember := set.ConsentLifetime
	if !*set.RememberConsent {
		remember = -1
	}
	with.identities = identity.New(core.store, remember, time.Now)
	with.logout = logout.New(logout.Config{
		Issuer: e.cfg.Issuer, IssuerURL: core.issuer, Store: core.store, Ring: core.ring,
		Sessions: with.sessions, Families: with.families, Clients: with.clients, Connectors: e.connectors,
		Queue: core.logoutTokens, Hints: with.verifier, Pages: e.pages, Log: core.log, Events: core.events,
		FrameAllowed:       e.frameAllowed(with.clients),
		RefuseUnregistered: e.compatible().ErrorRedirects == config.Upstream,
	})
}

// upstreamCookie returns what there is to know of upstream's cookies. A session that was taken over lasts no longer than others, as the
// user's next login gives it another secret.
func (e *Edition) upstreamCookie() session.UpstreamCookie {
	if e.core.upstream.Until.IsZero() {
		return session.UpstreamCookie{}
	}
	return session.UpstreamCookie{
		Key: e.cfg.Sessions.CookieKey(), Until: e.core.upstream.Until.Add(e.cfg.Sessions.AbsoluteLifetime),
	}
}

// loginSessions returns what logins need of sessions; nil where they are off.
func (e *Edition) loginSessions(with shared) *login.Sessions {
	if with.sessions == nil {
		return nil
	}
	return &login.Sessions{
		Sessions: with.sessions, Identities: with.identities, SignOut: with.logout, Offline: with.offline,
		ShareAll: e.cfg.Sessions.SSOSharedWithDefault == config.SharedWithAll,
	}
}

// frameAllowed returns which addresses of clients may be loaded in a frame. What the operator has written may; what others have must not
// lead people's browsers into a private network.
func (e *Edition) frameAllowed(clients *client.Registry) func(context.Context, *client.Client, string) bool {
	operator, others := outbound.NewOperatorGuard(), outbound.NewGuard(e.cfg.Sessions.LogoutHosts)
	return func(_ context.Context, c *client.Client, address string) bool {
		u, err := url.Parse(address)
		if err != nil {
			return false
		}
		if clients.Records().Configured(c.ID) {
			return operator.CheckURL(u) == nil
		}
		return others.CheckURL(u) == nil
	}
}

// sessionRoutes returns the paths of logouts, where sessions are on.
func (e *Edition) sessionRoutes(in rooms) []server.Route {
	if in.sessions == nil {
		return nil
	}
	both := []string{http.MethodGet, http.MethodPost}
	routes := []server.Route{
		{Pattern: "/logout", Handler: in.logout.RPInitiated(), Methods: both},
		{Pattern: "/logout/callback", Handler: in.logout.Callback(), Methods: both, MaxBody: login.MaxAnswer},
		{Pattern: "/logout/{connector}", Handler: in.logout.FromSource(), Methods: both, MaxBody: login.MaxAnswer},
	}
	if name := in.sessions.StateCookie(); name != "" {
		routes = append(routes, server.Route{
			Pattern: "/session/check", Methods: []string{http.MethodGet},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				e.pages.CheckSession(w, r, ui.CheckSessionPage{Cookie: name})
			}),
		})
	}
	return routes
}

// home shows people their session, where there is one.
func (e *Edition) home(sessions *session.Sessions) http.Handler {
	discoveryURL := e.core.issuer.JoinPath(".well-known", "openid-configuration").String()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown := ui.HomePage{DiscoveryURL: discoveryURL}
		if sessions != nil {
			w.Header().Set("Cache-Control", "no-store")
			b, err := sessions.Browser(r)
			if err != nil {
				e.core.log.ErrorContext(r.Context(), "sessions of a browser could not be read", "err", err)
				e.errorPage(w, r, http.StatusInternalServerError)
				return
			}
			e.showAccounts(r, &shown, b.Accounts())
		}
		e.pages.Home(w, r, shown)
	})
}

// showAccounts puts the accounts that are signed in onto the home page.
func (e *Edition) showAccounts(r *http.Request, shown *ui.HomePage, accounts []session.Entry) {
	for i, a := range accounts {
		s := &a.Value
		who := &s.Identity
		if i > 0 {
			shown.Others = append(shown.Others, ui.Account{Name: who.Username, Email: who.Email, Connector: e.connectorName(r, s.ConnectorID)})
			continue
		}
		shown.LoggedIn, shown.LogoutURL = true, e.core.issuer.JoinPath("logout").String()
		shown.Username, shown.Email, shown.EmailVerified, shown.Groups = who.Username, who.Email, who.EmailVerified, who.Groups
		if who.PreferredUsername != "" {
			shown.Username = who.PreferredUsername
		}
		shown.ConnectorName = e.connectorName(r, s.ConnectorID)
		shown.SignedIn, shown.SessionExpires = s.AuthTime, s.End()
		shown.SessionExpiryIsIdle = s.Idle.Before(s.Ends)
		shown.IPAddress, shown.UserAgent = s.Address, s.UserAgent
	}
}

// connectorName returns the name of a connector in the language of whoever asks; empty if there is none of that id.
func (e *Edition) connectorName(r *http.Request, id string) string {
	all, err := e.connectors.List(r.Context())
	if err != nil {
		return ""
	}
	for _, d := range all {
		if d.ID == id && id != federation.LocalID {
			return d.NameIn(e.pages.LanguageOf(r).Tag)
		}
	}
	return ""
}

// deliverLogoutTokens delivers what is queued, from when sessions are on for the first time: what was queued before they were switched
// off is still due.
func (c *Core) deliverLogoutTokens(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-c.sessionsOn:
		c.logoutTokens.Run(ctx)
	}
}

// sweepSessions removes the sessions that have ended by themselves, and tells their applications.
func (c *Core) sweepSessions(ctx context.Context, renew func(context.Context) error) (removed int, err error) {
	e := c.enter()
	defer e.leave()
	handled := 0
	table := store.In(c.store, session.Kind)
	return store.Reap(ctx, table, time.Now(), sweepPage, func(ctx context.Context, ended session.Entry) error {
		if handled++; handled%sweepPage == 0 {
			if err := renew(ctx); err != nil {
				return err
			}
		}
		if e.rooms.logout == nil || !*e.cfg.Sessions.NotifyExpired {
			return nil
		}
		return e.rooms.logout.Expired(ctx, ended)
	})
}
