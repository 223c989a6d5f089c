package server

import (
	"net/http"
	"slices"
	"strings"
)

// CORS says which scripts from other origins may read answers (Fetch standard, section 3.2). Credentials are allowed only
// for origins that are listed by name: the endpoints for scripts need none but a token that the script has.
type CORS struct {
	AllowedOrigins []string // compared byte by byte; "*" allows any; none means no CORS at all
	AllowedHeaders []string // that requests may have besides the harmless ones; in upper or lower case
}

// crossOrigin is CORS, ready for use.
type crossOrigin struct {
	anyone  bool
	origins []string
	headers []string // canonical
}

// harmlessHeaders may be in any request and aren't listed in the answer to a preflight. As in upstream Dex, Content-Type
// is not among them: the forms that scripts post need no preflight, and no endpoint takes other types from scripts.
var harmlessHeaders = []string{"Accept", "Accept-Language", "Content-Language", "Origin"}

// newCrossOrigin returns nil when no origin is allowed.
func newCrossOrigin(c CORS) *crossOrigin {
	if len(c.AllowedOrigins) == 0 {
		return nil
	}
	x := &crossOrigin{anyone: slices.Contains(c.AllowedOrigins, "*"), origins: c.AllowedOrigins}
	for _, name := range c.AllowedHeaders {
		x.headers = append(x.headers, http.CanonicalHeaderKey(strings.TrimSpace(name)))
	}
	return x
}

func (c *crossOrigin) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		allowed := c.allowOrigin(w.Header(), r.Header.Get("Origin"))
		switch {
		case r.Method != http.MethodOptions:
			next.ServeHTTP(w, r)
		case allowed:
			w.WriteHeader(c.preflight(w.Header(), r.Header))
		default:
			w.WriteHeader(http.StatusOK)
		}
	})
}

// allowOrigin sets Access-Control-Allow-Origin if the origin is allowed.
func (c *crossOrigin) allowOrigin(h http.Header, origin string) bool {
	if !c.anyone {
		// Also if the origin is absent or refused: a cache must not give that answer to an allowed one.
		h.Add("Vary", "Origin")
	}
	switch {
	case origin == "":
		return false
	case c.anyone:
		h.Set("Access-Control-Allow-Origin", "*")
	case slices.Contains(c.origins, origin):
		h.Set("Access-Control-Allow-Origin", origin)
		// These endpoints use no cookies, but some libraries, such as keycloak-js, request permission to send them.
		h.Set("Access-Control-Allow-Credentials", "true")
	default:
		return false
	}
	return true
}

// preflight returns the status of the answer to a preflight request, and sets which of the requested headers are allowed.
// Any status but 200 refuses the request, whatever headers go with it. The allowed methods are not listed: browsers allow
// them without.
func (c *crossOrigin) preflight(answer, request http.Header) int {
	method, present := request["Access-Control-Request-Method"]
	if !present {
		return http.StatusBadRequest
	}
	switch method[0] {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		return http.StatusMethodNotAllowed
	}
	var allowed []string
	for _, line := range request["Access-Control-Request-Headers"] {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			switch {
			case name == "" || slices.Contains(harmlessHeaders, name):
			case slices.Contains(c.headers, name):
				allowed = append(allowed, name)
			default:
				return http.StatusForbidden
			}
		}
	}
	if len(allowed) > 0 {
		answer.Set("Access-Control-Allow-Headers", strings.Join(allowed, ","))
	}
	return http.StatusOK
}
