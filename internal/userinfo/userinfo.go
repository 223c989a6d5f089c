// Package userinfo returns the claims about the user in an access token (OpenID Connect Core, section 5.3).
package userinfo

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"dex/internal/event"
	"dex/internal/oauth"
	"dex/internal/token"
)

// Config is what the endpoint needs.
type Config struct {
	Verifier *token.Verifier
	Events   event.Sink
	// Strict accepts only access tokens, and answers only with claims about the user, as the standard says. Otherwise ID
	// tokens are accepted too, and the answer is the token's whole payload, as upstream does.
	Strict bool
}

// Endpoint is the UserInfo endpoint.
type Endpoint struct {
	cfg Config
}

// New returns the UserInfo endpoint.
func New(cfg Config) *Endpoint { return &Endpoint{cfg: cfg} }

// ServeHTTP answers with the claims of the token, as they were signed.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bearer, err := presented(r)
	if err != nil {
		challenge(w, err)
		return
	}
	if bearer == "" {
		// Without a token there is a challenge, but no error code in it (RFC 6750, section 3.1).
		w.Header().Set("WWW-Authenticate", `Bearer realm="dex"`)
		oauth.Errorf(oauth.InvalidToken, "A bearer token is required.").WriteJSON(w, http.StatusUnauthorized)
		return
	}
	verified, verifyErr := e.cfg.Verifier.Verify(r.Context(), bearer)
	if verifyErr == nil {
		verifyErr = e.cfg.Verifier.Complete(r.Context(), &verified)
	}
	switch {
	case errors.Is(verifyErr, token.ErrRefused):
		e.cfg.Events.Emit(r.Context(), event.TokenRefused{Err: verifyErr})
		challenge(w, oauth.Errorf(oauth.InvalidToken, "The token is invalid, has expired or was revoked."))
		return
	case verifyErr != nil:
		oauth.Refuse(w, r, e.cfg.Events, event.UserInfo, verifyErr)
		return
	}
	if e.cfg.Strict && !verified.IsAccessToken() {
		challenge(w, oauth.Errorf(oauth.InvalidToken, "The token is not an access token."))
		return
	}
	if !verified.Has(oauth.ScopeOpenID) {
		challenge(w, oauth.Errorf(oauth.InsufficientScope, "The token was not granted the scope openid."))
		return
	}
	body := verified.Payload
	if e.cfg.Strict {
		var encodeErr error
		if body, encodeErr = userClaims(&verified); encodeErr != nil {
			oauth.Refuse(w, r, e.cfg.Events, event.UserInfo, encodeErr)
			return
		}
	}
	oauth.WriteJSON(w, http.StatusOK, body)
}

// userClaims returns the claims about the user. The token has only those that its scopes allow.
func userClaims(v *token.Verified) ([]byte, error) {
	about, err := json.Marshal(struct {
		Subject string `json:"sub"`
		token.UserClaims
	}{v.Subject, v.UserClaims})
	more := v.More()
	if err != nil || len(more) == 0 {
		return about, err
	}
	rest, err := json.Marshal(more)
	if err != nil {
		return nil, err
	}
	return append(append(about[:len(about)-1], ','), rest[1:]...), nil // there is always a sub
}

// presented returns the token in a request's header or, for POST, in its body (RFC 6750, sections 2.1, 2.2).
func presented(r *http.Request) (string, *oauth.Error) {
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		bearer = ""
	}
	if r.Method != http.MethodPost {
		return strings.TrimSpace(bearer), nil
	}
	if err := oauth.ParseForm(r); err != nil {
		return "", err
	}
	inBody := r.PostForm["access_token"]
	switch {
	case len(inBody) == 0:
		return strings.TrimSpace(bearer), nil
	case len(inBody) > 1 || bearer != "":
		return "", oauth.Errorf(oauth.InvalidRequest, "The token is given more than once.")
	}
	return inBody[0], nil
}

// challenge refuses a token (RFC 6750, section 3).
func challenge(w http.ResponseWriter, err *oauth.Error) {
	w.Header().Set("WWW-Authenticate",
		fmt.Sprintf(`Bearer realm="dex", error="%s", error_description="%s"`, err.Code, err.PublicDescription()))
	err.WriteJSON(w, err.Status())
}
