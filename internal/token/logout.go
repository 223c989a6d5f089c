package token

import (
	"context"
	"time"

	"dex/internal/oauth"
)

// logoutLifetime is how long an application may accept a logout token: two minutes at most
// (OpenID Connect Back-Channel Logout, section 2.4).
const logoutLifetime = 2 * time.Minute

// A Logout is what an application is told when a session ends.
type Logout struct {
	TokenID   string // the same each time that the application is told again
	ClientID  string
	Subject   string // the sub claim of the user
	SessionID string
	Algorithm string // of the client's ID tokens; empty for the server's
}

// logoutPayload is the claims of a logout token. It must not have a nonce.
type logoutPayload struct {
	Issuer    string       `json:"iss"`
	Subject   string       `json:"sub"`
	Audience  string       `json:"aud"`
	IssuedAt  int64        `json:"iat"`
	Expires   int64        `json:"exp"`
	TokenID   string       `json:"jti"`
	SessionID string       `json:"sid"`
	Events    logoutEvents `json:"events"`
}

// logoutEvents has one member, without which a token is no logout token, and with which it is nothing else.
type logoutEvents struct {
	Logout struct{} `json:"http://schemas.openid.net/event/backchannel-logout"`
}

// LogoutToken makes a logout token (OpenID Connect Back-Channel Logout, section 2.4). The error is an *oauth.Error.
func (m *Minter) LogoutToken(ctx context.Context, l Logout) (string, error) {
	key, err := m.Signer.KeyFor(ctx, l.Algorithm) // as its ID tokens are (section 2.4)
	if err != nil {
		return "", oauth.Failed(err)
	}
	now := time.Now()
	return sign(ctx, key, "logout+jwt", logoutPayload{
		Issuer:    m.Issuer,
		Subject:   l.Subject,
		Audience:  l.ClientID,
		IssuedAt:  now.Unix(),
		Expires:   now.Add(logoutLifetime).Unix(),
		TokenID:   l.TokenID,
		SessionID: l.SessionID,
	})
}
