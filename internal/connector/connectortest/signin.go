package connectortest

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"dex/internal/config"
	"dex/internal/connector"
)

// CallbackURL is where providers send the browsers of Open's connectors back.
const CallbackURL = "https://dex.test/callback"

// A Connector is what the connectors of hosted providers are.
type Connector interface {
	connector.Callback
	connector.Refresher
	io.Closer
}

// Decode reads settings, and returns what is wrong with them.
func Decode(t testing.TB, c connector.Config, settings Object) config.Problems {
	t.Helper()
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	section, err := config.SectionFromJSON("connector", text)
	if err != nil {
		t.Fatal(err)
	}
	return section.Decode(c)
}

// Open reads settings and makes the connector. Its log goes to out, which may be nil.
func Open(t testing.TB, c connector.Config, settings Object, out io.Writer) Connector {
	t.Helper()
	if err := Decode(t, c, settings).Err(); err != nil {
		t.Fatal(err)
	}
	if out == nil {
		out = io.Discard
	}
	instance, err := c.Open(t.Context(), connector.Env{
		ID: "source", CallbackURL: CallbackURL, OwnCallbackURL: CallbackURL + "/source", Log: slog.New(slog.NewTextHandler(out, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	conn := instance.(Connector)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// SignIn leads a browser from the connector to the provider and back.
func (h *Hosted) SignIn(t testing.TB, c connector.Callback, s connector.Scopes) (connector.Identity, error) {
	t.Helper()
	const state = "the state"
	to, err := c.Begin(t.Context(), connector.LoginRequest{CallbackURL: CallbackURL, State: state, Scopes: s})
	if err != nil {
		return connector.Identity{}, err
	}
	browser := *h.Client()
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := browser.Get(to.URL) //nolint:noctx // the test's own server
	if err != nil {
		return connector.Identity{}, err
	}
	page, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	back, err := answer.Location()
	if err != nil {
		return connector.Identity{}, fmt.Errorf("the provider shows a page: %d %s", answer.StatusCode, page)
	}
	if got := back.Query().Get("state"); got != state {
		t.Errorf("the state is %q", got)
	}
	back.Scheme, back.Host = "https", "dex.test"
	return c.HandleCallback(t.Context(), connector.Return{
		CallbackURL: "https://dex.test" + back.Path, Scopes: s, State: state, Data: to.Data,
		Request: httptest.NewRequestWithContext(t.Context(), http.MethodGet, back.String(), http.NoBody),
	})
}
