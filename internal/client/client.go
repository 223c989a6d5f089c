// Package client is the registered applications: who they are, how they prove it, and where answers to them may go.
package client

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"slices"
)

// ErrUnknown says that no client has the id.
var ErrUnknown = errors.New("unknown client")

// A Client is a registered application.
type Client struct {
	ID   string
	Name string // shown to users
	// Secret is empty for a public client without one. A public client that has a secret must present it.
	Secret  string
	Public  bool // can't keep a secret: installed on people's devices or running in their browsers
	LogoURL string

	RedirectURIs      []string
	TrustedPeers      []string // the clients that may ask for tokens that this client accepts too
	AllowedConnectors []string // empty means all
}

// Trusts reports whether another client may ask for tokens with this one in their audience.
func (c *Client) Trusts(id string) bool {
	return id == c.ID || slices.Contains(c.TrustedPeers, id)
}

// AllowsConnector reports whether users may sign in to the client through the connector.
func (c *Client) AllowsConnector(id string) bool {
	return len(c.AllowedConnectors) == 0 || slices.Contains(c.AllowedConnectors, id)
}

// HasSecret compares a presented secret with the client's in constant time, its length included.
func (c *Client) HasSecret(presented string) bool {
	want, got := sha256.Sum256([]byte(c.Secret)), sha256.Sum256([]byte(presented))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// A Registry finds clients. It is safe for concurrent use.
type Registry struct {
	static map[string]*Client
}

// NewRegistry returns a registry of the clients of the configuration.
func NewRegistry(static []*Client) *Registry {
	r := &Registry{static: make(map[string]*Client, len(static))}
	for _, c := range static {
		r.static[c.ID] = c
	}
	return r
}

// Get returns the client of an id; ErrUnknown if there is none. Every other error means that the storage failed.
func (r *Registry) Get(_ context.Context, id string) (*Client, error) {
	if c, ok := r.static[id]; ok {
		return c, nil
	}
	return nil, ErrUnknown
}

// AnyPublic reports whether a client may authenticate with its id alone.
func (r *Registry) AnyPublic() bool {
	for _, c := range r.static {
		if c.Public && c.Secret == "" {
			return true
		}
	}
	return false
}
