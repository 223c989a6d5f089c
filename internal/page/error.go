package page

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"dex/internal/event"
	"dex/internal/limit"
	"dex/internal/telemetry"
	"dex/internal/ui"
)

// An Error is shown to the user on a page.
type Error struct {
	Status  int
	Message string       // what happened
	Advice  string       // what to do next
	Page    ui.ErrorPage // what else the page has: ways on, and details; what is said above is not read from it
	cause   error        // for the log only
	wait    int          // seconds until the next try; 0 where there is no limit
}

// Errorf returns an error that says what happened.
func Errorf(status int, format string, args ...any) *Error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

// TooMany is the error for a user who has to wait before the next try (RFC 6585, section 4); an application gets limit.Refusal.
func TooMany(exceeded *limit.Exceeded) *Error {
	e := Errorf(http.StatusTooManyRequests, "%s", exceeded.Message()).Because(exceeded)
	e.wait = exceeded.Seconds()
	return e
}

// Unreadable is the error for a request that can't be parsed, because it is too large or malformed.
func Unreadable(message string, cause error) *Error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](cause); tooLarge {
		return Errorf(http.StatusRequestEntityTooLarge, "The request is too large.").Because(cause)
	}
	return Errorf(http.StatusBadRequest, "%s", message).Because(cause)
}

// Hint says what the user can do next.
func (e *Error) Hint(advice string) *Error {
	e.Advice = advice
	return e
}

// Retry adds the address where the user can start over. The text may be empty.
func (e *Error) Retry(address, text string) *Error {
	e.Page.RetryURL, e.Page.RetryText = address, text
	return e
}

// Detail adds something that the request said, for whoever develops the application.
func (e *Error) Detail(name, value string) *Error {
	e.Page.Details = append(e.Page.Details, ui.Detail{Name: name, Value: value})
	return e
}

// Because attaches the cause, for the log.
func (e *Error) Because(cause error) *Error {
	e.cause = cause
	return e
}

// Error describes the error for the log, its cause included.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.Message
	}
	return strings.TrimSuffix(e.Message, ".") + ": " + e.cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// A Step is a handler that leaves its errors to be answered in one place.
type Step func(w http.ResponseWriter, r *http.Request) error

// Serve turns a step into a handler.
func (f *Frame) Serve(s Step) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = ui.Wishing(r)
		if err := s(w, r); err != nil {
			f.Fail(w, r, err)
		}
	})
}

// Fail reports an error and shows a page about it.
func (f *Frame) Fail(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = Errorf(http.StatusInternalServerError, "Something went wrong on our side.").
			Hint("Try again in a moment.").Because(err)
	}
	f.Report(r, event.LoginFailed{Status: e.Status, Err: err})
	f.Show(w, r, e)
}

// Show shows an error that has been reported.
func (f *Frame) Show(w http.ResponseWriter, r *http.Request, e *Error) {
	if e.wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.wait))
	}
	shown := e.Page
	shown.ErrMsg, shown.Hint, shown.RequestID = e.Message, e.Advice, telemetry.RequestID(r.Context())
	f.Error(w, r, e.Status, shown)
}

// RetryAfter says in the header of a page that shows a form again how long its user has to wait.
func RetryAfter(w http.ResponseWriter, exceeded *limit.Exceeded) {
	w.Header().Set("Retry-After", strconv.Itoa(exceeded.Seconds()))
}

// Report emits that a login has failed. The caller leaves out the path and the kind of page.
func (f *Frame) Report(r *http.Request, failed event.LoginFailed) {
	failed.Path, failed.Device, failed.Logout, failed.SelfService = r.URL.Path, f.device, f.logout, f.self
	f.events.Emit(r.Context(), failed)
}
