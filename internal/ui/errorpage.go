package ui

import (
	"cmp"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"unicode"

	"dex/internal/locale"
)

// An ErrorPage says what went wrong and what to do about it.
type ErrorPage struct {
	ErrMsg    string // what happened, in a sentence; may be empty
	Hint      string // what to do next; when empty, a text that fits the status
	RequestID string // identifies the request in the log
	RetryURL  string // starts over; empty when that's impossible
	RetryText string // "Try again" when empty
	// Back reports the error to the application; nil when there is no way back to it.
	Back *FormPostPage
	// AppURL is the start page of the application, and App its display name; empty where that isn't known.
	AppURL, App string
	// Details are what the request said, for whoever develops the application.
	Details []Detail
}

// A Detail is something that a request said.
type Detail struct{ Name, Value string }

// shown returns a detail as it can be shown: bounded, with what nobody could see spelled out, such as a line break at its end.
func (d Detail) shown() Detail {
	const longest = 200 // characters
	var b strings.Builder
	count := 0
	for _, r := range d.Value {
		if count++; count > longest {
			b.WriteString("…")
			break
		}
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, "\\u{%x}", r)
	}
	return Detail{d.Name, b.String()}
}

// Error shows what went wrong.
func (u *UI) Error(w http.ResponseWriter, r *http.Request, status int, p ErrorPage) {
	u.render(w, r, status, errorView, newErrorData(u.newPage(r, ""), status, p))
}

// toStart leads to the page at the issuer URL.
const toStart = "Go to the start page"

const noSuchPage = "There is no page at this address."

// NotFound answers requests for pages that don't exist.
func (u *UI) NotFound(w http.ResponseWriter, r *http.Request) {
	u.Error(w, r, http.StatusNotFound, ErrorPage{ErrMsg: noSuchPage, RetryURL: u.HomePath(), RetryText: toStart})
}

// HomePath returns the path of the page at the issuer URL.
func (u *UI) HomePath() string { return cmp.Or(u.cfg.IssuerPath, "/") }

// WantsPage reports whether a request comes from a browser, whose user reads pages, and not from a program: browsers say that they
// take HTML.
func WantsPage(r *http.Request) bool {
	return strings.Contains(strings.Join(r.Header.Values("Accept"), ","), "text/html")
}

var errorView = declare("error.html", func(base page) []sample {
	back := &FormPostPage{URL: base.ReqPath + "?error=access_denied"}
	return []sample{
		{"with ways on", newErrorData(base, http.StatusBadRequest, ErrorPage{
			ErrMsg: sampleMessage, RequestID: "27c5bf3f-6a56-4f1a-8a3c-5d6b4f3a1c8e", RetryURL: "/auth", Back: back,
		})},
		{"not found", newErrorData(base, http.StatusNotFound, ErrorPage{
			ErrMsg: noSuchPage, RetryURL: base.ReqPath, RetryText: toStart,
		})},
		{"login is over", newErrorData(base, http.StatusBadRequest, ErrorPage{
			RetryURL: "/auth", RetryText: "Log in again", AppURL: "https://wiki.example.com/", App: "Wiki",
		})},
		{"for developers", newErrorData(base, http.StatusBadRequest, ErrorPage{
			Details: []Detail{{"client_id", "wiki"}, {"redirect_uri", "https://wiki.example.com/callback"}},
		})},
		{"no access", newErrorData(base, http.StatusForbidden, ErrorPage{RequestID: "27c5bf3f-6a56-4f1a-8a3c-5d6b4f3a1c8e"})},
		{"nothing known", newErrorData(base, http.StatusInternalServerError, ErrorPage{})},
	}
})

type errorData struct {
	page
	ErrorPage
	Status  int
	ErrType string // the standard text of the status
	Heading string

	BackAction template.URL // of Back; empty when there is none
}

func newErrorData(base page, status int, p ErrorPage) errorData {
	advice := adviceFor(status)
	if p.Hint == "" {
		p.Hint = advice.hint
	}
	if p.RetryText == "" {
		p.RetryText = "Try again"
	}
	p.ErrMsg, p.Hint = locale.Unmarked(p.ErrMsg), locale.Unmarked(p.Hint)
	tidy(&p.App)
	details := make([]Detail, len(p.Details))
	for i, d := range p.Details {
		details[i] = d.shown()
	}
	p.Details = details
	for _, said := range []*string{&p.ErrMsg, &p.Hint, &p.RetryText, &advice.heading} {
		*said = base.lang.Say(*said)
	}
	base.Title = advice.heading
	d := errorData{
		page:      base,
		ErrorPage: p,
		Status:    status,
		ErrType:   http.StatusText(status),
		Heading:   advice.heading,
	}
	if p.Back != nil {
		d.BackAction = p.Back.action()
	}
	return d
}

// advice explains a status to people who don't know what a status is.
type advice struct{ heading, hint string }

func adviceFor(status int) advice {
	const startAgain = "Go back to the application and start again."
	switch status {
	case http.StatusUnauthorized:
		return advice{"We can’t log you in", startAgain}
	case http.StatusForbidden:
		return advice{"You don’t have access", "If you think you should, ask the people who run this service."}
	case http.StatusNotFound:
		return advice{"Page not found", "Check the address, or go back to the application that sent you here."}
	case http.StatusTooManyRequests:
		return advice{"Too many attempts", "Wait a minute, then try again."}
	}
	if status >= http.StatusInternalServerError {
		return advice{"Something went wrong", "Try again in a moment. If it happens again, tell the people who run this service."}
	}
	return advice{"We can’t continue from here", startAgain}
}
