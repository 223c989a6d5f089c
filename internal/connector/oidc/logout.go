package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"dex/internal/connector"
)

// LogoutURL implements connector.Logout (OpenID Connect RP-Initiated Logout).
func (c *connection) LogoutURL(ctx context.Context, r connector.LogoutRequest) (connector.Redirect, error) {
	m, err := c.discovery.Get(ctx)
	if err != nil || m.EndSessionURL == "" {
		return connector.Redirect{}, err
	}
	target, err := url.Parse(m.EndSessionURL)
	if err != nil {
		return connector.Redirect{}, fmt.Errorf("end_session_endpoint: %w", err)
	}
	params := target.Query()
	params.Set("post_logout_redirect_uri", r.ReturnURL)
	params.Set("client_id", c.cfg.ClientID)
	if r.State != "" {
		params.Set("state", r.State)
	}
	target.RawQuery = params.Encode()
	return connector.Redirect{URL: target.String()}, nil
}

// HandleLogout implements connector.Logout.
func (c *connection) HandleLogout(_ context.Context, r connector.Return) error {
	if r.Request.URL.Query().Get("state") != r.State {
		return errors.New("the provider's answer to the logout has another state")
	}
	return nil
}
