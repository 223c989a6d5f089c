package app

import (
	"net/http"
	"path"

	"dex/internal/account"
	"dex/internal/authorize"
	"dex/internal/device"
	"dex/internal/discovery"
	"dex/internal/grant"
	"dex/internal/introspection"
	"dex/internal/login"
	"dex/internal/logout"
	"dex/internal/oauth"
	"dex/internal/revocation"
	"dex/internal/selfservice"
	"dex/internal/server"
	"dex/internal/session"
	"dex/internal/ui"
	"dex/internal/userinfo"
)

// rooms are the handlers of the routes.
type rooms struct {
	account       *account.Account
	authorize     *authorize.Endpoint
	login         *login.Flow
	sessions      *session.Sessions // nil where they are off, as is the next one
	logout        *logout.Logout
	factors       bool // there are second factors
	token         *grant.Endpoint
	device        *device.Endpoints
	userinfo      *userinfo.Endpoint
	revocation    *revocation.Endpoint
	introspection *introspection.Endpoint
	discovery     *discovery.Discovery
	selfService   *selfservice.SelfService
}

// route returns every path of the web listeners.
func (e *Edition) route(in rooms) []server.Route {
	const metadata = "/.well-known/oauth-authorization-server"
	read := []string{http.MethodGet}
	post, both := []string{http.MethodPost}, []string{http.MethodGet, http.MethodPost}
	routes := []server.Route{
		{Pattern: "/", Handler: in.account.Home(), CORS: true, Methods: read},
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
		{Pattern: "/device/auth/verify_code", Handler: in.device.Verify(), Methods: both},
		{Pattern: "/device/callback", Handler: in.device.Result(), Methods: read},
		{Pattern: "/device/code", Handler: in.device.Authorize(), Methods: post, Error: oauth.WriteStatus},
		{Pattern: "/device/token", Handler: in.device.TokenAlias(), Methods: post, Error: oauth.WriteStatus},
		{
			Pattern: "/userinfo", Handler: in.userinfo, CORS: true, Methods: both, Error: oauth.WriteStatus,
			MaxBody: oauth.MaxTokenForm, MaxHeader: server.LargestHeader,
		},

		{Pattern: "/healthz", Handler: e.core.health.WebHandler(http.HandlerFunc(e.unhealthy))},
		{Pattern: ui.LanguagePath, Handler: http.HandlerFunc(e.pages.Language), Methods: read},
		{Pattern: "/robots.txt", Handler: e.pages.Robots(), Methods: read},
		{Pattern: "/static/{file...}", Handler: e.pages.Static(), Methods: read, Asset: true},
		{Pattern: "/theme/{file...}", Handler: e.pages.Theme(), Methods: read, Asset: true},
	}
	routes = append(routes, e.sessionRoutes(in)...)
	routes = append(routes, e.factorRoutes(in)...)
	for _, own := range in.account.Routes() {
		routes = append(routes, server.Route{Pattern: own.Path, Handler: own.Handler, Methods: own.Methods})
	}
	routes = append(routes, selfServiceRoutes(in.selfService)...)
	// RFC 8414 (3.1) inserts the well-known path before the issuer's; some clients append it, as OpenID does.
	if below := path.Clean("/" + e.core.issuer.EscapedPath()); below != "/" {
		routes = append(routes, server.Route{
			Pattern: metadata + below, Root: true, Handler: in.discovery.Metadata(), CORS: true, Methods: read,
		})
	}
	return e.core.bounded(e.core.recorded(routes, e.errorPage), e.errorPage)
}

func (e *Edition) unhealthy(w http.ResponseWriter, r *http.Request) {
	e.errorPage(w, r, http.StatusInternalServerError)
}
