// Package admintest makes a management API over a storage of its own, for the tests of the API and of its doors.
package admintest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"dex/internal/admin"
	"dex/internal/answer"
	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/explain"
	"dex/internal/factor"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/limit"
	"dex/internal/policy"
	"dex/internal/refresh"
	"dex/internal/session"
	"dex/internal/signing"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/token"
)

// Hash is bcrypt's of "password".
const Hash = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"

// A Fixture is a management API. The client "configured", the user Configured@example.com and the connector "configured" are those
// of its configuration file.
type Fixture struct {
	*admin.Service
	Store      store.Store
	Families   *refresh.Families
	Offline    *refresh.OfflineSessions
	Tokens     *admin.Tokens
	Sessions   *session.Sessions
	Identities *identity.Identities
	Enrolled   *factor.Factors

	cfg admin.Config

	mu     sync.Mutex
	events []event.Event
}

// New returns a Fixture over a storage in memory, with something around it; nil for nothing.
func New(t testing.TB, wrap func(store.Store) store.Store) *Fixture {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	f := &Fixture{Store: memory.New()}
	if wrap != nil {
		f.Store = wrap(f.Store)
	}
	answers := answer.New(f.Store, time.Now, log)
	f.Families = refresh.New(f.Store, refresh.Lifetimes{Rotate: true}, answers, time.Now, log)
	f.Tokens = admin.NewTokens(f.Store, f, time.Now)
	users := local.NewUsers([]*local.User{{Email: "Configured@example.com", UserID: "c", Hash: local.Hash(Hash)}}, f.Store, log)
	database, limits := local.New(users), limit.NewSet()
	f.Offline = refresh.NewOfflineSessions(f.Store, refresh.Lifetimes{}, time.Now)
	clients := client.NewRegistry([]*client.Client{{ID: "configured", Secret: "s", Name: "Configured"}}, f.Store, limits, log)
	f.cfg = admin.Config{
		Version: "v1",
		Clients: clients.Records(),
		Users:   users.Records(),
		Connectors: store.NewLayered([]*federation.Definition{{ID: "configured", Type: "mockCallback", Name: "C"}},
			federation.NewCatalog(f.Store, log)),
		Families:    f.Families,
		Revocations: token.NewRevocations(f.Store, time.Hour),
		CheckPassword: func(ctx context.Context, email, password string) (bool, error) {
			_, ok, err := limits.CheckPassword(ctx, "local", database, connector.Scopes{}, email, password)
			return ok, err
		},
		HashPassword: users.Hash,
		Invite: func(_ context.Context, email string, byMail bool) (admin.Invitation, error) {
			made := admin.Invitation{URL: "https://dex.test/invitation?token=for-" + email, Expires: time.Date(2030, time.May, 4, 12, 0, 0, 0, time.UTC)}
			if byMail {
				made.URL = ""
			}
			return made, nil
		},
		Metadata: func() ([]byte, error) {
			return []byte(`{"issuer":"https://dex.test","grant_types_supported":["implicit"],"more":{}}`), nil
		},
		Events: f,
		Tokens: f.Tokens, Keys: fixed{}, Configuration: fixed{},
		Offline:   f.Offline,
		Explainer: f.explainer(t, clients, log),
	}
	f.addSessions(t, log)
	f.Service = admin.New(f.cfg)
	return f
}

// explainer explains what a policy without settings of its own decides.
func (f *Fixture) explainer(t testing.TB, clients *client.Registry, log *slog.Logger) *explain.Explainer {
	t.Helper()
	keys, err := signing.Open(t.Context(), memory.New(), signing.Config{
		Algorithm: signing.ES256, RotationPeriod: 24 * time.Hour, TokenLifetime: time.Hour, SignAtOnce: true,
	}, log, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return &explain.Explainer{
		Policy: policy.New(clients, policy.Options{Tokens: policy.Tokens{Lifetime: time.Hour}}),
		Minter: &token.Minter{Issuer: "https://dex.test", Signer: keys, UserInfo: "https://dex.test/userinfo"},
	}
}

// fixed is one key, and a configuration that never changes.
type fixed struct{}

func (fixed) List() []signing.Described {
	return []signing.Described{{ID: "k1", Algorithm: "RS256", State: signing.Signs}}
}

func (fixed) Rotate(context.Context, signing.Mode) error { return nil }

func (fixed) Status() admin.ConfigurationStatus { return admin.ConfigurationStatus{File: "dex.yaml"} }

func (fixed) Reload(context.Context, bool) (admin.Reloaded, error) { return admin.Reloaded{}, nil }

// Emit implements event.Sink.
func (f *Fixture) Emit(_ context.Context, e event.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
}

// Events returns what was emitted so far.
func (f *Fixture) Events() []event.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events)
}

// Changes returns a line for each change so far.
func (f *Fixture) Changes() (lines []string) {
	for _, e := range f.Events() {
		if c, ok := e.(event.Changed); ok {
			lines = append(lines, fmt.Sprintf("%s %s %s %s", c.By, c.How, c.Kind, c.ID))
		}
	}
	return lines
}

// As returns a context for calls by the caller "ci" with some roles.
func As(t testing.TB, roles ...admin.Role) context.Context {
	t.Helper()
	return admin.WithCaller(t.Context(), admin.Caller{Name: "ci", Roles: roles})
}
