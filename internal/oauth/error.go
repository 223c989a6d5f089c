package oauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// IsErrorCode reports whether a text is one of the error codes below.
func IsErrorCode(text string) bool { return slices.Contains(ErrorCodes, text) }

// ErrorCodes are all error codes that applications are told.
var ErrorCodes = []string{
	InvalidRequest, InvalidClient, InvalidGrant, InvalidScope, InvalidToken, InsufficientScope, UnauthorizedClient, UnsupportedGrantType,
	InvalidTarget, AuthorizationPending, SlowDown, ExpiredToken, UnsupportedResponseType, AccessDenied, LoginRequired, InteractionRequired,
	AccountSelectionRequired, UnmetAuthenticationRequirements, ConsentRequired, RequestNotSupported, RequestURINotSupported,
	RegistrationNotSupported, ServerError, TemporarilyUnavailable,
}

// Error codes of RFC 6749 (4.1.2.1, 5.2), RFC 6750 (3.1) and OpenID Connect Core (3.1.2.6), unless noted otherwise.
const (
	InvalidRequest           = "invalid_request"
	InvalidClient            = "invalid_client"
	InvalidGrant             = "invalid_grant"
	InvalidScope             = "invalid_scope"
	InvalidToken             = "invalid_token"
	InsufficientScope        = "insufficient_scope"
	UnauthorizedClient       = "unauthorized_client"
	UnsupportedGrantType     = "unsupported_grant_type"
	InvalidTarget            = "invalid_target"        // RFC 8707, 2; RFC 8693, 2.2.2
	AuthorizationPending     = "authorization_pending" // this and the next two: RFC 8628, 3.5
	SlowDown                 = "slow_down"
	ExpiredToken             = "expired_token"
	UnsupportedResponseType  = "unsupported_response_type"
	AccessDenied             = "access_denied"
	LoginRequired            = "login_required"
	InteractionRequired      = "interaction_required"
	AccountSelectionRequired = "account_selection_required"
	// OpenID Connect Core Error Code unmet_authentication_requirements 1.0
	UnmetAuthenticationRequirements = "unmet_authentication_requirements"
	ConsentRequired                 = "consent_required"
	RequestNotSupported             = "request_not_supported"
	RequestURINotSupported          = "request_uri_not_supported"
	RegistrationNotSupported        = "registration_not_supported"
	ServerError                     = "server_error"
	TemporarilyUnavailable          = "temporarily_unavailable"
)

// An Error is what an application is told: a registered code and a sentence for its developer. The cause goes to the log
// only.
type Error struct {
	Code        string
	Description string
	// RetryAfter is how many seconds to wait before the next request; 0 unless there were too many.
	RetryAfter int
	cause      error
}

// Failed is the error for a failure of our own, such as a storage that doesn't answer. The application may always send the
// same request again.
func Failed(cause error) *Error {
	return Errorf(ServerError, "This failed on our side. Try the same request again in a moment.").Because(cause)
}

// Errorf returns an error with a code and a description for the application's developer, which must not contain secrets.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Description: fmt.Sprintf(format, args...)}
}

// Because attaches the cause, for the log.
func (e *Error) Because(cause error) *Error {
	e.cause = cause
	return e
}

// Error describes the error and its cause, for the log.
func (e *Error) Error() string {
	if e.cause == nil {
		return join(e.Code, e.Description)
	}
	cause := e.cause.Error()
	return join(e.Code, join(withoutQuote(strings.TrimSuffix(e.Description, "."), cause), cause))
}

// withoutQuote removes the beginning of the cause from the end of a description that quotes it.
func withoutQuote(description, cause string) string {
	if strings.HasPrefix(cause, description) {
		return ""
	}
	if before, quote, ok := strings.Cut(description, ": "); ok && strings.HasPrefix(cause, quote) {
		return before
	}
	return description
}

// join joins two texts with a colon, unless one is empty.
func join(before, after string) string {
	if before == "" || after == "" {
		return before + after
	}
	return before + ": " + after
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Status returns the code's HTTP status, for answers that are not redirects.
func (e *Error) Status() int {
	if e.RetryAfter > 0 {
		return http.StatusTooManyRequests
	}
	switch e.Code {
	case InvalidClient, InvalidToken:
		return http.StatusUnauthorized
	case InsufficientScope:
		return http.StatusForbidden
	case ServerError:
		return http.StatusInternalServerError
	case TemporarilyUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// PublicDescription returns the description with only the characters that RFC 6749 (5.2) allows in error_description.
func (e *Error) PublicDescription() string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r == '\\' || r < 0x20 || r > 0x7e:
			return '?'
		}
		return r
	}, e.Description)
}

// WriteJSON answers with the error as in RFC 6749 (5.2). The caller has set the headers that its endpoint needs.
func (e *Error) WriteJSON(w http.ResponseWriter, status int) {
	body, err := json.Marshal(struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{e.Code, e.PublicDescription()})
	if err != nil { // two strings always encode
		body = []byte(`{"error":"server_error"}`)
	}
	WriteJSON(w, status, body)
}

// WriteJSON answers with a JSON document that must not be cached (RFC 6749, 5.1).
func WriteJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client hung up: nobody is left to tell
}
