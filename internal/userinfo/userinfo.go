// Package userinfo tells applications what their access token says about its user (OpenID Connect Core, section 5.3).
package userinfo

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"dex/internal/oauth"
	"dex/internal/token"
)

// Endpoint is the UserInfo endpoint.
type Endpoint struct {
	verifier *token.Verifier
	log      *slog.Logger
}

// New returns the UserInfo endpoint.
func New(v *token.Verifier, log *slog.Logger) *Endpoint {
	return &Endpoint{verifier: v, log: log}
}

// ServeHTTP answers with the claims of the token, as they were signed.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bearer, err := presented(r)
	if err != nil {
		challenge(w, err)
		return
	}
	if bearer == "" {
		// Who shows nothing is told how, and no error code (RFC 6750, section 3.1).
		w.Header().Set("WWW-Authenticate", `Bearer realm="dex"`)
		oauth.Errorf(oauth.InvalidToken, "A bearer token is required.").WriteJSON(w, http.StatusUnauthorized)
		return
	}
	verified, verifyErr := e.verifier.Verify(bearer)
	if verifyErr != nil {
		e.log.InfoContext(r.Context(), "userinfo request refused", "err", verifyErr)
		challenge(w, oauth.Errorf(oauth.InvalidToken, "The token is invalid or has expired."))
		return
	}
	if !verified.Has(oauth.ScopeOpenID) {
		challenge(w, oauth.Errorf(oauth.InsufficientScope, "The token was not granted the scope openid."))
		return
	}
	oauth.WriteJSON(w, http.StatusOK, verified.Payload)
}

// presented returns the token of a request, from the header or, for POST, from the body (RFC 6750, sections 2.1, 2.2).
func presented(r *http.Request) (string, *oauth.Error) {
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		bearer = ""
	}
	if r.Method != http.MethodPost {
		return strings.TrimSpace(bearer), nil
	}
	if err := r.ParseForm(); err != nil {
		return "", oauth.Errorf(oauth.InvalidRequest, "The body can't be read.").Because(err)
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
