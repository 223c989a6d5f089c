package app_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	ledger "dex/internal/answer"
	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/refresh"
	"dex/internal/store"
	"dex/internal/token"
)

// startStored runs a server and returns its storage too.
func startStored(t *testing.T, yaml string) (*server, store.Store) {
	t.Helper()
	var kept store.Store
	s := startOn(t, yaml, func(inner store.Store) store.Store { kept = inner; return inner })
	return s, kept
}

// put stores a document, whether or not there is one.
func put[T any](t *testing.T, s store.Store, kind *store.Kind[T], key string, document T) {
	t.Helper()
	table := store.In(s, kind)
	_, err := table.Create(t.Context(), key, document)
	if errors.Is(err, store.ErrExists) {
		_, err = table.Update(t.Context(), key, func(stored *T) error { *stored = document; return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
}

// as authenticates a client at the token endpoint.
func as(id, secret string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
}

// Upstream's refresh tokens go on, once, and as their clients' only.
func TestUpstreamsRefreshTokens(t *testing.T) {
	const upstreams, before = "CgNhYmMSA2RlZg", "CgNhYmMSBmJlZm9yZQ" // {abc, def}, {abc, before}
	legacy := refresh.Legacy{
		ID: "abc", Token: "def", ObsoleteToken: "before", CreatedAt: time.Now().Add(-time.Hour), LastUsed: time.Now().Add(-time.Hour),
		ClientID: "app", ConnectorID: "mock", Nonce: "old", Scopes: []string{"openid", "offline_access", "email"},
		Identity: connector.Identity{UserID: "0-385-28089-0", Email: "kilgore@kilgore.trout"},
	}
	adopt := func(t *testing.T, stored store.Store, legacy refresh.Legacy) {
		t.Helper()
		log := slog.New(slog.DiscardHandler)
		families := refresh.New(stored, refresh.Lifetimes{Rotate: true}, ledger.New(stored, time.Now, log), time.Now, log)
		records, err := families.Adopted(legacy)
		if err == nil {
			err = store.CreateAll(t.Context(), stored, records)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Run("goes on", func(t *testing.T) {
		s, stored := startStored(t, configuration+"expiry: {refreshTokens: {reuseInterval: 0s}}\n")
		adopt(t, stored, legacy)
		for _, bad := range []string{"abc", "CgNhYmM", "CgNhYmMSA2RlZA"} { // the bare id, {abc, ""}, {abc, ded}
			s.token(refreshForm(bad)).wantError(400, "invalid_grant")
		}
		s.token(refreshForm(upstreams), as("other", "o+%ther secret")).wantError(400, "invalid_grant")
		a := s.token(refreshForm(upstreams)).wantStatus(200)
		got := claims(t, a.text("id_token"))
		if got["sub"] != "Cg0wLTM4NS0yODA4OS0wEgRtb2Nr" || got["nonce"] != "old" || got["email"] != "kilgore@kilgore.trout" {
			t.Errorf("claims %v", got)
		}
		next := s.token(refreshForm(a.text("refresh_token"))).wantStatus(200).text("refresh_token")
		s.token(refreshForm(upstreams)).wantError(400, "invalid_grant") // stolen: the login ends
		s.token(refreshForm(next)).wantError(400, "invalid_grant")
	})
	t.Run("the one before", func(t *testing.T) {
		s, stored := startStored(t, configuration)
		adopt(t, stored, legacy)
		s.token(refreshForm(before)).wantError(400, "invalid_grant")
		s.token(refreshForm(upstreams)).wantError(400, "invalid_grant")
	})
	t.Run("a bare id", func(t *testing.T) {
		s, stored := startStored(t, configuration)
		bare := legacy
		bare.ID, bare.Token, bare.ObsoleteToken = "bare/id", "", ""
		adopt(t, stored, bare)
		next := s.token(refreshForm("bare/id")).wantStatus(200).text("refresh_token")
		if next == "bare/id" {
			t.Error("the token was not rotated")
		}
		s.token(refreshForm(next)).wantStatus(200)
	})
	t.Run("the id of a login of our own is no token", func(t *testing.T) {
		s, stored := startStored(t, configuration)
		good := s.tokens().text("refresh_token")
		r, err := stored.List(t.Context(), "refresh", store.Query{})
		if err != nil || len(r) != 1 {
			t.Fatalf("got %d logins and error %v", len(r), err)
		}
		s.token(refreshForm(r[0].Key)).wantError(400, "invalid_grant")
		s.token(refreshForm(good)).wantStatus(200)
	})
}

func TestStoredClient(t *testing.T) {
	s, stored := startStored(t, configuration)
	const secret = "a secret + of % people"
	hashed := client.HashSecret(secret)
	there := []string{"client_id", "stored", "redirect_uri", "https://stored.test/cb"}
	s.get(authPath(there...)).wantStatus(http.StatusBadRequest)
	put(t, stored, client.Kind, "second", client.Client{ // read for the first time below
		ID: "second", Secret: hashed, RedirectURIs: []string{"https://stored.test/cb"}, AllowedConnectors: []string{"mock"},
	})
	put(t, stored, client.Kind, "forgotten", client.Client{ID: "forgotten", RedirectURIs: []string{"https://stored.test/cb"}})
	put(t, stored, client.Kind, "app", client.Client{ID: "app", Secret: "hidden", RedirectURIs: []string{"https://evil.test/cb"}})
	there[1] = "second"

	code := s.code(there...)
	redeem := func(id, secret string) answer {
		return s.token(codeForm(code, "redirect_uri", "https://stored.test/cb"), as(id, secret))
	}
	for _, wrong := range []string{"", "x", hashed, strings.ToUpper(secret)} {
		redeem("second", wrong).wantError(401, "invalid_client")
	}
	redeem("forgotten", "").wantError(401, "invalid_client") // neither a secret nor public
	redeem("app", "hidden").wantError(401, "invalid_client") // the configured one counts
	redeem("app", "app-secret").wantError(400, "invalid_grant")
	a := redeem("second", secret).wantStatus(200)
	if got := claims(t, a.text("id_token"))["aud"]; got != "second" {
		t.Errorf("audience %v", got)
	}
	refresh := a.text("refresh_token")
	s.token(refreshForm(refresh)).wantError(400, "invalid_grant") // another client
	s.token(refreshForm(refresh, "client_id", "second", "client_secret", secret), noCredentials).wantStatus(200)

	s.get(authPath(append(there, "connector_id", "local")...)).wantRedirectError("invalid_request")
	s.get(authPath("redirect_uri", "https://evil.test/cb")).wantStatus(http.StatusBadRequest)
}

func TestStoredConnectorAndUser(t *testing.T) {
	s, stored := startStored(t, configuration)
	hash, err := bcrypt.GenerateFromPassword([]byte("geheim"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	put(t, stored, local.Kind, "ann@example.com", local.User{
		Email: "Ann@example.com", Hash: hash, UserID: "1", Username: "ann", Name: "Ann", Groups: []string{"g"},
	})
	put(t, stored, local.Kind, "admin@example.com", local.User{Email: "admin@example.com", Hash: hash, UserID: "2"})
	b := s.browser()
	form := b.passwordForm()
	for _, wrong := range []url.Values{
		{"login": {"ann@example.com"}, "password": {"x"}},
		{"login": {"admin@example.com"}, "password": {"geheim"}}, // the configured one counts
		{"login": {"nobody@example.com"}, "password": {"geheim"}},
	} {
		b.post(form, wrong).wantStatus(http.StatusUnauthorized)
	}
	b.signIn(form, url.Values{"login": {"ANN@example.com"}, "password": {"geheim"}}, map[string]any{
		"name": "Ann", "email": "Ann@example.com", "email_verified": true, "sub": token.Subject("1", "local"),
	})
}

// signIn goes from a password form to the ID token.
func (b *browser) signIn(form string, who url.Values, want map[string]any) {
	b.t.Helper()
	consent := b.post(form, who).wantStatus(http.StatusSeeOther).path()
	code := b.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther).location().Query().Get("code")
	a := b.token(codeForm(code)).wantStatus(http.StatusOK)
	got := claims(b.t, a.text("id_token"))
	for name, value := range want {
		if got[name] != value {
			b.t.Errorf("claim %s is %v, want %v", name, got[name], value)
		}
	}
	b.token(refreshForm(a.text("refresh_token"))).wantStatus(http.StatusOK)
}

func TestStoredConnector(t *testing.T) {
	source := func(id, password string) federation.Definition {
		return federation.Definition{
			ID: id, Type: "mockPassword", Name: "From " + id,
			Settings: []byte(`{"username": "bee", "password": "` + password + `"}`),
		}
	}
	s := startOn(t, configuration, func(inner store.Store) store.Store {
		put(t, inner, federation.Kind, "hive", source("hive", "honey"))
		put(t, inner, federation.Kind, "mock", source("mock", "honey")) // the configured one counts
		put(t, inner, federation.Kind, "broken", federation.Definition{ID: "broken", Type: "telepathy", Name: "From broken"})
		return inner
	})
	page := s.get(authPath()).wantStatus(http.StatusOK).body
	if !strings.Contains(page, "with <bdi>From hive</bdi>") || !strings.Contains(page, "with <bdi>Example</bdi>") || strings.Contains(page, "From mock") ||
		strings.Contains(page, "From broken") {
		t.Errorf("offered are:\n%s", page)
	}
	b := s.browser()
	form := b.visit(authPath("connector_id", "hive")).wantStatus(http.StatusFound).path()
	b.post(form, url.Values{"login": {"bee"}, "password": {"wax"}}).wantStatus(http.StatusUnauthorized)
	b.signIn(form, url.Values{"login": {"bee"}, "password": {"honey"}}, map[string]any{
		"name": "Kilgore Trout", "sub": token.Subject("0-385-28089-0", "hive"),
	})
	s.get(authPath("connector_id", "broken")).wantRedirectError("invalid_request")
}

func TestAuthCodeReuseInterval(t *testing.T) {
	for _, scope := range []string{"openid", "openid offline_access"} {
		t.Run(scope+", never", func(t *testing.T) {
			s := start(t, "expiry: {authCodeReuseInterval: 0s}\n")
			code := s.code("scope", scope)
			refresh := s.token(codeForm(code)).wantStatus(200).text("refresh_token")
			s.token(codeForm(code)).wantError(400, "invalid_grant")
			if refresh != "" {
				s.token(refreshForm(refresh)).wantError(400, "invalid_grant")
			}
		})
		t.Run(scope+", 5s", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, "expiry: {authCodeReuseInterval: 5s, refreshTokens: {reuseInterval: 0s}}\n")
				code := s.code("scope", scope)
				first := s.token(codeForm(code)).wantStatus(200)
				time.Sleep(4 * time.Second)
				again := s.token(codeForm(code)).wantStatus(200)
				if first.text("refresh_token") != again.text("refresh_token") {
					t.Error("the refresh tokens differ")
				}
				s.token(codeForm(code), as("other", "o+%ther secret")).wantError(400, "invalid_grant")
				time.Sleep(10 * time.Second)
				s.token(codeForm(code)).wantError(400, "invalid_grant")
				if refresh := first.text("refresh_token"); refresh != "" {
					s.token(refreshForm(refresh)).wantError(400, "invalid_grant")
				}
			})
		})
	}
	t.Run("not after a use of its token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, "expiry: {authCodeReuseInterval: 5s}\n")
			code := s.code()
			refresh := s.token(codeForm(code)).wantStatus(200).text("refresh_token")
			time.Sleep(time.Second)
			next := s.token(refreshForm(refresh)).wantStatus(200).text("refresh_token")
			s.token(codeForm(code)).wantError(400, "invalid_grant")
			s.token(refreshForm(next)).wantError(400, "invalid_grant")
		})
	})
	t.Run("not with another redirect URI", func(t *testing.T) {
		s := start(t, "expiry: {authCodeReuseInterval: 5s}\n")
		code := s.code()
		refresh := s.token(codeForm(code)).wantStatus(200).text("refresh_token")
		s.token(codeForm(code, "redirect_uri", callback+"?x=1")).wantError(400, "invalid_grant")
		s.token(codeForm(code)).wantError(400, "invalid_grant")
		s.token(refreshForm(refresh)).wantError(400, "invalid_grant")
	})
}

