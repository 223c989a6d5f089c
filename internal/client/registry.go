package client

import (
	"context"
	"errors"
	"log/slog"

	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/store"
	"dex/internal/turn"
)

// ErrUnknown says that no client has the id.
var ErrUnknown = errors.New("unknown client")

// NewCatalog returns the stored clients. Create, Adopt and Update take new secrets as plain text and hash them.
func NewCatalog(s store.Store, log *slog.Logger) *store.Catalog[Client] {
	return store.NewCatalog(s, store.Rules[Client]{
		Kind: Kind, Key: func(c *Client) string { return c.ID }, Validate: (*Client).Validate, Conceal: conceal,
	}, log)
}

// conceal hashes new secrets. A secret that becomes the previous one has been hashed already.
func conceal(before, c *Client) {
	if c.Secret != before.Secret {
		c.Secret = HashSecret(c.Secret)
	}
	if c.PreviousSecret != before.PreviousSecret && c.PreviousSecret != before.Secret {
		c.PreviousSecret = HashSecret(c.PreviousSecret)
	}
}

// A Registry finds clients, configured and stored; a configured one hides a stored one with the same id. It is safe for
// concurrent use.
type Registry struct {
	clients *store.Layered[Client]
	secrets *secrets
	limits  *limit.Set
}

// NewRegistry returns a registry of configured and stored clients. The limits bound guesses at ids and secrets.
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

// InLine has secrets wait for their hashes in a line that others wait in too, and returns the registry. It is called before the first use.
func (r *Registry) InLine(l *turn.Line) *Registry {
	r.secrets.line = l
	return r
}

// Records returns the clients as those who administer them see them.
func (r *Registry) Records() *store.Layered[Client] { return r.clients }

// Over returns the same clients over others that count where neither the configuration nor the storage has their id.
func (r *Registry) Over(f *store.Fallback[Client]) *Registry {
	return &Registry{clients: r.clients.Over(f), secrets: r.secrets, limits: r.limits}
}

// Forget makes the registry read again a client that has changed in the storage.
func (r *Registry) Forget(c store.Change) { r.clients.Forget(c) }

// Find is Get for an id from a stranger. After some ids that no client has, it fails with a *[limit.Exceeded] for a while, so
// that guesses can't keep the storage busy. Others who share the address, as everyone does behind an untrusted proxy, still
// find the clients that exist.
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

// Get returns the client with an id, or ErrUnknown. Any other error means that the storage failed, or that the record has
// another client's id.
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

// Exists reports whether there is a client with an id, past the cache, which may not know yet what another replica has removed.
func (r *Registry) Exists(ctx context.Context, id string) (bool, error) {
	_, err := r.clients.Fresh(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// AudienceNames returns the display names of the clients that scopes name as audiences, by their ids. Clients that can't be found
// are left out.
func (r *Registry) AudienceNames(ctx context.Context, scopes []string) map[string]string {
	names := map[string]string{}
	for _, scope := range scopes {
		id, ok := oauth.AudienceOf(scope)
		if !ok {
			continue
		}
		if c, err := r.Get(ctx, id); err == nil {
			names[id] = c.DisplayName()
		}
	}
	return names
}
