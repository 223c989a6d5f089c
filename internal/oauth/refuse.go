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

// WriteStatus answers an application's request that doesn't reach its endpoint, with 405, 413, 431, 500 or 503.
func WriteStatus(w http.ResponseWriter, _ *http.Request, status int) {
	e := Errorf(InvalidRequest, "This endpoint doesn't support this HTTP method.")
	switch status {
	case http.StatusMethodNotAllowed:
	case http.StatusRequestEntityTooLarge:
		e = TooLarge()
	case http.StatusRequestHeaderFieldsTooLarge:
		e = Errorf(InvalidRequest, "The header of the request is too large.")
	case http.StatusServiceUnavailable:
		e = Errorf(TemporarilyUnavailable, "This is not possible at the moment. Try the same request again soon.")
	default:
		e = Errorf(ServerError, "")
	}
	e.WriteJSON(w, status)
}

// OfLogin is an error that is about a login, for events.
type OfLogin struct {
	error
	Login event.Login
}

// About returns an error that says which login it is about.
func About(login event.Login, err error) error {
	if err == nil || login == (event.Login{}) {
		return err
	}
	return &OfLogin{err, login}
}

// Unwrap returns the error without the login.
func (o *OfLogin) Unwrap() error { return o.error }

// Refuse answers an application's request at an endpoint with an error, and emits that. An error that is not an *Error is a
// failure of our own.
func Refuse(w http.ResponseWriter, r *http.Request, events event.Sink, endpoint event.Endpoint, err error) {
	oe, ok := errors.AsType[*Error](err)
	if !ok {
		oe = Failed(err)
	}
	var login event.Login
	if of, ok := errors.AsType[*OfLogin](err); ok {
		login = of.Login
	}
	clientID, _, basic := r.BasicAuth()
	if !basic {
		clientID = r.PostForm.Get("client_id")
	}
	cause := error(oe)
	if event.ReasonOf(oe) == "" && event.ReasonOf(err) != "" { // what wraps it knows why
		cause = err
	}
	events.Emit(r.Context(), event.RequestRefused{
		Endpoint: endpoint, ClientID: clientID, GrantType: r.PostForm.Get("grant_type"), Login: login,
		Code: oe.Code, Status: oe.Status(), Err: cause,
	})
	if oe.Code == InvalidClient && basic { // RFC 6749, section 5.2
		w.Header().Set("WWW-Authenticate", `Basic realm="dex", charset="UTF-8"`)
	}
	if oe.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(oe.RetryAfter))
	}
	oe.WriteJSON(w, oe.Status())
}
