package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/policy"
	"dex/internal/refresh"
)

// tokenDefaults returns what tokens are like whose clients don't say.
func (p *Plan) tokenDefaults() policy.Tokens {
	t := p.Config.OAuth2.Tokens
	return policy.Tokens{
		Lifetime:  p.Config.Expiry.IDTokens,
		Longest:   p.longestTokens(),
		Profile:   p.Config.OAuth2.Compatibility.TokenProfile == config.Strict,
		Opaque:    t.AccessToken == config.AccessTokenOpaque,
		MaxGroups: t.MaxGroups,
		MaxSize:   t.MaxSize,
	}
}

// openAlgorithms makes sure that there are keys of each algorithm that configured clients ask for.
func (e *Edition) openAlgorithms(ctx context.Context) error {
	for _, c := range e.plan.clients {
		algorithm := c.TokenSettings().IDTokenSignedResponseAlg
		if _, err := e.core.signer.KeyFor(ctx, algorithm); err != nil {
			return fmt.Errorf("staticClients: client %q: tokens.idTokenSignedResponseAlg: %w", c.ID, err)
		}
	}
	return nil
}

// longestTokens returns the lifetime of the longest-lived tokens: the server's, or those of a configured client. Stored ones get
// no longer ones, as keys and refusals last as long as this.
func (p *Plan) longestTokens() time.Duration {
	longest := p.Config.Expiry.IDTokens
	for _, c := range p.clients {
		ofID, ofAccess := c.TokenSettings().Lifetimes()
		longest = max(longest, ofID, ofAccess)
	}
	return longest
}

// longestRefresh returns the lifetimes of the longest-lived refresh tokens: the server's, or those of a configured client.
func (p *Plan) longestRefresh() refresh.Lifetimes {
	longest := lifetimes(p.Config)
	for _, c := range p.clients {
		unused, absolute := c.TokenSettings().RefreshLifetimes()
		longest.ValidIfNotUsedFor = longer(longest.ValidIfNotUsedFor, unused)
		longest.AbsoluteLifetime = longer(longest.AbsoluteLifetime, absolute)
	}
	return longest
}

// longer returns the longer of two lifetimes, of which 0 is unlimited, and own 0 if there is none.
func longer(a, own time.Duration) time.Duration {
	if a == 0 {
		return 0
	}
	return max(a, own)
}

// refreshLimits are the lifetimes of clients' refresh tokens.
type refreshLimits struct {
	clients *client.Registry
	longest refresh.Lifetimes // that any client may have: what sources gave is kept for as long
}

// RefreshLimits implements refresh.Clients.
func (l *refreshLimits) RefreshLimits(ctx context.Context, clientID string) (refresh.Limits, error) {
	c, err := l.clients.Get(ctx, clientID)
	if errors.Is(err, client.ErrUnknown) {
		return refresh.Limits{}, nil
	}
	if err != nil {
		return refresh.Limits{}, err
	}
	unused, absolute := c.TokenSettings().RefreshLifetimes()
	return refresh.Limits{
		ValidIfNotUsedFor: shorter(unused, l.longest.ValidIfNotUsedFor),
		AbsoluteLifetime:  shorter(absolute, l.longest.AbsoluteLifetime),
	}, nil
}

// shorter returns a client's own lifetime, cut to the longest, of which 0 is unlimited.
func shorter(own, longest time.Duration) time.Duration {
	if longest == 0 {
		return own
	}
	return min(own, longest)
}
