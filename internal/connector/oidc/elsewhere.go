package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"dex/internal/relyingparty"
)

// elsewhere returns a claim that the provider keeps at another address, as some do when there is too much of it (OpenID
// Connect Core, section 5.6.2); nil when it has none.
func (c *connection) elsewhere(ctx context.Context, m *relyingparty.Metadata, said relyingparty.Claims, name, accessToken string) (any, error) {
	names, _ := said["_claim_names"].(map[string]any)
	sources, _ := said["_claim_sources"].(map[string]any)
	source, ok := names[name].(string)
	if !ok {
		return nil, nil
	}
	value, err := c.fetchClaim(ctx, m, said, sources[source], name, accessToken)
	if err != nil && len(c.cfg.AllowedGroups) == 0 {
		c.log.WarnContext(ctx, "groups that the provider keeps elsewhere can't be read; the user has none", "err", err)
		return nil, nil
	}
	return value, err
}

func (c *connection) fetchClaim(
	ctx context.Context, m *relyingparty.Metadata, said relyingparty.Claims, source any, name, accessToken string,
) (any, error) {
	described, ok := source.(map[string]any)
	if !ok {
		return nil, errors.New("distributed claim: the provider does not say where it is")
	}
	if inside, ok := described["JWT"].(string); ok { // an aggregated one
		return c.signedClaim(ctx, m, said, inside, name)
	}
	endpoint, _ := described["endpoint"].(string)
	if err := c.mayAsk(m, endpoint); err != nil {
		return nil, err
	}
	if own, ok := described["access_token"].(string); ok {
		accessToken = own
	}
	answer, err := (&relyingparty.Tokens{Access: accessToken}).As(c.client, nil).Get(ctx, endpoint)
	if err != nil {
		return nil, fmt.Errorf("distributed claim: %s: %w", endpoint, err)
	}
	if answer.MediaType() == "application/jwt" {
		return c.signedClaim(ctx, m, said, string(answer.Body), name)
	}
	found, err := relyingparty.ReadClaims(answer.Body)
	return found[name], err
}

// signedClaim returns a claim of a token that the provider has signed, which must be about the same user: else a claim of one
// user could be shown as another's.
func (c *connection) signedClaim(ctx context.Context, m *relyingparty.Metadata, said relyingparty.Claims, token, name string) (any, error) {
	signed, err := c.keys.Verify(ctx, m.JWKSURL, token, m.IDAlgorithms())
	if err == nil {
		err = c.idTokens.CheckIssuer(signed)
	}
	if err == nil {
		err = relyingparty.CheckPurpose(token, signed)
	}
	switch expires := signed.Time("exp"); {
	case err != nil:
		return nil, fmt.Errorf("claim that the provider has signed: %w", err)
	case signed.Text("sub") == "" || signed.Text("sub") != said.Text("sub"):
		return nil, fmt.Errorf("claim that the provider has signed: its sub is %q, not that of the user", signed.Text("sub"))
	case !expires.IsZero() && time.Now().After(expires.Add(c.cfg.skew())):
		return nil, errors.New("claim that the provider has signed: it has expired")
	}
	return signed[name], nil
}

// mayAsk reports whether our access token may be sent to an address that a token names: it must be the provider's, or one that
// the operator trusts.
func (c *connection) mayAsk(m *relyingparty.Metadata, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" {
		return fmt.Errorf("distributed claim: %q is no https URL", endpoint)
	}
	hosts := slices.Clone(c.cfg.DistributedClaimsHosts)
	for _, own := range []string{m.Issuer, m.UserInfoURL} {
		if o, err := url.Parse(own); err == nil && o.Host != "" {
			hosts = append(hosts, o.Host)
		}
	}
	if !slices.Contains(hosts, u.Host) {
		return fmt.Errorf("distributed claim: %s is not the provider's; distributedClaimsHosts may name it", u.Host)
	}
	return nil
}
