package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// maxFormBytes is plenty for a form with a few tokens in it.
const maxFormBytes = 64 << 10

// app is the web application. Its handlers return errors; handle turns them
// into pages.
type app struct {
	provider      *provider
	clientID      string
	redirectURI   *url.URL
	pkce          bool
	checkInterval time.Duration // between silent checks; 0 for none
	sessions      *sessionStore
	logoutTokens  usedTokens
	streams       chan struct{}   // full if there are too many
	stopping      <-chan struct{} // closed when the program ends
	pages         pages
	log           *slog.Logger
	now           func() time.Time
}

// newApp returns the web application. The streams that it has open end with
// ctx.
func newApp(ctx context.Context, opts options, p *provider, logOut io.Writer) (*app, error) {
	parsed, err := parsePages()
	if err != nil {
		return nil, err
	}
	return &app{
		provider:      p,
		clientID:      opts.clientID,
		redirectURI:   opts.redirectURI,
		pkce:          opts.pkce,
		checkInterval: opts.checkInterval,
		sessions:      newSessionStore(opts.redirectURI.Scheme == "https"),
		streams:       make(chan struct{}, maxStreams),
		stopping:      ctx.Done(),
		pages:         parsed,
		log:           slog.New(slog.NewTextHandler(logOut, nil)),
		now:           time.Now,
	}, nil
}

// routes maps everything except the callback. Features that the provider
// lacks have no route.
func (a *app) routes() *http.ServeMux {
	routes := http.NewServeMux()
	routes.Handle("GET /{$}", a.handle(a.start))
	routes.Handle("POST /login", a.handle(a.login))
	routes.Handle("GET /tokens", a.handle(a.showTokens))
	routes.Handle("POST /refresh", a.handle(a.refreshHeld))
	routes.Handle("GET /logout", a.handle(a.logout))
	routes.HandleFunc("POST /backchannel-logout", a.backchannelLogout)
	routes.Handle("GET /events", a.handle(a.events))
	if a.provider.metadata.supportsGrant("refresh_token") {
		routes.Handle("GET /grant/refresh", a.handle(a.refreshForm))
		routes.Handle("POST /grant/refresh", a.handle(a.refreshGiven))
	}
	if a.provider.supportsDevices() {
		routes.Handle("GET /grant/device", a.handle(a.deviceForm))
		routes.Handle("POST /grant/device", a.handle(a.deviceBegin))
		routes.Handle("GET /grant/device/wait", a.handle(a.deviceWait))
		routes.Handle("POST /grant/device/cancel", a.handle(a.deviceCancel))
	}
	if a.provider.oidc.UserInfoEndpoint() != "" {
		routes.Handle("GET /tools/userinfo", a.handle(a.userInfoForm))
		routes.Handle("POST /userinfo", a.handle(a.userInfo))
	}
	routes.HandleFunc("GET /static/{file}", serveStatic)
	routes.Handle("/", a.handle(notFound))
	return routes
}

// handler adds the callback and the protections for all routes.
func (a *app) handler() (http.Handler, error) {
	routes := a.routes()
	path := a.redirectURI.Path
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if _, owner := routes.Handler(&http.Request{Method: method, URL: &url.URL{Path: path}}); owner != "/" {
			return nil, fmt.Errorf("--redirect-uri: path %q is not free for the callback, use one like /callback", path)
		}
	}
	callback := a.handle(a.callback)
	// The path is matched as plain text: a mux would interpret wildcards in it.
	router := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == path {
			callback.ServeHTTP(w, r)
			return
		}
		routes.ServeHTTP(w, r)
	})

	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(a.handle(refuseCrossOrigin))
	return secured(http.MaxBytesHandler(crossOrigin.Handler(router), maxFormBytes)), nil
}

// secured sets the headers of every response.
//
// The policy has no form-action: browsers also apply it to the redirects after
// a form, and those of a sign-in lead through the provider to wherever its
// users have their accounts.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		// Keeps codes from other sites. "no-referrer" would make browsers
		// send forms with a null origin.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
