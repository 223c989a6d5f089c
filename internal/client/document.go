package client

import "dex/internal/store"

// A Document is a client in the storage, under its id. The members are those of upstream's custom resource OAuth2Client,
// so that on Kubernetes people and operators go on with the objects that they have.
type Document struct {
	ID string `json:"id,omitempty"`
	// Secret is a hash made by HashSecret, or a secret in clear as upstream and people write it.
	Secret string `json:"secret,omitempty"`
	// PreviousSecret is of the same form. It is ours, as is GrantTypes.
	PreviousSecret string   `json:"previousSecret,omitempty"`
	GrantTypes     []string `json:"grantTypes,omitempty"`

	RedirectURIs []string `json:"redirectURIs,omitempty"`
	TrustedPeers []string `json:"trustedPeers,omitempty"`
	Public       bool     `json:"public"`
	Name         string   `json:"name,omitempty"`
	LogoURL      string   `json:"logoURL,omitempty"`

	AllowedConnectors      []string `json:"allowedConnectors,omitempty"`
	MFAChain               []string `json:"mfaChain,omitempty"`
	PostLogoutRedirectURIs []string `json:"postLogoutRedirectURIs,omitempty"`
	SSOSharedWith          []string `json:"ssoSharedWith"` // null means the configured default, empty nobody
	BackchannelLogoutURI   string   `json:"backchannelLogoutURI,omitempty"`
	RefreshTokenLifetime   string   `json:"refreshTokenLifetime,omitempty"`

	ClientCredentialsClaims *GrantedClaims `json:"clientCredentialsClaims,omitempty"`
}

// GrantedClaims are the claims of tokens that a client gets for itself.
type GrantedClaims struct {
	Groups []string `json:"groups"`
}

// Kind is the kind of the stored clients.
var Kind = store.Declare(store.Declaration[Document]{
	Name: "client", Durable: true, Kubernetes: store.EditedObject,
})
