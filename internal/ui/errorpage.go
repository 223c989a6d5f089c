package ui

import (
	"html/template"
	"net/http"

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
}

// Error shows what went wrong.
func (u *UI) Error(w http.ResponseWriter, r *http.Request, status int, p ErrorPage) {
	u.render(w, r, status, errorView, newErrorData(u.newPage(r, ""), status, p))
}

const noSuchPage = "There is no page at this address."

// NotFound answers requests for pages that don't exist.
func (u *UI) NotFound(w http.ResponseWriter, r *http.Request) {
	u.Error(w, r, http.StatusNotFound, ErrorPage{ErrMsg: noSuchPage})
}

var errorView = declare("error.html", func(base page) []sample {
	back := &FormPostPage{URL: base.ReqPath + "?error=access_denied"}
	return []sample{
		{"with ways on", newErrorData(base, http.StatusBadRequest, ErrorPage{
			ErrMsg: sampleMessage, RequestID: "27c5bf3f-6a56-4f1a-8a3c-5d6b4f3a1c8e", RetryURL: "/auth", Back: back,
		})},
		{"not found", newErrorData(base, http.StatusNotFound, ErrorPage{ErrMsg: noSuchPage})},
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
	p.ErrMsg = locale.Unmarked(p.ErrMsg)
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
