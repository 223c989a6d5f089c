package app

import (
	"context"
	"errors"
	"slices"

	"dex/internal/client"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/policy"
	"dex/internal/refresh"
	"dex/internal/token"
)

// refreshTerms asks the policy for introspection, which knows neither the policy nor the connectors.
type refreshTerms struct {
	policy     policy.Decider
	connectors *federation.Registry
}

// OfRefresh implements introspection.Terms.
func (r *refreshTerms) OfRefresh(
	ctx context.Context, c *client.Client, f *refresh.Inspected,
) (scopes []string, on token.Terms, ok bool, err error) {
	all, err := r.connectors.List(ctx)
	if err != nil {
		return nil, token.Terms{}, false, err
	}
	i := slices.IndexFunc(all, func(d *federation.Definition) bool { return d.ID == f.ConnectorID })
	if i < 0 {
		return nil, token.Terms{}, false, nil
	}
	would, err := r.policy.Decide(ctx, policy.Question{
		Stage: policy.Known, Client: c, Grant: oauth.GrantRefreshToken, Connector: all[i],
		Scopes: f.Scopes, Passed: f.Factors, Methods: f.Methods, User: &f.Identity,
	})
	if _, refused := errors.AsType[*policy.Refusal](err); refused {
		return nil, token.Terms{}, false, nil
	}
	return would.Scopes, would.Terms, err == nil, err
}
