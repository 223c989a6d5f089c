package policy

import (
	"cmp"
	"time"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/token"
)

// terms returns what the tokens of a client are like.
func (t *Tokens) terms(c *client.Client) token.Terms {
	own := c.TokenSettings()
	ofID, ofAccess := own.Lifetimes()
	on := token.Terms{
		IDLifetime:     t.lifetime(ofID),
		AccessLifetime: t.lifetime(ofAccess),
		Profile:        t.Profile,
		Opaque:         t.Opaque,
		Algorithm:      own.IDTokenSignedResponseAlg,
		MaxGroups:      cmp.Or(own.MaxGroups, t.MaxGroups),
		MaxSize:        cmp.Or(own.MaxSize, t.MaxSize),
	}
	if own.Profile != "" {
		on.Profile = own.Profile == config.Strict
	}
	if own.AccessToken != "" {
		on.Opaque = own.AccessToken == client.FormOpaque
	}
	return on
}

// lifetime returns how long a token lives whose client asks for a lifetime, if it does. Keys and refusals last no longer than for the
// longest that is configured.
func (t *Tokens) lifetime(own time.Duration) time.Duration {
	if own <= 0 {
		return t.Lifetime
	}
	return min(own, max(t.Longest, t.Lifetime))
}
