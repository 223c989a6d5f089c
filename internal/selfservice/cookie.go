package selfservice

import (
	"cmp"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"dex/internal/id"
	"dex/internal/page"
)

// cookie is the secret of the browser from which a reset was asked for: an address alone, which may be in the logs of a proxy or in a
// forwarded mail, sets no password.
type cookie struct {
	name     string
	path     string
	secure   bool
	lifetime time.Duration
}

func newCookie(issuer *url.URL, lifetime time.Duration) cookie {
	c := cookie{name: "dex_reset", path: cmp.Or(page.Base(issuer), "/"), secure: issuer.Scheme == "https", lifetime: lifetime}
	// As for logins: browsers hold cookies with these names to their origin (RFC 6265bis, section 4.1.3).
	switch {
	case c.secure && c.path == "/":
		c.name = "__Host-" + c.name
	case c.secure:
		c.name = "__Secure-" + c.name
	}
	return c
}

// secretForm is what id.NewSecret returns.
var secretForm = regexp.MustCompile(`^[a-z2-7]{52}$`)

// give makes the browser keep a secret, and returns its hash. The secret of another request stays, so that its link goes on working.
func (c cookie) give(w http.ResponseWriter, r *http.Request) []byte {
	secret, ok := c.of(r)
	if !ok {
		secret = id.NewSecret()
	}
	c.set(w, secret, int(c.lifetime/time.Second))
	return id.Hash(secret)
}

// has reports whether the browser has the secret of a hash.
func (c cookie) has(r *http.Request, hash []byte) bool {
	secret, ok := c.of(r)
	return ok && id.IsHashOf(hash, secret)
}

func (c cookie) of(r *http.Request) (secret string, ok bool) {
	found := r.CookiesNamed(c.name)
	if len(found) != 1 || !secretForm.MatchString(found[0].Value) {
		return "", false
	}
	return found[0].Value, true
}

func (c cookie) forget(w http.ResponseWriter) { c.set(w, "", -1) }

// set sets the cookie. Links in mail lead here from other sites, so it can't be strict.
func (c cookie) set(w http.ResponseWriter, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: Secure where the issuer is https
		Name: c.name, Value: value, Path: c.path, MaxAge: maxAge, HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteLaxMode,
	})
}
