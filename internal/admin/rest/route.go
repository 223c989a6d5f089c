package rest

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"dex/internal/admin"
	"dex/internal/spelling"
)

// A route is a method of a path, with what there is to say of it: the OpenAPI document is made from that.
type route struct {
	id      string // of the operation
	method  string
	path    string // below Base, with variables in braces
	needs   admin.Method
	summary string
	tag     string
	query   []parameter
	body    reflect.Type // of the request; nil for none
	answers []outcome    // when it succeeds
	etag    bool         // the answer has one
	matches bool         // If-Match counts
	create  bool         // If-None-Match: * counts
	reads   bool         // it changes nothing, whatever its method
	serve   func(*call) error
}

// A parameter is one of the query.
type parameter struct {
	name, about string
	number      bool
	truth       bool
	required    bool
}

// An outcome is a status, and the type of the body; nil for none.
type outcome struct {
	status int
	about  string
	body   reflect.Type
}

// parameters returns all that the query may have.
func (r *route) parameters() []parameter {
	if r.method != http.MethodGet && !r.reads {
		return append(slices.Clone(r.query), dryRun)
	}
	return r.query
}

var dryRun = parameter{name: "dryRun", about: "`true` validates and answers as if, and writes nothing", truth: true}

// match returns the variables of a path, in its encoded form, if it is this route's.
func (r *route) match(segments []string) (map[string]string, bool) {
	pattern := strings.Split(r.path, "/")[1:]
	if len(pattern) != len(segments) {
		return nil, false
	}
	var found map[string]string
	for i, p := range pattern {
		name, variable := strings.CutPrefix(p, "{")
		if !variable {
			if p != segments[i] {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(segments[i])
		if err != nil || value == "" {
			return nil, false
		}
		if found == nil {
			found = map[string]string{}
		}
		found[strings.TrimSuffix(name, "}")] = value
	}
	return found, true
}

// find finds the route of a call. A fixed path goes before one with a variable.
func (c *call) find() error {
	rest, ok := strings.CutPrefix(c.URL.EscapedPath(), Base+"/")
	if !ok {
		return admin.Errorf(admin.NotFound, "there is nothing at this path; the API is below %s, and %s/openapi.json describes it", Base, Base)
	}
	segments := strings.Split(rest, "/")
	var allowed []string
	for i := range table {
		r := &table[i]
		params, ok := r.match(segments)
		if !ok {
			continue
		}
		if r.method == c.Method || r.method == http.MethodGet && c.Method == http.MethodHead {
			c.route, c.params = r, params
			return nil
		}
		allowed = append(allowed, r.method)
		if r.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	if len(allowed) == 0 {
		return admin.Errorf(admin.NotFound, "there is nothing at this path; %s/openapi.json has all paths", Base)
	}
	slices.Sort(allowed)
	c.w.Header().Set("Allow", strings.Join(slices.Compact(allowed), ", "))
	return &statusError{http.StatusMethodNotAllowed, "methodNotAllowed", "this path doesn't have the method " + shown(c.Method)}
}

// checkQuery refuses what a route doesn't have: with a misspelt dryRun a call would write.
func (c *call) checkQuery() error {
	values, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return malformed("the query is not valid: it must be percent-encoded")
	}
	var known []string
	for _, p := range c.route.parameters() {
		known = append(known, p.name)
		if p.required && values.Get(p.name) == "" {
			return malformed("the query needs the parameter " + p.name + ": " + p.about)
		}
	}
	for name, all := range values {
		if !slices.Contains(known, name) {
			message := "unknown parameter " + shown(name) + " in the query"
			if near, ok := spelling.Nearest(name, known); ok {
				message += "; did you mean " + near + "?"
			}
			return malformed(message)
		}
		if len(all) > 1 {
			return malformed("the parameter " + name + " is there more than once")
		}
	}
	switch values.Get(dryRun.name) {
	case "", "false":
	case "true":
		c.dryRun = true
		c.Request = c.WithContext(admin.WithDryRun(c.Context()))
	default:
		return malformed("dryRun must be true or false")
	}
	return nil
}
