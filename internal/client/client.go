// Package client is the registered applications: who they are, how they prove it, and where answers to them may go.
package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"dex/internal/limit"
	"dex/internal/store"
)

// ErrUnknown says that no client has the id.
var ErrUnknown = errors.New("unknown client")

// A Client is a registered application.
type Client struct {
	ID   string
	Name string // shown to users
	// Secret is empty for a public client without one. A public client that has a secret must present it.
	Secret string
	// PreviousSecret is accepted beside the secret, while applications change from one to the other; usually empty.
	PreviousSecret string
	Public         bool // can't keep a secret: installed on people's devices or running in their browsers
	LogoURL        string

	RedirectURIs      []string
	TrustedPeers      []string // the clients that may ask for tokens that this client accepts too
	AllowedConnectors []string // empty means all
	GrantTypes        []string // empty means all
	Groups            []string // of tokens that the client gets for itself
	MFAChain          []string // second factors of its users; nil means the server's default, empty none
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

// stored returns a client of the storage.
func stored(d *Document) *Client {
	c := &Client{
		ID:                d.ID,
		Name:              d.Name,
		Secret:            d.Secret,
		PreviousSecret:    d.PreviousSecret,
		Public:            d.Public,
		LogoURL:           d.LogoURL,
		RedirectURIs:      d.RedirectURIs,
		TrustedPeers:      d.TrustedPeers,
		AllowedConnectors: d.AllowedConnectors,
		GrantTypes:        d.GrantTypes,
		MFAChain:          d.MFAChain,
	}
	if d.ClientCredentialsClaims != nil {
		c.Groups = d.ClientCredentialsClaims.Groups
	}
	return c
}

// A Registry finds clients: those of the configuration, and those of the storage that no configured one hides. It is safe
// for concurrent use.
type Registry struct {
	static  map[string]*Client
	stored  *store.Cache[Document]
	secrets *secrets
	limits  *limit.Set
}

// NewRegistry returns a registry of the clients of the configuration and of the storage. The limits are for those who guess
// secrets.
func NewRegistry(static []*Client, s store.Store, limits *limit.Set) *Registry {
	r := &Registry{
		static:  make(map[string]*Client, len(static)),
		stored:  store.NewCache(store.In(s, Kind)),
		secrets: newSecrets(),
		limits:  limits,
	}
	for _, c := range static {
		r.static[c.ID] = c
	}
	return r
}

// Forget makes the registry read a client again that was changed in the storage.
func (r *Registry) Forget(c store.Change) { r.stored.Forget(c) }

// Find returns the client of an id that somebody names who may be a stranger. Those who name ids that no client has must wait
// after some of them, so that nobody keeps the storage busy by that: then it is a *[limit.Exceeded]. Else it is as Get. Whoever
// shares their address, as everybody does behind a proxy that is not believed, still finds the clients that there are.
func (r *Registry) Find(ctx context.Context, id string) (*Client, error) {
	if _, ok := r.static[id]; ok || r.stored.Knows(id) {
		return r.Get(ctx, id)
	}
	try, err := r.limits.UnknownClient(ctx)
	if _, exceeded := errors.AsType[*limit.Exceeded](err); exceeded {
		if known, listErr := r.stored.Has(ctx, id); known && listErr == nil {
			return r.Get(ctx, id)
		}
	}
	if err != nil {
		return nil, err
	}
	defer try.End()
	c, err := r.Get(ctx, id)
	if errors.Is(err, ErrUnknown) {
		try.Failed()
	}
	return c, err
}

// Get returns the client of an id; ErrUnknown if there is none. Every other error means that the storage failed.
func (r *Registry) Get(ctx context.Context, id string) (*Client, error) {
	if c, ok := r.static[id]; ok {
		return c, nil
	}
	if id == "" || len(id) > store.MaxKey {
		return nil, ErrUnknown
	}
	e, err := r.stored.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	if e.Value.ID != id {
		return nil, fmt.Errorf("stored client %q says that it is %q", id, e.Value.ID)
	}
	return stored(&e.Value), nil
}
