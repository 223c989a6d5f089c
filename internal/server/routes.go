package server

import (
	"cmp"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A Route is a path below the issuer's, and its handler.
type Route struct {
	// Pattern is the path without the issuer's, and the label of the route's metrics. It may have one variable, which
	// the handler reads with PathValue: a segment, as in "/auth/{connector}", or the rest of the path, as in
	// "/static/{file...}". Variables are matched in the encoded path and decoded once; see verbatim for how they may be
	// spelled. "/" is the issuer's path itself.
	Pattern string
	Handler http.Handler
	// Methods are the allowed methods, where GET implies HEAD; others get 405. Nil leaves it to the handler.
	Methods []string
	// MaxBody is how large a request's body may be, in bytes; Options.MaxBody if 0.
	MaxBody int64
	// MaxHeader is how large its header may be without cookies, in bytes; DefaultMaxHeader if 0, and LargestHeader at most.
	MaxHeader int
	// Error answers 405, 413 and 431 in the form of the route's own errors; nil means Options.ErrorPage.
	Error func(w http.ResponseWriter, r *http.Request, status int)
	CORS  bool // whether scripts from the configured origins may read the answers
	Asset bool // files, which have no metrics
	Root  bool // Pattern is the whole path, not one below the issuer's
}

// router finds the route of a path, as strictly as upstream Dex does: it corrects nothing, and redirects only to the home
// page.
type router struct {
	mux      *http.ServeMux
	notFound http.Handler
}

func newRouter(opts Options, routes []Route) *router {
	base := strings.TrimSuffix(path.Clean("/"+opts.Issuer.EscapedPath()), "/")
	rt := &router{mux: http.NewServeMux(), notFound: opts.NotFound}
	rt.mux.Handle("/", opts.NotFound)

	cors := newCrossOrigin(opts.CORS)
	for _, route := range routes {
		h := guard(route, opts, cors)
		if route.Pattern == "/" {
			rt.handleHome(base, h)
			continue
		}
		pattern := base + route.Pattern
		if route.Root {
			pattern = route.Pattern
		}
		rt.mux.Handle(pattern, rt.verbatim(pattern, h))
		if bare, subtree := subtreeRoot(route.Pattern); subtree && !registered(routes, bare) {
			rt.mux.Handle(strings.TrimSuffix(pattern, route.Pattern)+bare, opts.NotFound) // ServeMux would redirect /static to /static/
		}
	}
	return rt
}

// handleHome serves the home page at the issuer's path, to which the same path with a slash redirects.
func (rt *router) handleHome(base string, h http.Handler) {
	if base == "" {
		rt.mux.Handle("/{$}", h)
		return
	}
	rt.mux.Handle(base, rt.verbatim(base, h))
	rt.mux.HandleFunc(base+"/{$}", func(w http.ResponseWriter, r *http.Request) {
		home := base
		if r.URL.RawQuery != "" {
			home += "?" + r.URL.RawQuery
		}
		http.Redirect(w, r, home, http.StatusPermanentRedirect) //nolint:gosec // the path is ours, only the query is the client's
	})
}

func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !clean(r.URL.EscapedPath()) {
		rt.notFound.ServeHTTP(w, r) // ServeMux would redirect to the cleaned path
		return
	}
	rt.mux.ServeHTTP(w, r)
}

// clean reports whether the path is absolute and has no empty, "." or ".." segment, except for an empty last one.
func clean(p string) bool {
	if p == "/" {
		return true
	}
	return strings.HasPrefix(p, "/") && !strings.Contains(p, "//") && path.Clean(p) == strings.TrimSuffix(p, "/")
}

// verbatim lets a request through only if it spells the fixed parts as the pattern does, and escapes nothing in the
// variable that needs no escape. ServeMux decodes both first, so that /%74oken would get around a proxy's rule about
// /token, and /auth/%6cdap around one about /auth/ldap.
func (rt *router) verbatim(pattern string, next http.Handler) http.Handler {
	prefix, suffix, variable := cutVariable(pattern)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.EscapedPath()
		if p == pattern || variable && strings.HasPrefix(p, prefix) && strings.HasSuffix(p, suffix) && !needlessEscape.MatchString(p) {
			next.ServeHTTP(w, r)
			return
		}
		rt.notFound.ServeHTTP(w, r)
	})
}

