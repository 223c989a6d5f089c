package app

import (
	"net/http"
	"path"

	"dex/internal/authorize"
	"dex/internal/config"
	"dex/internal/device"
	"dex/internal/discovery"
	"dex/internal/grant"
	"dex/internal/introspection"
	"dex/internal/login"
	"dex/internal/oauth"
	"dex/internal/revocation"
	"dex/internal/server"
	"dex/internal/ui"
	"dex/internal/userinfo"
)

// rooms is who serves the routes.
type rooms struct {
	authorize     *authorize.Endpoint
	login         *login.Flow
	token         *grant.Endpoint
	device        *device.Endpoints
	userinfo      *userinfo.Endpoint
	revocation    *revocation.Endpoint
	introspection *introspection.Endpoint
	discovery     *discovery.Discovery
}

// route returns every path of the web listeners.
func (a *App) route(in rooms) []server.Route {
	const metadata = "/.well-known/oauth-authorization-server"
	read := []string{http.MethodGet}
	post, both := []string{http.MethodPost}, []string{http.MethodGet, http.MethodPost}
	routes := []server.Route{
		{Pattern: "/", Handler: a.home(), CORS: true, Methods: read},
		{Pattern: "/.well-known/openid-configuration", Handler: in.discovery.Metadata(), CORS: true, Methods: read},
		{Pattern: metadata, Handler: in.discovery.Metadata(), CORS: true, Methods: read},
		{Pattern: "/keys", Handler: in.discovery.JWKS(), CORS: true, Methods: read},

		{Pattern: "/auth", Handler: in.authorize.Authorize(), Methods: both},
		{Pattern: "/auth/{connector}", Handler: in.authorize.Authorize(), Methods: both},
		{Pattern: "/auth/{connector}/login", Handler: in.login.Password(), Methods: both},
		{Pattern: "/callback", Handler: in.login.Callback(), Methods: both, MaxBody: login.MaxAnswer},
		{Pattern: "/callback/{connector}", Handler: in.login.Callback(), Methods: both, MaxBody: login.MaxAnswer},
		{Pattern: "/approval", Handler: in.login.Approval(), Methods: both},
		{Pattern: "/saml/{connector}/metadata", Handler: in.login.Metadata(), Methods: read},

		{Pattern: "/token", Handler: in.token, CORS: true, Methods: post, Error: oauth.WriteStatus},
		{Pattern: "/token/introspect", Handler: in.introspection, CORS: true, Methods: post, MaxBody: oauth.MaxTokenForm, Error: oauth.WriteStatus},
		{Pattern: "/token/revoke", Handler: in.revocation, CORS: true, Methods: post, MaxBody: oauth.MaxTokenForm, Error: oauth.WriteStatus},
		{Pattern: "/device", Handler: in.device.Form(), Methods: read},
		{Pattern: "/device/auth/verify_code", Handler: in.device.Verify(), Methods: post},
		{Pattern: "/device/callback", Handler: in.device.Result(), Methods: read},
		{Pattern: "/device/code", Handler: in.device.Authorize(), Methods: post, Error: oauth.WriteStatus},
		{Pattern: "/device/token", Handler: in.device.TokenAlias(), Methods: post, Error: oauth.WriteStatus},
		{
			Pattern: "/userinfo", Handler: in.userinfo, CORS: true, Methods: both, Error: oauth.WriteStatus,
			MaxBody: oauth.MaxTokenForm, MaxHeader: server.LargestHeader,
		},

		{Pattern: "/healthz", Handler: a.health.WebHandler(http.HandlerFunc(a.unhealthy))},
		{Pattern: "/robots.txt", Handler: a.pages.Robots(), Methods: read},
		{Pattern: "/static/{file...}", Handler: a.pages.Static(), Methods: read, Asset: true},
		{Pattern: "/theme/{file...}", Handler: a.pages.Theme(), Methods: read, Asset: true},
	}
	// RFC 8414 (3.1) inserts the well-known path before the issuer's; some clients append it, as OpenID does.
	if below := path.Clean("/" + a.issuer.EscapedPath()); below != "/" {
		routes = append(routes, server.Route{
			Pattern: metadata + below, Root: true, Handler: in.discovery.Metadata(), CORS: true, Methods: read,
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
		MaxBody:       oauth.MaxForm,
		NotFound:      http.HandlerFunc(a.pages.NotFound),
		ErrorPage:     a.errorPage,
	}, a.routes), nil
}

func headers(h config.ResponseHeaders) map[string]string {
	set := map[string]string{}
	for name, value := range map[string]*string{
		"Content-Security-Policy":   h.ContentSecurityPolicy,
		"X-Frame-Options":           h.XFrameOptions,
		"X-Content-Type-Options":    h.XContentTypeOptions,
		"X-XSS-Protection":          h.XXSSProtection,
		"Strict-Transport-Security": h.StrictTransportSecurity,
	} {
		if value != nil {
			set[name] = *value
		}
	}
	return set
}
