package oauth

import (
	"errors"
	"net/http"
	"strconv"

	"dex/internal/event"
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
	type detailed interface {
		error
		LogAttrs() []any
	}
	if d, ok := errors.AsType[detailed](err); ok {
		return d.LogAttrs()
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

// Refuse answers an application's request at an endpoint with an error, and emits that. An error that is not an *Error is a
// failure of our own.
func Refuse(w http.ResponseWriter, r *http.Request, events event.Sink, endpoint event.Endpoint, err error) {
	oe, ok := errors.AsType[*Error](err)
	if !ok {
		oe = Failed(err)
	}
	clientID, _, basic := r.BasicAuth()
	if !basic {
		clientID = r.PostForm.Get("client_id")
	}
	events.Emit(r.Context(), event.RequestRefused{
		Endpoint: endpoint, ClientID: clientID, GrantType: r.PostForm.Get("grant_type"), Code: oe.Code, Status: oe.Status(), Err: oe,
	})
	if oe.Code == InvalidClient && basic { // RFC 6749, section 5.2
		w.Header().Set("WWW-Authenticate", `Basic realm="dex", charset="UTF-8"`)
	}
	if oe.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(oe.RetryAfter))
	}
	oe.WriteJSON(w, oe.Status())
}
