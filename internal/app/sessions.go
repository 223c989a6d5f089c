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
	core, set := e.core, e.cfg.Sessions
	with.identities = identity.New(core.store, e.rememberConsent(), time.Now)
	with.bound = &session.Bound{Clients: with.clients}
	with.verifier.Sessions = with.bound
	if !e.cfg.SessionsOn() {
		// Only passwords of our own can be reset, so nobody else's logins have to look whether they were ended by that.
		with.identities = with.identities.Only(federation.LocalID)
		return
	}
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
	with.verifier.Users = with.identities
	with.logout = logout.New(logout.Config{
		Issuer: e.cfg.Issuer, IssuerURL: core.issuer, Store: core.store, Ring: core.ring,
		Sessions: with.sessions, Families: with.families, Clients: with.clients, Connectors: e.connectors,
		Queue: core.logoutTokens, Hints: with.verifier, Pages: e.pages, Log: core.log, Events: core.events,
		FrameAllowed:       e.frameAllowed(with.clients),
		RefuseUnregistered: e.compatible().ErrorRedirects == config.Upstream,
	})
}

// rememberConsent returns for how long a consent counts: 0 for ever, less than 0 not at all.
func (e *Edition) rememberConsent() time.Duration {
	if !e.cfg.SessionsOn() || !*e.cfg.Sessions.RememberConsent {
		return -1
	}
	return e.cfg.Sessions.ConsentLifetime
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
		Sessions: with.sessions, SignOut: with.logout, Offline: with.offline,
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
