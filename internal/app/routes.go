package app

import (
	"net/http"
	"path"

	"dex/internal/config"
	"dex/internal/discovery"
	"dex/internal/login"
	"dex/internal/server"
	"dex/internal/token"
	"dex/internal/ui"
	"dex/internal/userinfo"
)

// route returns every path of the web listeners.
func (a *App) route(
	flow *login.Flow, tokens *token.Endpoint, user *userinfo.Endpoint, published *discovery.Discovery,
) []server.Route {
	const metadata = "/.well-known/oauth-authorization-server"
	read := []string{http.MethodGet}
	routes := []server.Route{
		{Pattern: "/", Handler: a.home(), CORS: true, Methods: read},
		{Pattern: "/.well-known/openid-configuration", Handler: published.Metadata(), CORS: true},
		{Pattern: metadata, Handler: published.Metadata(), CORS: true},
		{Pattern: "/keys", Handler: published.JWKS(), CORS: true},

		{Pattern: "/auth", Handler: flow.Authorize()},
		{Pattern: "/auth/{connector}", Handler: flow.AuthorizeConnector()},
		{Pattern: "/auth/{connector}/login", Handler: flow.Password()},
		{Pattern: "/callback", Handler: flow.Callback()},
		{Pattern: "/callback/{connector}", Handler: flow.Callback()},
		{Pattern: "/approval", Handler: flow.Approval()},

		{Pattern: "/token", Handler: tokens, CORS: true},
		{Pattern: "/userinfo", Handler: user, CORS: true},

		{Pattern: "/healthz", Handler: a.health.WebHandler(http.HandlerFunc(a.unhealthy))},
		{Pattern: "/robots.txt", Handler: a.pages.Robots(), Methods: read},
		{Pattern: "/static/{file...}", Handler: a.pages.Static(), Methods: read, Asset: true},
		{Pattern: "/theme/{file...}", Handler: a.pages.Theme(), Methods: read, Asset: true},
	}
	// RFC 8414 (3.1) inserts the well-known path before the issuer's; some clients append it, as OpenID does.
	if below := path.Clean("/" + a.issuer.EscapedPath()); below != "/" {
		routes = append(routes, server.Route{
			Pattern: metadata + below, Root: true, Handler: published.Metadata(), CORS: true,
		})
	}
	return routes
}

func (a *App) home() http.Handler {
	discoveryURL := a.issuer.JoinPath(".well-known", "openid-configuration").String()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.pages.Home(w, r, ui.HomePage{DiscoveryURL: discoveryURL})
	})
}

func (a *App) unhealthy(w http.ResponseWriter, r *http.Request) {
	a.errorPage(w, r, http.StatusInternalServerError)
}

// Handler returns what both web listeners serve.
func (a *App) Handler() (http.Handler, error) {
	addresses, err := clientAddress(a.cfg.Web.ClientRemoteIP)
	if err != nil {
		return nil, err
	}
	return server.New(server.Options{
		Issuer:  a.issuer,
		Log:     a.log,
		Metrics: a.metrics,
		Headers: headers(a.cfg.Web.Headers),
		CORS: server.CORS{
			AllowedOrigins: a.cfg.Web.AllowedOrigins,
			AllowedHeaders: a.cfg.Web.AllowedHeaders,
		},
		ClientAddress: addresses,
		NotFound:      http.HandlerFunc(a.pages.NotFound),
		ErrorPage:     a.errorPage,
	}, a.routes), nil
}

func headers(h config.ResponseHeaders) map[string]string {
	return map[string]string{
		"Content-Security-Policy":   h.ContentSecurityPolicy,
		"X-Frame-Options":           h.XFrameOptions,
		"X-Content-Type-Options":    h.XContentTypeOptions,
		"X-XSS-Protection":          h.XXSSProtection,
		"Strict-Transport-Security": h.StrictTransportSecurity,
	}
}
