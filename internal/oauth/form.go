package oauth

import (
	"mime"
	"net/http"
	"slices"
)

// A Form is the parameters of a request to one of the endpoints that applications call themselves, each given once at
// most.
type Form map[string][]string

// Get returns a parameter; empty if it is absent.
func (f Form) Get(name string) string {
	if v := f[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Has reports whether a parameter was given, be it empty.
func (f Form) Has(name string) bool { return len(f[name]) > 0 }

// ReadForm reads the parameters of the body; those of the URL don't count (RFC 6749, section 3.2). Lists are those that may
// be repeated. The error is an *Error: invalid_request.
func ReadForm(r *http.Request, lists ...string) (Form, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, Errorf(InvalidRequest, "The body must be application/x-www-form-urlencoded.")
	}
	if err := r.ParseForm(); err != nil {
		return nil, Errorf(InvalidRequest, "The body can't be read.").Because(err)
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && !slices.Contains(lists, name) {
			return nil, Errorf(InvalidRequest, "The parameter %s is given more than once.", name)
		}
	}
	return Form(r.PostForm), nil
}
