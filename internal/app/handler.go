package app

import (
	"fmt"
	"net/http"
	"net/netip"

	"dex/internal/config"
	"dex/internal/oauth"
	"dex/internal/server"
	"dex/internal/telemetry"
	"dex/internal/ui"
)

// serve returns the handler of the routes, with what all of them have in common.
func (e *Edition) serve(addresses server.ClientAddress) http.Handler {
	return server.New(server.Options{
		Issuer:  e.core.issuer,
		Log:     e.core.log,
		Metrics: e.core.metrics,
		Traces:  e.core.traces,
		Headers: headers(e.cfg.Web.Headers),
		CORS: server.CORS{
			AllowedOrigins: e.cfg.Web.AllowedOrigins,
			AllowedHeaders: e.cfg.Web.AllowedHeaders,
		},
		ClientAddress: addresses,
		MaxBody:       oauth.MaxForm,
		NotFound:      http.HandlerFunc(e.notFound),
		ErrorPage:     e.errorPage,
	}, e.routes)
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

func clientAddress(c config.ClientRemoteIP) (server.ClientAddress, error) {
	address := server.ClientAddress{Header: c.Header}
	for _, prefix := range c.TrustedProxies {
		p, err := netip.ParsePrefix(prefix)
		if err != nil {
			return server.ClientAddress{}, fmt.Errorf("web.clientRemoteIP.trustedProxies: %w", err)
		}
		address.TrustedProxies = append(address.TrustedProxies, p)
	}
	return address, nil
}

// notFound answers where there is nothing: with a page for people, with JSON for programs.
func (e *Edition) notFound(w http.ResponseWriter, r *http.Request) {
	if ui.WantsPage(r) {
		e.pages.NotFound(w, r)
		return
	}
	oauth.Errorf(oauth.InvalidRequest, "There is nothing at this address.").WriteJSON(w, http.StatusNotFound)
}

// errorPage shows what goes wrong outside of the rooms.
func (e *Edition) errorPage(w http.ResponseWriter, r *http.Request, status int) {
	page := ui.ErrorPage{RequestID: telemetry.RequestID(r.Context())}
	switch status {
	case http.StatusMethodNotAllowed:
		page.ErrMsg = "This page can't be opened this way."
		page.RetryURL, page.RetryText = e.pages.HomePath(), "Go to the start page"
	case http.StatusRequestEntityTooLarge:
		page.ErrMsg = "The request is too large."
	case http.StatusRequestHeaderFieldsTooLarge:
		page.ErrMsg = "Your browser sent too much with its request."
		page.Hint = "Delete this site's cookies, then try again."
	default:
		page.ErrMsg = "Something went wrong on our side."
		page.Hint = "Try again in a moment."
	}
	e.pages.Error(w, r, status, page)
}
