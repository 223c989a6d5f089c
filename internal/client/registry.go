package client

import (
	"context"
	"errors"
	"log/slog"

	"dex/internal/limit"
	"dex/internal/store"
)

// ErrUnknown says that no client has the id.
var ErrUnknown = errors.New("unknown client")

// NewCatalog returns the stored clients. A client is created and updated with secrets in clear.
func NewCatalog(s store.Store, log *slog.Logger) *store.Catalog[Client] {
	return store.NewCatalog(s, store.Rules[Client]{
		Kind: Kind, Key: func(c *Client) string { return c.ID }, Validate: (*Client).Validate, Conceal: conceal,
	}, log)
}

// conceal hashes secrets that are new.
func conceal(before, c *Client) {
	if c.Secret != before.Secret {
		c.Secret = HashSecret(c.Secret)
	}
	if c.PreviousSecret != before.PreviousSecret && c.PreviousSecret != before.Secret {
		c.PreviousSecret = HashSecret(c.PreviousSecret)
	}
}

// A Registry finds clients: those of the configuration, and those of the storage that no configured one hides. It is safe
// for concurrent use.
type Registry struct {
	clients *store.Layered[Client]
	secrets *secrets
	limits  *limit.Set
}

// NewRegistry returns a registry of the clients of the configuration and of the storage. The limits are for those who guess
// secrets.
func NewRegistry(configured []*Client, s store.Store, limits *limit.Set, log *slog.Logger) *Registry {
	return &Registry{
		clients: store.NewLayered(configured, NewCatalog(s, log)),
		secrets: newSecrets(),
		limits:  limits,
	}
}

// With returns other configured clients over the same stored ones. What is remembered of secrets is shared.
func (r *Registry) With(configured []*Client) *Registry {
	return &Registry{clients: r.clients.With(configured), secrets: r.secrets, limits: r.limits}
}

// Forget makes the registry read a client again that was changed in the storage.
func (r *Registry) Forget(c store.Change) { r.clients.Forget(c) }

// Find returns the client of an id that somebody names who may be a stranger. Those who name ids that no client has must wait
// after some of them, so that nobody keeps the storage busy by that: then it is a *[limit.Exceeded]. Else it is as Get. Whoever
// shares their address, as everybody does behind a proxy that is not believed, still finds the clients that there are.
func (r *Registry) Find(ctx context.Context, id string) (*Client, error) {
	if r.clients.Knows(id) {
		return r.Get(ctx, id)
	}
	try, err := r.limits.UnknownClient(ctx)
	if _, exceeded := errors.AsType[*limit.Exceeded](err); exceeded {
		if known, listErr := r.clients.Has(ctx, id); known && listErr == nil {
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

// Get returns the client of an id; ErrUnknown if there is none. Every other error means that the storage failed, or that the
// record is another client's.
func (r *Registry) Get(ctx context.Context, id string) (*Client, error) {
	e, err := r.clients.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	return &e.Value, nil
}
