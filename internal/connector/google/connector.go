package google

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"dex/internal/connector"
	"dex/internal/connector/google/credentials"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// connection is a connector to Google.
type connection struct {
	relyingparty.SignIn
	cfg    *Config
	log    *slog.Logger
	admins *credentials.Credentials // by which groups are looked up; nil if they aren't
}

var (
	_ connector.Refresher     = (*connection)(nil)
	_ connector.TokenIdentity = (*connection)(nil)
	_ connector.Prober        = (*connection)(nil)
)

// Bounds of what ID tokens may be off by.
const (
	maxKeyAge = time.Hour
	clockSkew = 10 * time.Second
)

// Open makes the connector. It reads the credentials, and asks Google nothing.
func (c *Config) Open(ctx context.Context, env connector.Env) (any, error) {
	client, err := outbound.NewClient(c.RootCAs, c.InsecureSkipVerify)
	if err != nil {
		return nil, err
	}
	us := (&relyingparty.Client{ID: c.ClientID, Secret: c.ClientSecret}).Over(client)
	conn := &connection{cfg: c, log: env.Log}
	conn.SignIn = relyingparty.SignIn{
		Flow: relyingparty.Flow{
			Client: us, Callback: relyingparty.NewCallback(ctx, c.RedirectURI, env), Challenge: relyingparty.ChallengeS256,
		},
		HTTP:        client,
		Scopes:      func(connector.Scopes) []string { return c.scopes() },
		Params:      c.params,
		Identify:    conn.identify,
		AlwaysRenew: true, // for a new ID token, which says whether the user is still of a hosted domain
		OpenID: &relyingparty.OpenID{
			Discovery: relyingparty.NewDiscovery(client, env.Log, c.Issuer, nil),
			Tokens: &relyingparty.IDTokens{
				Keys: &relyingparty.Keys{Client: client, MaxAge: maxKeyAge}, Issuer: c.Issuer, ClientID: c.ClientID, Skew: clockSkew,
			},
		},
	}
	if c.GroupsFrom == "" {
		return conn, nil
	}
	conn.admins, err = c.credentials(credentials.Env{
		HTTP: client, Direct: outbound.NewDirectClient(), IAM: c.IAMCredentialsURL, TokenURL: conn.tokenURL,
	})
	if err != nil {
		return nil, fmt.Errorf("credentials to look up groups: %w", err)
	}
	env.Log.InfoContext(ctx, "groups are looked up", "at", c.GroupsFrom, "credentials", conn.admins.From)
	return conn, nil
}

// credentials reads by what groups are looked up.
func (c *Config) credentials(env credentials.Env) (*credentials.Credentials, error) {
	var admins *credentials.Credentials
	var err error
	if c.ServiceAccountFilePath != "" {
		admins, err = credentials.Read(c.ServiceAccountFilePath, env)
	} else {
		admins, err = credentials.Find(env)
	}
	if err != nil {
		return nil, err
	}
	for domain, admin := range c.DomainToAdminEmail {
		if admin == "" {
			continue
		}
		if err := admins.CanActFor(); err != nil {
			return nil, fmt.Errorf("domainToAdminEmail: %s: %w", domain, err)
		}
	}
	return admins, nil
}

func (c *connection) tokenURL(ctx context.Context) (string, error) {
	m, err := c.OpenID.Discovery.Get(ctx)
	if err != nil {
		return "", err
	}
	return m.TokenURL, nil
}

// Probe reads what Google says of itself, and gets the access tokens by which groups are looked up.
func (c *connection) Probe(ctx context.Context) error {
	if _, err := c.OpenID.Discovery.Read(ctx); err != nil {
		return err
	}
	if c.admins == nil {
		return nil
	}
	var failed []error
	for _, subject := range c.cfg.subjects() {
		_, err := c.admins.Token(ctx, subject, c.cfg.groupScope())
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// Close lets go of idle connections.
func (c *connection) Close() error {
	if c.admins != nil {
		c.admins.Close()
	}
	return c.SignIn.Close()
}

// params returns what Google wants to know of a login besides the usual.
func (c *Config) params(r connector.LoginRequest) url.Values {
	params := url.Values{}
	set := func(name, value string) {
		if value != "" {
			params.Set(name, value)
		}
	}
	switch len(c.HostedDomains) {
	case 0:
	case 1:
		set("hd", c.HostedDomains[0])
	default:
		set("hd", "*") // any domain, but no personal account
	}
	if r.Scopes.OfflineAccess {
		set("access_type", "offline")
	}
	set("prompt", c.prompt(r))
	set("login_hint", cmp.Or(r.LoginHint, r.UserID))
	return params
}

// HandleCallback implements connector.Callback.
func (c *connection) HandleCallback(ctx context.Context, r connector.Return) (connector.Identity, error) {
	id, err := c.SignIn.HandleCallback(ctx, r)
	if err != nil {
		return id, err
	}
	id.Username = cmp.Or(id.Username, id.Email)
	if kept, err := relyingparty.Kept(id.Data); err == nil && kept.Refresh == "" {
		id.Data = nil // and what was kept of another login stays
		c.log.WarnContext(ctx, "Google gave no refresh token: the login can be prolonged only if an earlier one was given one",
			"promptType", c.cfg.prompt(connector.LoginRequest{Scopes: r.Scopes}))
	}
	return id, nil
}

// Refresh implements connector.Refresher.
func (c *connection) Refresh(ctx context.Context, s connector.Scopes, last connector.Identity) (connector.Identity, error) {
	data, err := fromUpstream(last.Data)
	if err != nil {
		return connector.Identity{}, err
	}
	known := last.Username
	last.Data = data
	id, err := c.SignIn.Refresh(ctx, s, last)
	if err == nil { // ID tokens of a refresh may leave the name out
		id.Username = cmp.Or(id.Username, known, id.Email)
	}
	return id, err
}

// fromUpstream returns what was kept of a login as it is kept here. Upstream keeps the bare refresh token.
func fromUpstream(data []byte) ([]byte, error) {
	if len(data) == 0 || bytes.HasPrefix(data, []byte("{")) {
		return data, nil
	}
	return json.Marshal(map[string]string{"refreshToken": string(data)})
}
