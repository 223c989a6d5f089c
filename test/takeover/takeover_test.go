// Package takeover_test takes over upstream's data from each type of storage, on the real servers.
package takeover_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/answer"
	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/limit"
	"dex/internal/refresh"
	"dex/internal/session"
	"dex/internal/signing"
	"dex/internal/store"
	"dex/internal/takeover"
	"dex/test/servers"
	"dex/test/upstream"
)

var discard = slog.New(slog.DiscardHandler)

// servers start when the first test needs them, and end after the last one.
var (
	postgresServer   = lazily(servers.StartPostgres)
	mariadbServer    = lazily(servers.StartMariaDB)
	etcdServer       = lazily(func(ctx context.Context) (*servers.Etcd, error) { return servers.StartEtcd(ctx) })
	kubernetesServer = lazily(func(ctx context.Context) (*servers.Kubernetes, error) { return servers.StartKubernetes(ctx) })

	closers []func() error
)

// lazily returns a function that starts a server at its first call.
func lazily[S interface{ Close() error }](start func(context.Context) (S, error)) func(testing.TB) S {
	var started *S
	return func(t testing.TB) S {
		t.Helper()
		if started != nil {
			return *started
		}
		s, err := start(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		closers = append(closers, s.Close)
		started = &s
		return s
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	var errs []error
	for _, c := range closers {
		errs = append(errs, c())
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func target(s store.Store) takeover.Target {
	return takeover.Target{
		Store:         s,
		Families:      refresh.New(s, refresh.Lifetimes{}, answer.New(s, time.Now, discard), time.Now, discard),
		Offline:       refresh.NewOfflineSessions(s, refresh.Lifetimes{}, time.Now),
		TokenLifetime: 24 * time.Hour,
	}
}

// A place is a storage that upstream has used, and a dump of upstream's data in it.
type place struct {
	store  store.Store
	source takeover.Source
	dump   func(t *testing.T) string
	layout upstream.Layout
	// shared says that clients, connectors, users and keys are upstream's own.
	shared bool
}

// takeOver imports, checks everything, and imports again.
func takeOver(t *testing.T, p place) {
	t.Helper()
	before := p.dump(t)
	if !strings.Contains(before, upstream.MockUserID) {
		t.Fatalf("the dump shows nothing of upstream's: %s", before)
	}
	var log bytes.Buffer
	run := func() {
		t.Helper()
		log.Reset()
		if err := takeover.Run(t.Context(), p.source, target(p.store), slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatalf("Run: %v", err)
		}
	}
	run()
	if !strings.Contains(log.String(), "took over upstream's data") {
		t.Errorf("the log does not tell of it:\n%s", log.String())
	}
	check(t, p)
	if after := p.dump(t); after != before {
		t.Errorf("what is upstream's has changed, from\n%s\nto\n%s", before, after)
	}
	for _, id := range upstream.RefreshTokenIDs {
		if err := p.store.Delete(t.Context(), "refresh", id, ""); err != nil {
			t.Errorf("delete refresh token %s: %v", id, err)
		}
	}
	run()
	if got := keys(t, p.store, "refresh"); len(got) != 0 || log.Len() > 0 {
		t.Errorf("the second run has imported %q and says %q, want nothing", got, log.String())
	}
}

// keys returns the keys of a kind's records, at most one page.
func keys(t testing.TB, s store.Store, kind string) []string {
	t.Helper()
	page, err := s.List(t.Context(), kind, store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, r := range page {
		found = append(found, r.Key)
	}
	slices.Sort(found)
	return found
}

func check(t *testing.T, p place) {
	t.Helper()
	checkClients(t, p)
	checkUser(t, p.store)
	checkKeys(t, p.store)
	checkConnector(t, p.store)
	checkOffline(t, p.store)
	checkRefresh(t, p.store)
	checkSessions(t, p)
}

// checkSessions checks what development versions keep of browsers.
func checkSessions(t *testing.T, p place) {
	t.Helper()
	if p.layout == upstream.Release {
		if got := slices.Concat(keys(t, p.store, "session"), keys(t, p.store, "identity")); len(got) > 0 {
			t.Errorf("sessions and identities are %q, want none", got)
		}
		return
	}
	if got := keys(t, p.store, "session"); !slices.Equal(got, []string{upstream.SessionID}) {
		t.Fatalf("sessions are %q, want %s", got, upstream.SessionID)
	}
	e, err := store.In(p.store, session.Kind).Get(t.Context(), upstream.SessionID)
	if err != nil {
		t.Fatal(err)
	}
	s := e.Value
	if !isHashOf(s.Secrets[0].Hash, upstream.SessionSecret) || !s.AuthTime.Equal(upstream.SignedIn) || !s.Created.Equal(upstream.SignedIn) ||
		!s.LastUsed.Equal(upstream.LastLogin) || !s.Ends.Equal(upstream.SessionEnds) || !s.Idle.Equal(upstream.SessionIdles) ||
		!s.Clients[upstream.ClientID].First.Equal(upstream.SignedIn) || s.ConnectorID != "local" || s.UserAgent != upstream.UserAgent ||
		s.Identity.UserID != upstream.UserID || s.Identity.Username != upstream.UserFullName || !s.Upstream {
		t.Errorf("the session is %+v", s)
	}
	known, err := store.In(p.store, identity.Kind).Get(t.Context(), identity.Key(upstream.UserID, "local"))
	if err != nil {
		t.Fatal(err)
	}
	v := known.Value
	if !slices.Equal(v.Consents[upstream.ClientID].Scopes, []string{"openid", "profile"}) || !v.LastLogin.Equal(upstream.LastLogin) ||
		!v.Created.Equal(upstream.CreatedAt) || !v.BlockedUntil.IsZero() || v.Claims.Email != upstream.UserEmail ||
		string(v.UpstreamFactors.MFASecrets) != upstream.MFASecrets || v.UpstreamFactors.WebAuthnCredentials != nil {
		t.Errorf("the user is %+v", v)
	}
	id, _ := upstream.Split(upstream.UserToken)
	r, err := p.store.Get(t.Context(), "refresh", id)
	if err != nil || !bytes.Contains(r.Data, []byte(`"sessionID":"`+upstream.SessionID+`"`)) {
		t.Errorf("jane's refresh token is %s (%v), want it to name her session", r.Data, err)
	}
}

func checkClients(t *testing.T, p place) {
	t.Helper()
	if got, want := keys(t, p.store, "client"), []string{upstream.ClientID, upstream.PublicClientID}; !slices.Equal(got, want) {
		t.Errorf("clients are %q, want %q", got, want)
	}
	registry := client.NewRegistry(nil, p.store, limit.NewSet(), slog.New(slog.DiscardHandler))
	for id, secret := range map[string]string{upstream.ClientID: upstream.ClientSecret, upstream.PublicClientID: ""} {
		form := url.Values{"client_id": {id}, "client_secret": {secret}}
		r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if err := r.ParseForm(); err != nil {
			t.Fatal(err)
		}
		if _, err := registry.Authenticate(r, event.Discard); err != nil {
			t.Errorf("client %q can't authenticate: %v", id, err)
		}
	}
	e, err := store.In(p.store, client.Kind).Get(t.Context(), upstream.ClientID)
	if err != nil {
		t.Fatal(err)
	}
	c := e.Value
	if c.Name != "Gate" || c.LogoURL == "" || c.Public || !slices.Equal(c.RedirectURIs, []string{upstream.RedirectURI}) ||
		!slices.Equal(c.TrustedPeers, []string{upstream.PublicClientID}) {
		t.Errorf("client is %+v", c)
	}
	if !p.shared && !client.IsHashed(c.Secret) {
		t.Error("the client's secret is stored in clear")
	}
}

func checkUser(t *testing.T, s store.Store) {
	t.Helper()
	users := local.New(local.NewUsers(nil, s, slog.New(slog.DiscardHandler)))
	id, ok, err := users.Login(t.Context(), connector.Scopes{}, upstream.UserEmail, upstream.UserPassword)
	if err != nil || !ok {
		t.Fatalf("the user can't sign in: %t, %v", ok, err)
	}
	if id.UserID != upstream.UserID || id.Username != upstream.UserFullName || id.PreferredUsername != upstream.UserName ||
		!id.EmailVerified || !slices.Equal(id.Groups, []string{"admins"}) {
		t.Errorf("the user is %+v", id)
	}
}

func checkKeys(t *testing.T, s store.Store) {
	t.Helper()
	signer, err := signing.Open(t.Context(), s, signing.Config{
		Algorithm: "RS256", RotationPeriod: 6 * time.Hour, TokenLifetime: 24 * time.Hour,
	}, discard, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var published struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal(signer.JWKS().Body, &published); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range published.Keys {
		ids = append(ids, k.Kid)
	}
	if want := []string{upstream.KeyID, upstream.RetiredKeyID}; !slices.Equal(ids, want) {
		t.Errorf("published keys are %q, want %q", ids, want)
	}
	e, err := store.In(s, signing.Kind).Get(t.Context(), signing.RecordKey)
	if err != nil {
		t.Fatal(err)
	}
	if !e.Value.RotateAt.Equal(upstream.NextRotation) || !e.Value.Retired[0].Expires.Equal(upstream.RetiredUntil) {
		t.Errorf("rotation at %v and retired until %v, want %v and %v", e.Value.RotateAt, e.Value.Retired[0].Expires,
			upstream.NextRotation, upstream.RetiredUntil)
	}
}

func checkConnector(t *testing.T, s store.Store) {
	t.Helper()
	e, err := store.In(s, federation.Kind).Get(t.Context(), upstream.ConnectorID)
	if err != nil || e.Value.Type != "mockCallback" || e.Value.Name != upstream.ConnectorName || string(e.Value.Settings) != "{}" {
		t.Errorf("connector is %+v, %v", e.Value, err)
	}
}

func checkOffline(t *testing.T, s store.Store) {
	t.Helper()
	page, err := s.List(t.Context(), "offline", store.Query{})
	if err != nil || len(page) != 1 {
		t.Fatalf("connector data of %d users (%v), want 1", len(page), err)
	}
	var o struct {
		UserID, ConnectorID string
		ConnectorData       []byte
	}
	if err := json.Unmarshal(page[0].Data, &o); err != nil {
		t.Fatal(err)
	}
	if o.UserID != upstream.MockUserID || o.ConnectorID != upstream.ConnectorID || string(o.ConnectorData) != upstream.ConnectorData {
		t.Errorf("connector data is %+v", o)
	}
}

func checkRefresh(t *testing.T, s store.Store) {
	t.Helper()
	if got := keys(t, s, "refresh"); !slices.Equal(got, upstream.RefreshTokenIDs) {
		t.Errorf("refresh tokens are %q, want %q", got, upstream.RefreshTokenIDs)
	}
	for _, c := range []struct {
		token, obsolete               string
		userID, clientID, connectorID string
	}{
		{upstream.UserToken, upstream.ObsoleteUserToken, upstream.UserID, upstream.ClientID, "local"},
		{upstream.PublicUserToken, "", upstream.UserID, upstream.PublicClientID, "local"},
		{upstream.MockToken, "", upstream.MockUserID, upstream.ClientID, upstream.ConnectorID},
	} {
		id, secret := upstream.Split(c.token)
		r, err := s.Get(t.Context(), "refresh", id)
		if err != nil {
			t.Fatal(err)
		}
		var f struct {
			ClientID, ConnectorID string
			Scopes                []string
			Created, LastUsed     time.Time
			Identity              connector.Identity
			Upstream              struct{ Token, Obsolete []byte }
		}
		if err := json.Unmarshal(r.Data, &f); err != nil {
			t.Fatal(err)
		}
		if f.ClientID != c.clientID || f.ConnectorID != c.connectorID || f.Identity.UserID != c.userID ||
			len(f.Scopes) != 4 || len(f.Identity.Groups) != 1 || f.Identity.Email == "" || !f.Identity.EmailVerified {
			t.Errorf("refresh token %s is %s", id, r.Data)
		}
		if !f.Created.Equal(upstream.CreatedAt) || !f.LastUsed.Equal(upstream.LastUsed) {
			t.Errorf("refresh token %s was created %v and used %v, want %v and %v", id, f.Created, f.LastUsed,
				upstream.CreatedAt, upstream.LastUsed)
		}
		_, obsolete := upstream.Split(c.obsolete)
		if !isHashOf(f.Upstream.Token, secret) || !isHashOf(f.Upstream.Obsolete, obsolete) {
			t.Errorf("the secrets of refresh token %s are other ones", id)
		}
		if bytes.Contains(r.Data, []byte(secret)) {
			t.Errorf("refresh token %s is stored in clear", id)
		}
	}
}

func isHashOf(hash []byte, secret string) bool {
	if secret == "" {
		return len(hash) == 0
	}
	sum := sha256.Sum256([]byte(secret))
	return bytes.Equal(hash, sum[:])
}
