package oauth

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
)

// PostOnly answers requests of other methods and reports whether this one may go on.
func PostOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodPost {
		return true
	}
	w.Header().Set("Allow", http.MethodPost)
	Errorf(InvalidRequest, "This endpoint takes POST only.").WriteJSON(w, http.StatusMethodNotAllowed)
	return false
}

// LogAttrs returns what an error has for the log beside its text.
func LogAttrs(err error) []any {
	var detailed interface {
		error
		LogAttrs() []any
	}
	if errors.As(err, &detailed) {
		return detailed.LogAttrs()
	}
	return nil
}

// TooLarge is the error for a body that is larger than an endpoint takes.
func TooLarge() *Error { return Errorf(InvalidRequest, "The body is too large.") }

// WriteStatus answers an application for which a request ends before its endpoint: with 405, 413, or 500.
func WriteStatus(w http.ResponseWriter, _ *http.Request, status int) {
	e := Errorf(InvalidRequest, "This endpoint doesn't support this HTTP method.")
	switch status {
	case http.StatusMethodNotAllowed:
	case http.StatusRequestEntityTooLarge:
		e = TooLarge()
	case http.StatusRequestHeaderFieldsTooLarge:
		e = Errorf(InvalidRequest, "The header of the request is too large.")
	default:
		e = Errorf(ServerError, "")
	}
	e.WriteJSON(w, status)
}

// Refuse answers a request of an application with an error, and writes its cause to the log. An error that is no *Error
// is a failure of our own.
func Refuse(w http.ResponseWriter, r *http.Request, log *slog.Logger, message string, err error) {
	var oe *Error
	if !errors.As(err, &oe) {
		oe = Failed(err)
	}
	level := slog.LevelInfo
	if oe.Status() >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	clientID, _, basic := r.BasicAuth()
	if !basic {
		clientID = r.PostForm.Get("client_id")
	}
	attrs := append([]any{"grant_type", r.PostForm.Get("grant_type"), "client_id", clientID}, LogAttrs(err)...)
	log.Log(r.Context(), level, message, append(attrs, "err", oe)...)
	if oe.Code == InvalidClient && basic { // RFC 6749, section 5.2
		w.Header().Set("WWW-Authenticate", `Basic realm="dex", charset="UTF-8"`)
	}
	if oe.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(oe.RetryAfter))
	}
	oe.WriteJSON(w, oe.Status())
}
