package grant

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"testing"

	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// A fickle is a source that says what the test says, to whom the test says.
type fickle struct {
	down error // of Open
	err  error // of each question

	asked connector.SubjectToken
}

func (f *fickle) Open(context.Context, connector.Env) (any, error) { return f, f.down }

func (f *fickle) TokenIdentity(
	_ context.Context, _ connector.Scopes, t connector.SubjectToken,
) (connector.Identity, error) {
	f.asked = t
	return connector.Identity{UserID: "u"}, f.err
}

func (f *fickle) Prompt() string { return "" }

func (f *fickle) Login(context.Context, connector.Scopes, string, string) (connector.Identity, bool, error) {
	return connector.Identity{UserID: "u"}, f.err == nil, f.err
}

func (f *fickle) Refresh(_ context.Context, _ connector.Scopes, id connector.Identity) (connector.Identity, error) {
	return id, f.err
}

// deaf is a storage that can't be read.
type deaf struct{ store.Store }

var errDeaf = errors.New("storage is away")

func (deaf) Get(context.Context, string, string) (store.Record, error) {
	return store.Record{}, errDeaf
}

// sourceGrants returns the grants that ask a source, with a request for each. The connector "src" is the source;
// "stored" would be in the storage, and "later" is of a type that is not available.
func sourceGrants(src *fickle, connectorID string, s store.Store, anyAudience bool) map[string]func(context.Context) error {
	log := slog.New(slog.DiscardHandler)
	limits := limit.NewSet()
	app := &client.Client{ID: "app", Secret: "s"}
	connectors := federation.NewPool(s, &url.URL{Scheme: "http", Host: "dex.test"}, log, event.Discard).Registry([]*federation.Definition{{ID: "src", Config: src}, {ID: "later", Type: "ldap"}})
	use := func(g grant, f oauth.Form) func(context.Context) error {
		return func(ctx context.Context) error {
			found, err := g.verify(ctx, &request{form: f, client: app})
			if err != nil {
				return err
			}
			return found.ask(ctx)
		}
	}
	return map[string]func(context.Context) error{
		"password": use(
			&passwordGrant{connectorID: connectorID, connectors: connectors, limits: limits},
			oauth.Form{"username": {"u"}, "password": {"p"}, "scope": {"openid"}},
		),
		"exchange": use(
			&exchangeGrant{connectors: connectors, anyAudience: anyAudience},
			oauth.Form{"connector_id": {connectorID}, "subject_token": {"x"}, "subject_token_type": {oauth.TokenTypeJWT}},
		),
	}
}

// codeOf returns the code that an application is told.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	if refused, ok := errors.AsType[*oauth.Error](err); ok {
		return refused.Code
	}
	return oauth.ServerError
}

// Who is at fault when a grant can't ask its source.
func TestDepartureSources(t *testing.T) {
	outage := &connector.Temporary{Cause: errors.New("no connection")}
	for _, c := range []struct {
		name               string
		src                *fickle
		connectorID        string
		store              store.Store
		password, exchange string
	}{
		{"D-108 all is well", &fickle{}, "src", memory.New(), "", ""},
		{"D-108 outage", &fickle{err: outage}, "src", memory.New(), oauth.TemporarilyUnavailable, oauth.TemporarilyUnavailable},
		{"D-108 defect", &fickle{err: errors.New("no such attribute")}, "src", memory.New(), oauth.ServerError, oauth.ServerError},
		{"D-108 denied", &fickle{err: &connector.Denied{Reason: "locked"}}, "src", memory.New(), oauth.InvalidGrant, oauth.InvalidRequest},
		{"D-501 bad token", &fickle{err: &connector.BadToken{Reason: "expired"}}, "src", memory.New(), oauth.ServerError, oauth.InvalidRequest},
		{"not open yet", &fickle{down: outage}, "src", memory.New(), oauth.TemporarilyUnavailable, oauth.TemporarilyUnavailable},
		{"type not available", &fickle{}, "later", memory.New(), oauth.ServerError, oauth.ServerError},
		{"unknown", &fickle{}, "stored", memory.New(), oauth.ServerError, oauth.InvalidRequest},
		{"storage away", &fickle{}, "stored", deaf{memory.New()}, oauth.ServerError, oauth.ServerError},
	} {
		t.Run(c.name, func(t *testing.T) {
			grants := sourceGrants(c.src, c.connectorID, c.store, false)
			for name, want := range map[string]string{"password": c.password, "exchange": c.exchange} {
				if err := grants[name](t.Context()); codeOf(err) != want {
					t.Errorf("%s: got %v, want %q", name, err, want)
				}
			}
		})
	}
	t.Run("D-506 audience of subject tokens", func(t *testing.T) {
		for _, anyAudience := range []bool{false, true} {
			src := &fickle{}
			if err := sourceGrants(src, "src", memory.New(), anyAudience)["exchange"](t.Context()); err != nil {
				t.Fatal(err)
			}
			if want := (connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: "x", AnyAudience: anyAudience}); src.asked != want {
				t.Errorf("the source is asked about %+v, want %+v", src.asked, want)
			}
		}
	})
}
