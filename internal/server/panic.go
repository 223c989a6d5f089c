package server

import (
	"fmt"
	"net/http"
	"runtime/debug"
)

// recoverPanic, deferred, turns a handler's panic into an answer and a log line with the stack.
func (h *handler) recoverPanic(x *exchange, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares the panic's value itself, too
		panic(v) // the handler wants the connection dropped and nothing logged
	}
	// The URL stays out of the log: its query may hold codes and tokens.
	h.log.ErrorContext(r.Context(), "panic while serving a request",
		"err", fmt.Sprint(v), "method", r.Method, "route", r.Pattern, "stack", string(debug.Stack()))

	if x.Status() != 0 {
		// The answer has begun. Cutting the connection is the only way left to show that it is incomplete.
		panic(http.ErrAbortHandler)
	}
	clear(x.Header()) // drops the abandoned answer's cookies and length
	h.setHeaders(x)
	h.answerPanic(x, r)
}

// answerPanic answers with the error page, or in plain text if that panics too.
func (h *handler) answerPanic(x *exchange, r *http.Request) {
	defer func() {
		if v := recover(); v != nil && x.Status() == 0 {
			http.Error(x, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		}
	}()
	h.errorPage(x, r, http.StatusInternalServerError)
}
