// Package page is what the pages of all rooms share: where they are, how their forms are read, and how their errors are shown.
package page

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"dex/internal/event"
	"dex/internal/server"
	"dex/internal/ui"
)

// A Frame holds the pages of a room. It is safe for concurrent use.
type Frame struct {
	*ui.UI
	base   string
	forms  *server.FormGuard
	events event.Sink
	device bool
	logout bool
	self   bool
}

// New returns a frame for pages of an issuer.
func New(issuer *url.URL, pages *ui.UI, events event.Sink) *Frame {
	return &Frame{UI: pages, base: Base(issuer), forms: server.NewFormGuard(issuer), events: events}
}

// ForDevices returns a frame for the pages for devices, which events tell apart from the other pages.
func (f *Frame) ForDevices() *Frame {
	devices := *f
	devices.device = true
	return &devices
}

// ForLogouts returns a frame for the pages of logouts, which events tell apart too.
func (f *Frame) ForLogouts() *Frame {
	logouts := *f
	logouts.logout = true
	return &logouts
}

// ForSelfService returns a frame for the pages on which users help themselves by mail.
func (f *Frame) ForSelfService() *Frame {
	self := *f
	self.self = true
	return &self
}

// Base returns an issuer's path, which all paths of pages begin with; "" for the root.
func Base(issuer *url.URL) string {
	return strings.TrimSuffix(path.Clean("/"+issuer.EscapedPath()), "/")
}

// Path returns the address of a page: a path below the issuer's, with parameters if there are any.
func (f *Frame) Path(below string, params url.Values) string {
	if len(params) == 0 {
		return f.base + below
	}
	return f.base + below + "?" + params.Encode()
}

// ReadForm reads the body of one of our own forms, which no other site may send (CSRF). How long it may be is the route's to
// say.
func (f *Frame) ReadForm(r *http.Request) error {
	if err := f.forms.Check(r); err != nil {
		return Errorf(http.StatusForbidden, "The form was sent from another site.").Because(err)
	}
	return Parse(r, "The form can't be read.")
}

// OwnForm reports whether a request may have been sent by one of our own pages.
func (f *Frame) OwnForm(r *http.Request) bool { return f.forms.Check(r) == nil }

// Parse reads the parameters of a request. The message is for those that are malformed.
func Parse(r *http.Request, message string) error {
	if err := r.ParseForm(); err != nil {
		return Unreadable(message, err)
	}
	return nil
}

// Go sends the browser to another address, with a redirect of the status, or with a form where there are fields.
func (f *Frame) Go(w http.ResponseWriter, r *http.Request, status int, to ui.FormPostPage) {
	w.Header().Set("Cache-Control", "no-store")
	if to.Fields != nil {
		f.FormPost(w, r, to)
		return
	}
	http.Redirect(w, r, to.URL, status)
}

// Fields returns the first value of each parameter, in the order of their names.
func Fields(params url.Values) []ui.FormField {
	var fields []ui.FormField
	for name, values := range params {
		fields = append(fields, ui.FormField{Name: name, Value: values[0]})
	}
	slices.SortFunc(fields, func(a, b ui.FormField) int { return strings.Compare(a.Name, b.Name) })
	return fields
}
