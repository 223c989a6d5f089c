package federation

import (
	"slices"

	"dex/internal/connector"
	"dex/internal/connector/authproxy"
	"dex/internal/connector/bitbucket"
	"dex/internal/connector/crowd"
	"dex/internal/connector/gitea"
	"dex/internal/connector/github"
	"dex/internal/connector/gitlab"
	"dex/internal/connector/google"
	"dex/internal/connector/keystone"
	"dex/internal/connector/ldap"
	"dex/internal/connector/linkedin"
	"dex/internal/connector/microsoft"
	"dex/internal/connector/mock"
	"dex/internal/connector/oauth"
	"dex/internal/connector/oidc"
	"dex/internal/connector/openshift"
	"dex/internal/connector/saml"
)

// A kind is a type of connector that can be configured.
type kind struct {
	name string
	// settings returns empty settings to decode into.
	settings func() connector.Config
}

// kinds is every type that upstream has, in the order in which messages list them.
var kinds = []kind{
	{name: "ldap", settings: func() connector.Config { return &ldap.Config{} }},
	{name: "github", settings: func() connector.Config { return &github.Config{} }},
	{name: "gitlab", settings: func() connector.Config { return &gitlab.Config{} }},
	{name: "google", settings: func() connector.Config { return &google.Config{} }},
	{name: "oidc", settings: func() connector.Config { return &oidc.Config{} }},
	{name: "oauth", settings: func() connector.Config { return &oauth.Config{} }},
	{name: "saml", settings: func() connector.Config { return &saml.Config{} }},
	{name: "samlExperimental", settings: func() connector.Config { return &saml.Config{} }}, // upstream's older name of it
	{name: "authproxy", settings: func() connector.Config { return &authproxy.Config{} }},
	{name: "linkedin", settings: func() connector.Config { return &linkedin.Config{} }},
	{name: "microsoft", settings: func() connector.Config { return &microsoft.Config{} }},
	{name: "bitbucket-cloud", settings: func() connector.Config { return &bitbucket.Config{} }},
	{name: "openshift", settings: func() connector.Config { return &openshift.Config{} }},
	{name: "atlassian-crowd", settings: func() connector.Config { return &crowd.Config{} }},
	{name: "gitea", settings: func() connector.Config { return &gitea.Config{} }},
	{name: "keystone", settings: func() connector.Config { return &keystone.Config{} }},
	{name: "mockCallback", settings: func() connector.Config { return &mock.CallbackConfig{} }},
	{name: "mockPassword", settings: func() connector.Config { return &mock.PasswordConfig{} }},
}

// Types returns the names of all types. The password database has the type [LocalID], which only enablePasswordDB makes.
func Types() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

// NewConfig returns empty settings of a type of connector, to decode into; false if there is no such type.
func NewConfig(name string) (connector.Config, bool) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		return nil, false
	}
	return kinds[i].settings(), true
}
