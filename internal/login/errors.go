package login

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"dex/internal/oauth"
	"dex/internal/telemetry"
	"dex/internal/ui"
)

// A pageError is shown to the user, because there is nowhere safe to send them.
type pageError struct {
	status  int
	message string // what happened
	advice  string // what to do next
	cause   error  // for the log only
}

func pageErrorf(status int, format string, args ...any) *pageError {
	return &pageError{status: status, message: fmt.Sprintf(format, args...)}
}

func (e *pageError) hint(advice string) *pageError {
	e.advice = advice
	return e
}

func (e *pageError) because(cause error) *pageError {
	e.cause = cause
	return e
}

func (e *pageError) Error() string {
	if e.cause == nil {
		return e.message
	}
	return strings.TrimSuffix(e.message, ".") + ": " + e.cause.Error()
}

func (e *pageError) Unwrap() error { return e.cause }

// An answerError is sent to the application that made the request.
type answerError struct {
	req *request
	err *oauth.Error
}

func (e *answerError) Error() string { return e.err.Error() }
func (e *answerError) Unwrap() error { return e.err }

// errLostRequest is the page for a step whose request the browser does not hold.
func errLostRequest(cause error) error {
	if !errors.Is(cause, errNoRequest) {
		return pageErrorf(http.StatusInternalServerError, "The login can't go on.").because(cause)
	}
	return pageErrorf(http.StatusBadRequest,
		"This login has ended, has taken too long, or was begun in another browser.").
		hint("Go back to the application and log in again.").because(cause)
}

// errUnreadable is the page for a form that can't be parsed, be it too large or malformed.
func errUnreadable(message string, cause error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](cause); tooLarge {
		return pageErrorf(http.StatusRequestEntityTooLarge, "The request is too large.").because(cause)
	}
	return pageErrorf(http.StatusBadRequest, "%s", message).because(cause)
}

// A step is a handler that leaves its errors to be answered in one place.
type step func(w http.ResponseWriter, r *http.Request) error

// serve turns a step into a handler.
func (f *Flow) serve(s step) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s(w, r); err != nil {
			f.fail(w, r, err)
		}
	})
}

func (f *Flow) fail(w http.ResponseWriter, r *http.Request, err error) {
	var denied *denial
	if errors.As(err, &denied) && denied.req.UserCode == "" {
		f.showDenial(w, r, denied)
		return
	}
	var answer *answerError
	if errors.As(err, &answer) && answer.req.UserCode != "" {
		f.endDevice(w, r, answer, denied)
		return
	}
	if answer != nil && answer.req.RedirectURI != oauth.RedirectOutOfBand {
		f.logFailure(r, answer.err.Status(), answer)
		f.answerError(w, r, answer)
		return
	}
	var page *pageError
	switch {
	case errors.As(err, &page):
	case answer != nil:
		page = pageErrorf(answer.err.Status(), "%s", answer.err.PublicDescription())
	default:
		page = pageErrorf(http.StatusInternalServerError, "Something went wrong on our side.").
			hint("Try again in a moment.").because(err)
	}
	f.logFailure(r, page.status, err)
	f.showError(w, r, page)
}

func (f *Flow) showError(w http.ResponseWriter, r *http.Request, e *pageError) {
	f.cfg.Pages.Error(w, r, e.status, ui.ErrorPage{
		ErrMsg:    e.message,
		Hint:      e.advice,
		RequestID: telemetry.RequestID(r.Context()),
	})
}

func (f *Flow) logFailure(r *http.Request, status int, err error) {
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	attrs := append([]any{"path", r.URL.Path}, oauth.LogAttrs(err)...)
	f.log.Log(r.Context(), level, "login failed", append(attrs, "err", err)...)
}