// unwatched is a storage that can't be watched for the first so many times.
type unwatched struct {
	store.Store
	failures atomic.Int64
}

func (s *unwatched) Watch(ctx context.Context) (<-chan store.Change, error) {
	if s.failures.Add(-1) >= 0 {
		return nil, errFault
	}
	return s.Store.Watch(ctx)
}

// What is changed in the storage counts at once while the server runs, also where it could not be watched at first.
func TestChangeWhileTheServerRuns(t *testing.T) {
	for name, failures := range map[string]int64{"": 0, "the watch fails at first": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stored := &unwatched{}
			stored.failures.Store(failures)
			a := open(t, configuration, func(inner store.Store) store.Store { stored.Store = inner; return stored })
			h := a.Handler()
			s := &server{t: t, handler: h}
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() {
				if err := a.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			defer running.Wait()
			defer stop()

			status := func(secret string) int { return s.token(codeForm("x"), as("stored", secret)).status }
			put(t, stored, client.Kind, "stored", client.Client{ID: "stored", Secret: "first"})
			eventually(t, func() bool { return status("first") == http.StatusBadRequest })
			put(t, stored, client.Kind, "stored", client.Client{ID: "stored", Secret: client.HashSecret("second")})
			eventually(t, func() bool { return status("second") == http.StatusBadRequest })
			if got := status("first"); got != http.StatusUnauthorized {
				t.Errorf("with the old secret: status %d", got)
			}
			if err := stored.Delete(t.Context(), "client", "stored", ""); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() bool { return status("second") == http.StatusUnauthorized })
		})
	}
}

// eventually waits for a condition, for less time than the caches remember anything.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing changes")
		}
	}
}
