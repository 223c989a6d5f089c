// Package client is the registered applications: which there are, how they authenticate, and where answers to them may go.
package client

import (
	"cmp"
	"slices"

	"dex/internal/rule"
	"dex/internal/store"
)

// A Client is a registered application. The tags key name the keys of the configuration file, and the tags json the members
// of the stored document, whose key is the id. Upstream's custom resource OAuth2Client has the same members, so that people on
// Kubernetes keep the objects they have; previousSecret, grantTypes, logoutWithoutConfirmation, tokens, those of Access, of the front channel and with
// SessionRequired are ours.
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

	rule.Access // who may use it, and what its tokens say of them

	AllowedConnectors []string `key:"allowedConnectors" json:"allowedConnectors,omitempty"` // empty means all
	GrantTypes        []string `key:"grantTypes" json:"grantTypes,omitempty"`               // empty means all

	// PostLogoutRedirectURIs are where browsers may be sent after a logout; they match character by character.
	PostLogoutRedirectURIs []string `key:"postLogoutRedirectURIs" json:"postLogoutRedirectURIs,omitempty"`
	// LogoutWithoutConfirmation lets it end a session by a link with its id and one of PostLogoutRedirectURIs, without asking the user.
	LogoutWithoutConfirmation bool `key:"logoutWithoutConfirmation" json:"logoutWithoutConfirmation,omitempty"`

	// BackchannelLogoutURI gets a logout token when a session ends that the client has used; FrontchannelLogoutURI is loaded in an
	// iframe. With SessionRequired, they are told of ended sessions only with the session's id.
	BackchannelLogoutURI              string `key:"backchannelLogoutURI" json:"backchannelLogoutURI,omitempty"`
	BackchannelLogoutSessionRequired  bool   `key:"backchannelLogoutSessionRequired" json:"backchannelLogoutSessionRequired,omitempty"`
	FrontchannelLogoutURI             string `key:"frontchannelLogoutURI" json:"frontchannelLogoutURI,omitempty"`
	FrontchannelLogoutSessionRequired bool   `key:"frontchannelLogoutSessionRequired" json:"frontchannelLogoutSessionRequired,omitempty"`

	// RefreshTokenLifetime is standalone or session; empty means standalone.
	RefreshTokenLifetime string `key:"refreshTokenLifetime" json:"refreshTokenLifetime,omitempty"`
	// MFAChain is the second factors that users need; nil means the server's default, empty none.
	MFAChain []string `key:"mfaChain" json:"mfaChain,omitempty"`
	// SSOSharedWith is the clients that may use sessions in which users have signed in to this one; nil means the server's default,
	// empty none, and AllClients all.
	SSOSharedWith []string `key:"ssoSharedWith" json:"ssoSharedWith"`

	ClientCredentialsClaims *OwnClaims `key:"clientCredentialsClaims" json:"clientCredentialsClaims,omitempty"`

	Tokens *Tokens `key:"tokens" json:"tokens,omitempty"`
}

// AllClients in SSOSharedWith stands for every client.
const AllClients = "*"

// LifetimeSession is the RefreshTokenLifetime of a client whose refresh tokens end with the session; the other is LifetimeStandalone.
const (
	LifetimeStandalone = "standalone"
	LifetimeSession    = "session"
)

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

// SessionBound reports whether the client's refresh tokens end with the session that they were issued in.
func (c *Client) SessionBound() bool { return c.RefreshTokenLifetime == LifetimeSession }

// SharesWith reports whether another client may use sessions in which users have signed in to this one. byDefault says what clients do
// that don't say.
func (c *Client) SharesWith(id string, byDefault bool) bool {
	if c.SSOSharedWith == nil {
		return byDefault
	}
	return slices.Contains(c.SSOSharedWith, id) || slices.Contains(c.SSOSharedWith, AllClients)
}

// AllowsPostLogoutRedirect reports whether browsers may be sent to a URI after a logout.
func (c *Client) AllowsPostLogoutRedirect(uri string) bool {
	return CheckRedirectURI(uri) == nil && slices.Contains(c.PostLogoutRedirectURIs, uri)
}

// DisplayName is what users know the client by.
func (c *Client) DisplayName() string { return cmp.Or(c.Name, c.ID) }

// AllowsGrant reports whether the client may use a grant.
func (c *Client) AllowsGrant(grant string) bool {
	return len(c.GrantTypes) == 0 || slices.Contains(c.GrantTypes, grant)
}