// needlessEscape finds escapes of letters, digits, "-", ".", "_" and "~", which should not be used (RFC 3986 2.3).
var needlessEscape = regexp.MustCompile(`%(2[DdEe]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe])`)

// cutVariable returns what is before and after the pattern's variable. A pattern that ends in a slash has an unnamed one.
func cutVariable(pattern string) (prefix, suffix string, variable bool) {
	prefix, name, found := strings.Cut(pattern, "{")
	if !found {
		return pattern, "", strings.HasSuffix(pattern, "/")
	}
	_, suffix, _ = strings.Cut(name, "}")
	return prefix, suffix, true
}

// subtreeRoot returns the path below which the pattern matches everything, without its final slash; false if the pattern
// doesn't match a subtree.
func subtreeRoot(pattern string) (root string, subtree bool) {
	prefix, _, _ := cutVariable(pattern)
	root = strings.TrimSuffix(prefix, "/")
	return root, root != "" && (strings.HasSuffix(pattern, "/") || strings.HasSuffix(pattern, "...}"))
}

func registered(routes []Route, pattern string) bool {
	return slices.ContainsFunc(routes, func(r Route) bool { return r.Pattern == pattern })
}

// guard wraps a route's handler in what its Route asks for. Metrics and traces are outermost, so that they see all answers.
func guard(route Route, opts Options, cors *crossOrigin) http.Handler {
	h := route.Handler
	if route.Error == nil {
		route.Error = opts.ErrorPage
	}
	if route.Methods != nil {
		h = allowMethods(route.Methods, route.Error, h)
	}
	h = limitLength(cmp.Or(route.MaxBody, opts.MaxBody), route.Error, h)
	h = limitHeader(cmp.Or(route.MaxHeader, DefaultMaxHeader), route.Error, h)
	if route.CORS && cors != nil {
		h = cors.wrap(h)
	}
	if opts.Metrics != nil && !route.Asset {
		h = opts.Metrics.Route(route.Pattern, h)
	}
	if opts.Traces != nil && !route.Asset {
		addresses := opts.ClientAddress.normalized()
		h = opts.Traces.Route(route.Pattern, func(r *http.Request) bool { return addresses.trustedPeer(host(r.RemoteAddr)) }, h)
	}
	return h
}

type errorPage = func(w http.ResponseWriter, r *http.Request, status int)

// allowMethods answers 405 to all other methods.
func allowMethods(methods []string, page errorPage, next http.Handler) http.Handler {
	methods = slices.Clone(methods)
	if slices.Contains(methods, http.MethodGet) && !slices.Contains(methods, http.MethodHead) {
		methods = append(methods, http.MethodHead)
	}
	allow := strings.Join(methods, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			w.Header().Set("Allow", allow)
			page(w, r, http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// limitHeader refuses a header that is too large for the route. net/http refuses one that is too large for all routes, with
// its cookies.
func limitHeader(limit int, page errorPage, next http.Handler) http.Handler {
	const lineEnd = len(": \r\n")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size := len(r.Method) + len(r.RequestURI) + len(r.Host)
		for name, values := range r.Header {
			if name == "Cookie" {
				continue
			}
			for _, value := range values {
				size += len(name) + len(value) + lineEnd
			}
		}
		if size > limit {
			page(w, r, http.StatusRequestHeaderFieldsTooLarge)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// limitLength refuses a body whose Content-Length is too large before reading any of it; net/http then closes the
// connection. A body of unknown length is cut off when it is read.
func limitLength(limit int64, page errorPage, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > limit {
			page(w, r, http.StatusRequestEntityTooLarge)
			return
		}
		if b, ok := r.Body.(*body); ok {
			b.bound(limit)
		}
		next.ServeHTTP(w, r)
	})
}
