package oauth

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
)

// PostOnly refuses requests with other methods, and reports whether this one may go on.
func PostOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodPost {
		return true
	}
	w.Header().Set("Allow", http.MethodPost)
	Errorf(InvalidRequest, "This endpoint accepts POST only.").WriteJSON(w, http.StatusMethodNotAllowed)
	return false
}

// LogAttrs returns the log attributes that an error has in addition to its text.
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

// TooLarge is the error for a body that is too large for its endpoint.
func TooLarge() *Error { return Errorf(InvalidRequest, "The body is too large.") }

// WriteStatus answers an application's request that doesn't reach its endpoint, with 405, 413, 431 or 500.
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

// Refuse answers an application's request with an error, and logs its cause. An error that is not an *Error is a failure of
// our own.
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
