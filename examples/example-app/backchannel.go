package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
	// clockSkew is how far the provider's clock may be ahead.
	clockSkew = time.Minute
	// maxLogoutTokens bounds how many are remembered.
	maxLogoutTokens = 10_000
)

// backchannelLogout ends the sign-ins that the provider says have ended
// (OpenID Connect Back-Channel Logout 1.0, section 2).
func (a *app) backchannelLogout(w http.ResponseWriter, r *http.Request) {
	token, err := a.readLogoutToken(r)
	if err != nil {
		a.log.Warn("logout token refused", "error", brief(err))
		writeLogoutError(w, err)
		return
	}
	// The provider sends a token again if our answer was lost. It gets the
	// same one, but the token ends nothing that has begun since.
	if a.logoutTokens.first(token, a.now()) {
		end := ending{At: a.now(), Cause: endedTold}
		ended := a.sessions.signOutAll(end, func(user *tokenSet) bool { return user.endedBy(token) })
		a.log.Info("told of a logout", "sid", token.SessionID, "sub", token.Subject, "signed_out", ended)
	}
	w.WriteHeader(http.StatusOK)
}

func (a *app) readLogoutToken(r *http.Request) (*oidc.LogoutToken, error) {
	if err := r.ParseForm(); err != nil {
		return nil, fmt.Errorf("form: %w", err)
	}
	tokens := r.PostForm["logout_token"]
	if len(tokens) != 1 {
		return nil, fmt.Errorf("form: %d values of logout_token, not one", len(tokens))
	}
	token, err := a.provider.verifyLogout(r.Context(), tokens[0], a.now())
	if err != nil {
		return nil, fmt.Errorf("logout token: %w", err)
	}
	return token, nil
}

// verifyLogout checks a logout token (section 2.6). Like an ID token it must be
// signed by the provider, for this client, and not have expired; the library
// also insists on a jti, on a sid or sub, and on no nonce.
func (p *provider) verifyLogout(ctx context.Context, raw string, now time.Time) (*oidc.LogoutToken, error) {
	token, err := p.verifier.VerifyLogout(ctx, raw)
	if err != nil {
		return nil, err
	}
	var claims struct {
		Events map[string]json.RawMessage `json:"events"`
	}
	if err := token.Claims(&claims); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	var event map[string]json.RawMessage
	if err := json.Unmarshal(claims.Events[logoutEvent], &event); err != nil || event == nil {
		return nil, errors.New("its event is no object")
	}
	if token.IssuedAt.Unix() <= 0 {
		return nil, errors.New("it has no iat")
	}
	if token.IssuedAt.After(now.Add(clockSkew)) {
		return nil, errors.New("it is from the future")
	}
	// Older providers send no type of their own.
	if typ := typeOf(raw); !slices.Contains([]string{"", "jwt", "logout+jwt"}, typ) {
		return nil, fmt.Errorf("its type is %q", typ)
	}
	return token, nil
}

// typeOf returns the media type in a JWT's header, in its short form.
func typeOf(raw string) string {
	encoded, _, _ := strings.Cut(raw, ".")
	header, ok := decodeObject(encoded)
	if !ok {
		return "unreadable"
	}
	var fields struct {
		Type string `json:"typ"`
	}
	if err := json.Unmarshal(header, &fields); err != nil {
		return "unreadable"
	}
	return strings.TrimPrefix(strings.ToLower(fields.Type), "application/")
}

// endedBy reports whether a logout token is about this sign-in: about its
// session or, if it names none, about all of its user's.
func (user *tokenSet) endedBy(token *oidc.LogoutToken) bool {
	if token.SessionID != "" {
		return user.identity.SessionID == token.SessionID
	}
	return user.identity.Subject == token.Subject
}

// writeLogoutError is the answer of section 2.8.
func writeLogoutError(w http.ResponseWriter, err error) {
	body, marshalErr := json.Marshal(map[string]string{"error": "invalid_request", "error_description": brief(err)})
	if marshalErr != nil { // strings always marshal
		body = []byte(`{"error":"invalid_request"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(body) // a provider that went away needs no answer
}

// usedTokens remembers the logout tokens that were obeyed, until they expire.
type usedTokens struct {
	mu   sync.Mutex
	byID map[string]time.Time
}

// first reports whether a verified token is new, and remembers it. If there are
// too many, those that expire first are forgotten.
func (u *usedTokens) first(token *oidc.LogoutToken, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, used := u.byID[token.TokenID]; used {
		return false
	}
	if len(u.byID) >= maxLogoutTokens {
		u.forget(now)
	}
	if u.byID == nil {
		u.byID = map[string]time.Time{}
	}
	u.byID[token.TokenID] = token.Expiry
	return true
}

// forget makes room. It needs u.mu held.
func (u *usedTokens) forget(now time.Time) {
	var next string
	for id, expiry := range u.byID {
		if expiry.Before(now) {
			delete(u.byID, id)
		} else if next == "" || expiry.Before(u.byID[next]) {
			next = id
		}
	}
	if len(u.byID) >= maxLogoutTokens {
		delete(u.byID, next)
	}
}
