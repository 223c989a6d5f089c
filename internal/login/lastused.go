package login

import (
	"cmp"
	"net/http"
	"net/url"
	"time"

	"dex/internal/federation"
	"dex/internal/page"
)

// The browser remembers through which connector somebody has logged in last, for all applications. Nothing but the order of the choice
// depends on that, so the cookie is neither sealed nor trusted.
const (
	lastUsedCookie = "dex_connector"
	lastUsedLife   = 365 * 24 * time.Hour
	// longestLastUsed bounds the id in the cookie, encoded, in bytes.
	longestLastUsed = 256
)

// lastUsed returns the id of the connector that the browser says was used last; empty for none.
func (f *Flow) lastUsed(r *http.Request) string {
	if !f.cfg.RememberConnector {
		return ""
	}
	cookie, err := r.Cookie(lastUsedCookie)
	if err != nil || len(cookie.Value) > longestLastUsed {
		return ""
	}
	id, err := url.QueryUnescape(cookie.Value)
	if err != nil {
		return ""
	}
	return id
}

// rememberConnector has the browser remember through which connector a login has succeeded, if there is a choice, and room
// for that beside the address that the browser is sent to. With the feature off, it forgets what it may have been told before.
func (f *Flow) rememberConnector(v *visit, address string) {
	cookie := &http.Cookie{ //nolint:gosec // G124: Secure where the issuer is https
		Name: lastUsedCookie, Path: cmp.Or(page.Base(f.cfg.IssuerURL), "/"), MaxAge: int(lastUsedLife / time.Second),
		HttpOnly: true, Secure: f.cfg.IssuerURL.Scheme == "https", SameSite: http.SameSiteLaxMode,
	}
	if !f.cfg.RememberConnector {
		if _, err := v.r.Cookie(lastUsedCookie); err == nil {
			cookie.MaxAge = -1
			http.SetCookie(v.w, cookie)
		}
		return
	}
	cookie.Value = url.QueryEscape(v.user.ConnectorID)
	if len(cookie.Value) > longestLastUsed || f.lastUsed(v.r) == v.user.ConnectorID || !f.hasChoice(v) {
		return
	}
	if len(cookie.String()) <= f.headRoom(v, address) {
		http.SetCookie(v.w, cookie)
	}
}

// hasChoice reports whether there is more than one connector to choose from.
func (f *Flow) hasChoice(v *visit) bool {
	all, err := f.cfg.Connectors.List(v.r.Context())
	if err != nil {
		return false // the login has succeeded all the same
	}
	offered := 0
	for _, d := range all {
		if offersLogin(d) {
			offered++
		}
	}
	return offered > 1
}

func offersLogin(d *federation.Definition) bool { return d.BeginsLogins() && !d.Hidden }
