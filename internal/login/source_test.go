package login_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/answer"
	"dex/internal/authorize"
	"dex/internal/client"
	"dex/internal/code"
	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/limit"
	"dex/internal/login"
	"dex/internal/policy"
	"dex/internal/seal"
	"dex/internal/store/memory"
	"dex/internal/token"
	"dex/internal/ui"
)

// source is an identity source that writes down what it is told, and says when its user signed in.
type source struct {
	told     connector.LoginRequest
	authTime time.Time
	fails    error // of everything
}

func (s *source) Open(context.Context, connector.Env) (any, error) { return s, nil }

func (s *source) Begin(_ context.Context, r connector.LoginRequest) (connector.Redirect, error) {
	s.told = r
	return connector.Redirect{URL: r.CallbackURL + "?state=" + r.State}, s.fails
}

func (s *source) HandleCallback(context.Context, connector.Return) (connector.Identity, error) {
	return connector.Identity{UserID: "jane", AuthTime: s.authTime}, nil
}

// hints takes every hint for a token that names the subject which it is.
type hints struct{}

func (hints) VerifyHint(token string) (string, error) { return token, nil }

// newFlow returns the pages of a login with one source.
func newFlow(t *testing.T, s connector.Config, edit func(*login.Config)) http.Handler {
	t.Helper()
	issuer, err := url.Parse("http://dex.test")
	if err != nil {
		t.Fatal(err)
	}
	records, log := memory.New(), slog.New(slog.DiscardHandler)
	ring, err := seal.Open(t.Context(), records, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := ui.New(ui.Config{IssuerPath: "/", Issuer: "dex"}, log)
	if err != nil {
		t.Fatal(err)
	}
	clients := client.NewRegistry([]*client.Client{{ID: "app", RedirectURIs: []string{"https://app.test/cb"}}}, records,
		limit.NewSet(), log)
	cfg := login.Config{
		IssuerURL: issuer, Clients: clients,
		Connectors: federation.NewPool(records, issuer, log, event.Discard).Registry([]*federation.Definition{{ID: "src", Name: "Source", Config: s}}),
		Policy:     policy.New(clients, policy.Options{}), Ring: ring,
		Limits:     limit.NewSet(),
		Identities: identity.New(records, 0, time.Now),
		Store:      records, Pages: pages, Log: log, Events: event.Discard, RequestLifetime: time.Hour, SkipApproval: true,
	}
	if edit != nil {
		edit(&cfg)
	}
	purpose := authorize.New(authorize.Config{
		Issuer: cfg.IssuerURL.String(), IssuerURL: cfg.IssuerURL, Clients: clients, Policy: cfg.Policy, Hints: hints{},
		Codes: code.New(cfg.Store, time.Minute, 0, answer.New(cfg.Store, time.Now, log), time.Now),
		Pages: pages, Log: cfg.Log, Events: cfg.Events, ResponseTypes: []string{"code", "id_token"},
		DeviceRedirect: func(string, string) (string, bool) { return "", false },
	})
	flow, mux := login.New(cfg, purpose), http.NewServeMux()
	mux.Handle("/auth", authorize.NewEndpoint(purpose, flow).Authorize())
	mux.Handle("/auth/{connector}/login", flow.Password())
	mux.Handle("/callback", flow.Callback())
	mux.Handle("/callback/{connector}", flow.Callback())
	mux.Handle("/approval", flow.Approval())
	mux.Handle("/saml/{connector}/metadata", flow.Metadata())
	return mux
}

// signIn makes an authorization request and goes to the source and back. It returns what the application is told.
func signIn(t *testing.T, h http.Handler, more url.Values) url.Values {
	t.Helper()
	request := url.Values{
		"client_id": {"app"}, "redirect_uri": {"https://app.test/cb"}, "response_type": {"code"}, "scope": {"openid"},
	}
	for name, values := range more {
		request[name] = values
	}
	begun := httptest.NewRecorder()
	h.ServeHTTP(begun, httptest.NewRequest(http.MethodGet, "http://dex.test/auth?"+request.Encode(), nil))
	back := httptest.NewRequest(http.MethodGet, begun.Header().Get("Location"), nil)
	for _, c := range begun.Result().Cookies() {
		back.AddCookie(c)
	}
	ended := httptest.NewRecorder()
	h.ServeHTTP(ended, back)
	u, err := url.Parse(ended.Header().Get("Location"))
	if err != nil || ended.Code != http.StatusSeeOther {
		t.Fatalf("status %d, %v: %s", ended.Code, err, ended.Body)
	}
	return u.Query()
}

func TestDepartureSources(t *testing.T) {
	wishes := url.Values{
		"prompt": {"login select_account"}, "max_age": {"60"}, "login_hint": {"jane@example.com"}, "acr_values": {"gold"},
		"ui_locales": {"de en"}, "id_token_hint": {token.Subject("jane", "src")},
	}
	t.Run("D-953 sources are told what the application wants", func(t *testing.T) {
		s := &source{}
		if got := signIn(t, newFlow(t, s, nil), wishes); got.Get("code") == "" {
			t.Errorf("the application is told %v", got)
		}
		if !slices.Equal(s.told.Prompt, []string{"login", "select_account"}) || s.told.MaxAge == nil ||
			*s.told.MaxAge != time.Minute || s.told.LoginHint != "jane@example.com" || s.told.ACRValues != "gold" ||
			s.told.UILocales != "de en" || s.told.UserID != "jane" {
			t.Errorf("the source is told %+v", s.told)
		}
	})
	t.Run("D-953 switched back", func(t *testing.T) {
		s := &source{authTime: time.Now().Add(-time.Hour)}
		signIn(t, newFlow(t, s, func(c *login.Config) { c.KeepHints = true }), wishes)
		if s.told.Prompt != nil || s.told.MaxAge != nil || s.told.LoginHint+s.told.ACRValues+s.told.UILocales+s.told.UserID != "" {
			t.Errorf("the source is told %+v", s.told)
		}
	})
	t.Run("D-953 max_age holds for the source's own session", func(t *testing.T) {
		for ago, want := range map[time.Duration]string{0: "", 50 * time.Second: "", 2 * time.Minute: "login_required"} {
			s := &source{authTime: time.Now().Add(-ago)}
			if got := signIn(t, newFlow(t, s, nil), url.Values{"max_age": {"60"}}); got.Get("error") != want {
				t.Errorf("signed in %s ago: the application is told %v", ago, got)
			}
			if got := signIn(t, newFlow(t, s, nil), nil); got.Get("code") == "" {
				t.Errorf("without max_age: %v", got)
			}
		}
	})
	t.Run("D-953 a hint for another source's user", func(t *testing.T) {
		s := &source{}
		got := signIn(t, newFlow(t, s, nil), url.Values{"id_token_hint": {token.Subject("jane", "another")}})
		if s.told.UserID != "" || got.Get("error") != "login_required" {
			t.Errorf("the source is told %+v, the application %v", s.told, got)
		}
	})
	t.Run("D-104 who is told that a source fails", func(t *testing.T) {
		for upstream, status := range map[bool]int{false: http.StatusSeeOther, true: http.StatusInternalServerError} {
			h := newFlow(t, &source{fails: errors.New("down")}, func(c *login.Config) { c.ShowFailures = upstream })
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet,
				"http://dex.test/auth?client_id=app&redirect_uri=https://app.test/cb&response_type=code&scope=openid", nil))
			if told := strings.Contains(w.Header().Get("Location"), "error=server_error"); w.Code != status || told == upstream {
				t.Errorf("upstream's rule %t: status %d, Location %q", upstream, w.Code, w.Header().Get("Location"))
			}
		}
	})
	t.Run("D-966 the account is asked for", func(t *testing.T) {
		s := &source{}
		signIn(t, newFlow(t, s, nil), url.Values{"prompt": {"select_account"}})
		if !slices.Equal(s.told.Prompt, []string{"select_account"}) {
			t.Errorf("the source is told %+v", s.told)
		}
	})
	t.Run("upstream's long addresses of steps", func(t *testing.T) {
		long := url.Values{"state": {strings.Repeat("s", 4000)}}
		if got := signIn(t, newFlow(t, &source{}, func(c *login.Config) { c.AnyBrowser = true }), long); len(got.Get("state")) != 4000 {
			t.Errorf("a long state comes back as %d characters", len(got.Get("state")))
		}
	})
}
