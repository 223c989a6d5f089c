package server

import (
	"fmt"
	"net/http"
	"runtime/debug"
)

// recoverPanic, deferred, turns a handler's panic into an answer and a line in the log with the stack.
func (h *handler) recoverPanic(x *exchange, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http, too, compares the panic's value itself
		panic(v) // the handler's wish: drop the connection, say nothing
	}
	// The URL stays out of the log: its query may hold codes and tokens.
	h.log.ErrorContext(r.Context(), "panic while serving a request",
		"err", fmt.Sprint(v), "method", r.Method, "route", r.Pattern, "stack", string(debug.Stack()))

	if x.Status() != 0 {
		// The answer has begun. Cutting the connection is the one way left to tell that it is not whole.
		panic(http.ErrAbortHandler)
	}
	clear(x.Header()) // cookies and lengths of an answer that never was
	h.setHeaders(x)
	h.answerPanic(x, r)
}

// answerPanic answers with the error page, or plainly should that panic, too.
func (h *handler) answerPanic(x *exchange, r *http.Request) {
	defer func() {
		if v := recover(); v != nil && x.Status() == 0 {
			http.Error(x, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		}
	}()
	h.errorPage(x, r, http.StatusInternalServerError)
}
