package oauth

import (
	"errors"
	"mime"
	"net/http"
	"slices"
)

// A Form is the parameters of a request to an endpoint that applications call directly. Each is given at most once, and an
// empty one counts as omitted (RFC 6749, section 3.2).
type Form map[string][]string

// Get returns a parameter; empty if it is absent.
func (f Form) Get(name string) string {
	if v := f[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Has reports whether a parameter was given, with a value.
func (f Form) Has(name string) bool { return f.Get(name) != "" }

// Lists are the parameters that may be repeated (RFC 8693, section 2.1; RFC 8707, section 2).
var Lists = []string{"audience", "resource"}

// ReadForm reads the parameters of the body; those in the URL are ignored (RFC 6749, section 3.2). The error is an *Error:
// invalid_request.
func ReadForm(r *http.Request) (Form, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, Errorf(InvalidRequest, "The body must be application/x-www-form-urlencoded.")
	}
	if err := ParseForm(r); err != nil {
		return nil, err
	}
	f := make(Form, len(r.PostForm))
	for name, values := range r.PostForm {
		if len(values) > 1 && !slices.Contains(Lists, name) {
			return nil, Errorf(InvalidRequest, "The parameter %s is given more than once.", name)
		}
		if slices.Contains(values, "") {
			values = slices.DeleteFunc(slices.Clone(values), func(value string) bool { return value == "" })
		}
		if len(values) > 0 {
			f[name] = values
		}
	}
	if err := CheckBounds(f); err != nil {
		return nil, err
	}
	return f, nil
}

// ParseForm parses the form of a request. The error is invalid_request, and says so if the body was too large.
func ParseForm(r *http.Request) *Error {
	err := r.ParseForm()
	if err == nil {
		return nil
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return TooLarge().Because(err)
	}
	return Errorf(InvalidRequest, "The body can't be read.").Because(err)
}
