// Package keystone signs people in with their OpenStack Keystone passwords (Identity API v3).
package keystone

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/outbound"
)

// Config is the settings of the type keystone.
type Config struct {
	Host   string `key:"keystoneHost"` // base URL, without /v3
	Domain string `key:"domain"`       // of the users: an id or a name

	// The account that asks about users at a refresh: a user, or an application credential.
	AdminUsername               string `key:"keystoneUsername"`
	AdminPassword               string `key:"keystonePassword" secret:"file"`
	AdminDomain                 string `key:"adminDomain"` // Domain when empty
	ApplicationCredentialID     string `key:"applicationCredentialID"`
	ApplicationCredentialSecret string `key:"applicationCredentialSecret" secret:"file"`

	AllowedGroups      []string `key:"allowedGroups"`
	RootCAs            []string `key:"rootCAs" file:"opened"`
	InsecureSkipVerify bool     `key:"insecureSkipVerify"`
}

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	check := settings.Decode(s, (*plain)(c))
	if !outbound.IsURL(c.Host) && !check.Unread("keystoneHost") {
		check.Fail("keystoneHost", "must be the URL of Keystone without /v3, such as https://keystone.example.com:5000")
	}
	check.Required("domain", c.Domain == "", "is missing: the id or the name of the users' domain, such as default")
	if (c.ApplicationCredentialID == "") != (c.ApplicationCredentialSecret == "") {
		check.Fail("applicationCredentialID", "and applicationCredentialSecret go together")
	}
	if !c.hasAdmin() {
		check.Warn("keystoneUsername", "is missing: without an account that may ask about users, applications get no refresh tokens")
	}
	if c.InsecureSkipVerify {
		check.Warn("insecureSkipVerify", "lets anybody on the network path read passwords; use rootCAs")
	}
	return check.Problems()
}

// source is the connector.
type source struct {
	cfg    *Config
	client *http.Client
	log    *slog.Logger
	admin  admin
}

// refreshing is a source that can look users up without their passwords.
type refreshing struct{ *source }

var (
	_ connector.Password  = (*source)(nil)
	_ connector.Prober    = (*source)(nil)
	_ connector.Refresher = refreshing{}
)

// AsksPassword implements connector.PasswordForm.
func (*Config) AsksPassword() bool { return true }

// Open makes the connector. It does not call Keystone.
func (c *Config) Open(_ context.Context, env connector.Env) (any, error) {
	client, err := outbound.NewClient(c.RootCAs, c.InsecureSkipVerify)
	if err != nil {
		return nil, err
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s := &source{cfg: c, client: client, log: env.Log}
	s.cfg.Host = strings.TrimRight(c.Host, "/")
	if !c.hasAdmin() {
		return s, nil
	}
	return refreshing{s}, nil
}

// hasAdmin reports whether there is an account that may ask about users.
func (c *Config) hasAdmin() bool { return c.AdminUsername != "" || c.ApplicationCredentialID != "" }

// Close closes idle connections.
func (s *source) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// domain names a domain in a request, by id or by name.
type domain struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// domainOf tells ids from names as upstream does: default, and a UUID in any form, are ids.
func domainOf(text string) domain {
	if _, err := uuid.Parse(text); err == nil || text == "default" {
		return domain{ID: text}
	}
	return domain{Name: text}
}
