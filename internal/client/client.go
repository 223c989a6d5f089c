// Package client is the registered applications: which there are, how they authenticate, and where answers to them may go.
package client

import (
	"cmp"
	"slices"

	"dex/internal/store"
)

// A Client is a registered application. The tags key name the keys of the configuration file, and the tags json the members
// of the stored document, whose key is the id. Upstream's custom resource OAuth2Client has the same members, so that people on
// Kubernetes keep the objects they have; previousSecret and grantTypes are ours.
type Client struct {
	ID string `key:"id" json:"id,omitempty"`
	// Secret is empty for a public client without one. A public client that has a secret must present it. In the storage it
	// is a hash made by HashSecret, or plain text as upstream and people write it.
	Secret string `key:"secret" secret:"file" json:"secret,omitempty"`
	// PreviousSecret is accepted too, while applications change to the new secret; usually empty.
	PreviousSecret string `key:"previousSecret" secret:"file" json:"previousSecret,omitempty"`

	Name         string   `key:"name" json:"name,omitempty"` // shown to users
	RedirectURIs []string `key:"redirectURIs" json:"redirectURIs,omitempty"`
	Public       bool     `key:"public" json:"public"`                       // can't keep a secret, as it runs on people's devices or in their browsers
	TrustedPeers []string `key:"trustedPeers" json:"trustedPeers,omitempty"` // the clients that may ask for tokens with this client in their audience
	LogoURL      string   `key:"logoURL" json:"logoURL,omitempty"`

	AllowedConnectors []string `key:"allowedConnectors" json:"allowedConnectors,omitempty"` // empty means all
	GrantTypes        []string `key:"grantTypes" json:"grantTypes,omitempty"`               // empty means all

	PostLogoutRedirectURIs []string `key:"postLogoutRedirectURIs" json:"postLogoutRedirectURIs,omitempty" later:"logout"`
	BackchannelLogoutURI   string   `key:"backchannelLogoutURI" json:"backchannelLogoutURI,omitempty" later:"logout"`
	// RefreshTokenLifetime is standalone or session; empty means standalone.
	RefreshTokenLifetime string `key:"refreshTokenLifetime" json:"refreshTokenLifetime,omitempty" later:"browser sessions"`
	// MFAChain is the second factors that users need; nil means the server's default, empty none.
	MFAChain []string `key:"mfaChain" json:"mfaChain,omitempty" later:"multi-factor authentication"`
	// SSOSharedWith is the clients that its sessions are shared with; nil means the server's default, empty none.
	SSOSharedWith []string `key:"ssoSharedWith" json:"ssoSharedWith" later:"browser sessions"`

	ClientCredentialsClaims *OwnClaims `key:"clientCredentialsClaims" json:"clientCredentialsClaims,omitempty"`
}

// OwnClaims are the claims of tokens that a client gets for itself, without a user.
type OwnClaims struct {
	Groups []string `key:"groups" json:"groups"`
}

// Kind is the kind of the stored clients.
var Kind = store.Declare(store.Declaration[Client]{
	Name: "client", Durable: true, Kubernetes: store.EditedObject,
})

// OwnGroups returns the groups of tokens that the client gets for itself.
func (c *Client) OwnGroups() []string {
	if c.ClientCredentialsClaims == nil {
		return nil
	}
	return c.ClientCredentialsClaims.Groups
}

// Trusts reports whether another client may ask for tokens with this one in their audience.
func (c *Client) Trusts(id string) bool {
	return id == c.ID || slices.Contains(c.TrustedPeers, id)
}

// AllowsConnector reports whether users may sign in to the client through the connector.
func (c *Client) AllowsConnector(id string) bool {
	return len(c.AllowedConnectors) == 0 || slices.Contains(c.AllowedConnectors, id)
}

// DisplayName is what users know the client by.
func (c *Client) DisplayName() string { return cmp.Or(c.Name, c.ID) }

// AllowsGrant reports whether the client may use a grant.
func (c *Client) AllowsGrant(grant string) bool {
	return len(c.GrantTypes) == 0 || slices.Contains(c.GrantTypes, grant)
}
