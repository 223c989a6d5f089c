// Package openshift signs people in through the OAuth server of an OpenShift cluster.
package openshift

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// Config is the settings of the type openshift.
type Config struct {
	Issuer           string `key:"issuer"` // of the cluster's API
	ClientID         string `key:"clientID"`
	ClientSecret     string `key:"clientSecret" secret:"file"`
	ClientSecretFile string `key:"clientSecretFile" file:"sent"` // read at each use, as tokens of service accounts change
	RedirectURI      string `key:"redirectURI"`

	Groups           []string `key:"groups"`           // only members of these
	HideSystemGroups bool     `key:"hideSystemGroups"` // leave out those that OpenShift makes up
	UseFullName      bool     `key:"useFullName"`
	UserNameAsEmail  bool     `key:"userNameAsEmail"` // even if it looks like no address, as upstream
	AllowKubeAdmin   bool     `key:"allowKubeAdmin"`

	RootCA             string   `key:"rootCA" file:"opened"`
	RootCAs            []string `key:"rootCAs" file:"opened"`
	InsecureCA         bool     `key:"insecureCA"` // upstream's name of the next
	InsecureSkipVerify bool     `key:"insecureSkipVerify"`
}

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	const example = "https://api.cluster.example.com:6443"
	type plain Config
	check := settings.Decode(s, (*plain)(c))
	check.Application(c.ClientID, cmp.Or(c.ClientSecret, c.ClientSecretFile))
	check.Required("issuer", c.Issuer == "", "is missing: the address of the cluster's API, such as %s", example)
	check.Base("issuer", c.Issuer, example)
	check.SkipVerify("insecureCA", c.InsecureCA)
	check.SkipVerify("insecureSkipVerify", c.InsecureSkipVerify)
	if c.ClientSecret != "" && c.ClientSecretFile != "" {
		check.Fail("clientSecretFile", "has no place beside clientSecret: set one of them")
	}
	if c.AllowKubeAdmin {
		check.Warn("allowKubeAdmin", "lets in whoever knows the password of kube:admin, as one user")
	}
	c.Issuer = strings.TrimRight(c.Issuer, "/")
	return check.Problems()
}

// ReturnsTo implements connector.Returning.
func (c *Config) ReturnsTo() connector.ReturnAddress {
	return connector.ReturnAddress{URI: c.RedirectURI}
}

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c *Config) CheckFiles() map[string]error {
	found := outbound.CheckRootCAs(c.RootCAs)
	if err := outbound.CheckRootCA(c.RootCA); err != nil {
		found["rootCA"] = err
	}
	if c.ClientSecretFile != "" {
		found["clientSecretFile"] = c.client().CheckSecret()
	}
	return found
}

func (c *Config) client() *relyingparty.Client {
	return &relyingparty.Client{ID: c.ClientID, Secret: c.ClientSecret, SecretFile: c.ClientSecretFile}
}

// connection is a connector to a cluster.
type connection struct {
	relyingparty.SignIn
	cfg *Config
}

var _ connector.Prober = (*connection)(nil)

// Open makes the connector. It asks the cluster nothing yet.
func (c *Config) Open(ctx context.Context, env connector.Env) (any, error) {
	if err := outbound.CheckRootCA(c.RootCA); err != nil {
		return nil, fmt.Errorf("rootCA: %w", err)
	}
	client, err := outbound.NewClient(append(c.RootCAs[:len(c.RootCAs):len(c.RootCAs)], c.RootCA), c.InsecureCA || c.InsecureSkipVerify)
	if err != nil {
		return nil, err
	}
	conn := &connection{cfg: c}
	conn.SignIn = relyingparty.SignIn{
		Flow: relyingparty.Flow{
			Client: c.client().Over(client), Callback: relyingparty.NewCallback(ctx, c.RedirectURI, env), Challenge: relyingparty.ChallengeS256,
		},
		Discovery: relyingparty.NewDiscovery(client, env.Log, c.Issuer, checkMetadata).OfOAuth(),
		HTTP:      client,
		Scopes:    func(connector.Scopes) []string { return []string{"user:info"} },
		Identify:  conn.identify,
	}
	return conn, nil
}

// checkMetadata refuses metadata that lead nowhere. Their issuer is the OAuth server, whose address is not configured.
func checkMetadata(m *relyingparty.Metadata) error {
	for name, address := range map[string]string{"authorization_endpoint": m.AuthURL, "token_endpoint": m.TokenURL} {
		if !outbound.IsURL(address) {
			return fmt.Errorf("the cluster's %s is %q, and must be a URL", name, address)
		}
	}
	return nil
}

// Probe reads what the cluster says of its OAuth server, anew each time, so that changes are noticed.
func (c *connection) Probe(ctx context.Context) error {
	_, err := c.Discovery.Read(ctx)
	return err
}
