package federation

import (
	"dex/internal/connector"
	"dex/internal/connector/authproxy"
	"dex/internal/connector/crowd"
	"dex/internal/connector/keystone"
	"dex/internal/connector/ldap"
	"dex/internal/connector/microsoft"
	"dex/internal/connector/mock"
	"dex/internal/connector/oauth"
	"dex/internal/connector/oidc"
	"dex/internal/connector/saml"
)

// kinds is every type of connector that can be configured, with its settings.
var kinds = map[string]func() connector.Config{
	"atlassian-crowd": func() connector.Config { return &crowd.Config{} },
	"authproxy":       func() connector.Config { return &authproxy.Config{} },
	"keystone":        func() connector.Config { return &keystone.Config{} },
	"ldap":            func() connector.Config { return &ldap.Config{} },
	"mockCallback":    func() connector.Config { return &mock.CallbackConfig{} },
	"oauth":           func() connector.Config { return &oauth.Config{} },
	"oidc":            func() connector.Config { return &oidc.Config{} },
	"mockPassword":    func() connector.Config { return &mock.PasswordConfig{} },
	"saml":            func() connector.Config { return &saml.Config{} },
	// upstream's older name of it
	"samlExperimental": func() connector.Config { return &saml.Config{} },
}

// planned is the types that are not to be had yet, and whose settings are checked all the same.
var planned = map[string]func() any{
	"microsoft": func() any { return &microsoft.Config{} },
}

// NewPlanned returns what the settings of a type that is not to be had yet are decoded into; false when nothing is known of
// them.
func NewPlanned(kind string) (any, bool) {
	make, ok := planned[kind]
	if !ok {
		return nil, false
	}
	return make(), true
}

// NewConfig returns empty settings for a type of connector, to be decoded into; false when the type is not to be had.
func NewConfig(kind string) (connector.Config, bool) {
	make, ok := kinds[kind]
	if !ok {
		return nil, false
	}
	return make(), true
}
