package client

import (
	"time"

	"dex/internal/config"
	"dex/internal/signing"
)

// Tokens say how a client's tokens differ from those of others. What is left out is as the server has it.
type Tokens struct {
	// Lifetimes are written as 90s, 10m or 24h. A client that isn't in the configuration file can't have longer ones than the longest
	// there, as keys and refusals have to outlast all tokens.
	IDTokenLifetime     string         `key:"idTokenLifetime" json:"idTokenLifetime,omitempty"`
	AccessTokenLifetime string         `key:"accessTokenLifetime" json:"accessTokenLifetime,omitempty"`
	RefreshTokens       *RefreshTokens `key:"refreshTokens" json:"refreshTokens,omitempty"`

	AccessToken string `key:"accessToken" json:"accessToken,omitempty"` // FormJWT or FormOpaque
	Profile     string `key:"profile" json:"profile,omitempty"`         // of access tokens in the form of JWTs: config.Default or config.Strict
	// IDTokenSignedResponseAlg is one of signing.Algorithms. It signs access tokens and logout tokens too.
	IDTokenSignedResponseAlg string `key:"idTokenSignedResponseAlg" json:"idTokenSignedResponseAlg,omitempty"`

	MaxGroups int `key:"maxGroups" json:"maxGroups,omitempty"` // with more, tokens refer to UserInfo for them
	MaxSize   int `key:"maxSize" json:"maxSize,omitempty"`     // of one token, in bytes
}

// RefreshTokens are the lifetimes of a client's refresh tokens.
type RefreshTokens struct {
	ValidIfNotUsedFor string `key:"validIfNotUsedFor" json:"validIfNotUsedFor,omitempty"`
	AbsoluteLifetime  string `key:"absoluteLifetime" json:"absoluteLifetime,omitempty"`
}

// The forms of access tokens.
const (
	FormJWT    = config.AccessTokenJWT
	FormOpaque = config.AccessTokenOpaque
)

// TokenSettings returns what the client says of its tokens.
func (c *Client) TokenSettings() Tokens {
	if c.Tokens == nil {
		return Tokens{}
	}
	return *c.Tokens
}

// Lifetimes returns how long the client's ID and access tokens live; 0 is the server's lifetime.
func (t Tokens) Lifetimes() (ofID, ofAccess time.Duration) {
	return lifetime(t.IDTokenLifetime), lifetime(t.AccessTokenLifetime)
}

// RefreshLifetimes returns how long the client's refresh tokens live unused, and at all; 0 is the server's lifetime.
func (t Tokens) RefreshLifetimes() (unused, absolute time.Duration) {
	if t.RefreshTokens == nil {
		return 0, 0
	}
	return lifetime(t.RefreshTokens.ValidIfNotUsedFor), lifetime(t.RefreshTokens.AbsoluteLifetime)
}

// lifetime reads a lifetime; 0 if there is none, or a stored client has a broken one.
func lifetime(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return max(d, 0)
}

const minLifetime = time.Second

// checkTokens reports mistakes in what the client says of its tokens.
func (w *written) checkTokens(on *config.Checker, key string) {
	t := w.Tokens
	if t == nil {
		return
	}
	key += ".tokens"
	lifetimes := [][2]string{{"idTokenLifetime", t.IDTokenLifetime}, {"accessTokenLifetime", t.AccessTokenLifetime}}
	if r := t.RefreshTokens; r != nil {
		lifetimes = append(lifetimes, [2]string{"refreshTokens.validIfNotUsedFor", r.ValidIfNotUsedFor},
			[2]string{"refreshTokens.absoluteLifetime", r.AbsoluteLifetime})
	}
	for _, l := range lifetimes {
		if l[1] == "" {
			continue
		}
		switch d, err := time.ParseDuration(l[1]); {
		case err != nil:
			on.Errorf(key+"."+l[0], "must be a duration such as 90s, 10m or 24h, not %q", l[1])
		case d < minLifetime:
			on.Errorf(key+"."+l[0], "must be at least 1s; leave it out to use the server's lifetime")
		}
	}
	on.OptionalOf(key+".accessToken", t.AccessToken, config.AccessTokens)
	on.OptionalOf(key+".profile", t.Profile, []string{config.Default, config.Strict})
	on.OptionalOf(key+".idTokenSignedResponseAlg", t.IDTokenSignedResponseAlg, signing.Algorithms)
	if t.MaxGroups < 0 || t.MaxGroups > config.MaxTokenGroups {
		on.Errorf(key+".maxGroups", "must be from 1 to %d; leave it out to use the server's", config.MaxTokenGroups)
	}
	if t.MaxSize != 0 && (t.MaxSize < config.MinTokenSize || t.MaxSize > config.MaxTokenSize) {
		on.Errorf(key+".maxSize", "must be from %d to %d bytes; leave it out to use the server's", config.MinTokenSize, config.MaxTokenSize)
	}
}
