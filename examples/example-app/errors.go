package main

import (
	"errors"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"
)

// pageError is an error that can be shown to the user.
type pageError struct {
	status int
	title  string
	detail string
	// code and description are those of an OAuth error response.
	code        string
	description string
	cause       error
}

func (e *pageError) Error() string {
	if e.cause != nil {
		return e.title + ": " + e.cause.Error()
	}
	return e.title
}

func (e *pageError) Unwrap() error { return e.cause }

// providerError explains what went wrong with a request to the provider: it
// refused, could not be reached, or sent an invalid answer.
func providerError(title string, err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.ErrorCode != "" {
		return &pageError{
			status:      http.StatusBadRequest,
			title:       title,
			detail:      "The provider refused the request.",
			code:        refused.ErrorCode,
			description: refused.ErrorDescription,
			cause:       err,
		}
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return &pageError{status: http.StatusBadGateway, title: title, detail: "The provider could not be reached: " + brief(err), cause: err}
	}
	return &pageError{status: http.StatusBadGateway, title: title, detail: "The provider's answer was not accepted: " + brief(err), cause: err}
}

// brief shortens an error's text for display: some quote whole response
// bodies.
func brief(err error) string {
	const most = 500
	text := []rune(err.Error())
	if len(text) <= most {
		return string(text)
	}
	return string(text[:most]) + " …"
}

// handle renders the error of a handler. A handler that returns one has not
// written a response.
func (a *app) handle(handler func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := handler(w, r)
		if err == nil {
			return
		}
		shown, ok := errors.AsType[*pageError](err)
		if !ok {
			shown = &pageError{status: http.StatusInternalServerError, title: "Something went wrong", detail: "See the program's log for details.", cause: err}
		}
		if shown.status >= http.StatusInternalServerError {
			a.log.Error("request failed", "path", r.URL.Path, "error", brief(shown))
		}
		a.showError(w, r, shown)
	})
}

func refuseCrossOrigin(http.ResponseWriter, *http.Request) error {
	return &pageError{status: http.StatusForbidden, title: "Sent from another site", detail: "This form was not sent from one of this program's own pages."}
}

func notFound(http.ResponseWriter, *http.Request) error {
	return &pageError{status: http.StatusNotFound, title: "No such page", detail: "There is nothing at this address."}
}

// parseForm reads the form of a POST, within maxFormBytes.
func parseForm(r *http.Request) error {
	err := r.ParseForm()
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &pageError{status: http.StatusRequestEntityTooLarge, title: "Form too large", detail: "The form is larger than this program accepts.", cause: err}
	}
	return &pageError{status: http.StatusBadRequest, title: "Unreadable form", detail: "The form could not be read.", cause: err}
}
