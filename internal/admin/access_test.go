package admin_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/admin"
	"dex/internal/admin/admintest"
	"dex/internal/event"
	"dex/internal/kubeapi"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/token"
)

func certificate(t *testing.T) *x509.Certificate {
	t.Helper()
	u, err := url.Parse("spiffe://example.com/ci")
	if err != nil {
		t.Fatal(err)
	}
	return &x509.Certificate{
		Raw: []byte("der"), Subject: pkix.Name{CommonName: "ci"}, DNSNames: []string{"ci.example.com"}, URIs: []*url.URL{u},
		NotAfter: time.Now().Add(time.Hour),
	}
}

func TestCertificates(t *testing.T) {
	sum := sha256.Sum256([]byte("der"))
	fingerprint := strings.ToUpper(hex.EncodeToString(sum[:2])) + ":" + hex.EncodeToString(sum[2:])
	shown := admin.Shown{Certificate: certificate(t), Mutual: true}
	for _, c := range []struct {
		name    string
		entries []admin.Entry
		want    string // the roles
	}{
		{"any certificate, as with upstream", nil, "[all]"},
		{"entries about others leave it at that", []admin.Entry{{Name: "a", Roles: []admin.Role{"read"}, ServiceAccount: &admin.ServiceAccount{Namespace: "a", Name: "b"}}}, "[all]"},
		{"by its name", entry(admin.CertificateRule{CommonName: "ci"}), "[read]"},
		{"by a DNS name", entry(admin.CertificateRule{DNSName: "ci.example.com"}), "[read]"},
		{"by a URI", entry(admin.CertificateRule{URI: "spiffe://example.com/ci"}), "[read]"},
		{"by itself", entry(admin.CertificateRule{SHA256: fingerprint}), "[read]"},
		{"by all of it", entry(admin.CertificateRule{"ci", "ci.example.com", "spiffe://example.com/ci", fingerprint}), "[read]"},
		{"by two entries", append(entry(admin.CertificateRule{CommonName: "ci"}), admin.Entry{
			Name: "b", Roles: []admin.Role{"users"}, Certificate: &admin.CertificateRule{DNSName: "ci.example.com"},
		}), "[read users]"},
		{"another name", entry(admin.CertificateRule{CommonName: "CI"}), "[]"},
		{"one of two", entry(admin.CertificateRule{CommonName: "ci", DNSName: "other.example.com"}), "[]"},
		{"another URI", entry(admin.CertificateRule{URI: "spiffe://example.com/ci/"}), "[]"},
		{"another certificate", entry(admin.CertificateRule{SHA256: strings.Repeat("0", 64)}), "[]"},
		{"an empty rule", entry(admin.CertificateRule{}), "[]"},
	} {
		caller, err := admin.NewAccess(admin.AccessConfig{Entries: c.entries}).Caller(t.Context(), shown)
		if got := fmt.Sprint(caller.Roles); got != c.want || (err != nil) != (c.want == "[]") {
			t.Errorf("%s: got the roles %s, %v", c.name, got, err)
		}
		if err != nil && admin.ReasonOf(err) != admin.Forbidden {
			t.Errorf("%s: %v", c.name, err)
		}
		if !strings.Contains(caller.Name, "CN=ci") {
			t.Errorf("%s: the caller is %s", c.name, caller.Name)
		}
	}
}

// A connection may last for longer than the certificate that it began with.
func TestCertificateThatHasExpiredMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shown := admin.Shown{Certificate: certificate(t), Mutual: true}
		for _, entries := range [][]admin.Entry{nil, entry(admin.CertificateRule{CommonName: "ci"})} {
			access := admin.NewAccess(admin.AccessConfig{Entries: entries})
			if _, err := access.Caller(t.Context(), shown); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Hour + time.Second)
		for _, entries := range [][]admin.Entry{nil, entry(admin.CertificateRule{CommonName: "ci"})} {
			caller, err := admin.NewAccess(admin.AccessConfig{Entries: entries}).Caller(t.Context(), shown)
			wantReason(t, "an expired certificate", err, admin.Unauthenticated)
			if len(caller.Roles) > 0 {
				t.Errorf("got the roles %v", caller.Roles)
			}
		}
	})
}

func entry(rule admin.CertificateRule) []admin.Entry {
	return []admin.Entry{{Name: "a", Roles: []admin.Role{admin.RoleRead}, Certificate: &rule}}
}

// Anybody may come in where nothing says who may, and only if the door is not one for strangers.
func TestAnonymous(t *testing.T) {
	tokens := admin.NewTokens(memory.New(), event.Discard, time.Now)
	for _, c := range []struct {
		name  string
		cfg   admin.AccessConfig
		shown admin.Shown
		want  bool
	}{
		{"this machine", admin.AccessConfig{}, admin.Shown{Local: true}, true},
		{"strangers", admin.AccessConfig{}, admin.Shown{}, false},
		{"certificates", admin.AccessConfig{}, admin.Shown{Local: true, Mutual: true}, false},
		{"entries", admin.AccessConfig{Entries: entry(admin.CertificateRule{})}, admin.Shown{Local: true}, false},
		{"admin tokens", admin.AccessConfig{Tokens: tokens}, admin.Shown{Local: true}, false},
	} {
		caller, err := admin.NewAccess(c.cfg).Caller(t.Context(), c.shown)
		if got := err == nil && caller.May(admin.ClientsDelete); got != c.want {
			t.Errorf("%s: got %+v, %v", c.name, caller, err)
		}
		if !c.want {
			wantReason(t, c.name, err, admin.Unauthenticated)
		}
	}
}

func TestAdminTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		tokens, ctx := admin.NewTokens(s, event.Discard, time.Now), admintest.As(t, admin.RoleAll)
		access := admin.NewAccess(admin.AccessConfig{Tokens: tokens})
		text, made, err := tokens.Create(ctx, "ci", []admin.Role{admin.RoleUsers}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		record, err := s.Get(ctx, "admintoken", made.ID)
		if err != nil || strings.Contains(string(record.Data), text[len(text)-52:]) {
			t.Errorf("the record is %s, %v", record.Data, err)
		}
		caller, err := access.Caller(ctx, admin.Shown{Bearer: text})
		if err != nil || caller.Name != "ci" || !slices.Equal(caller.Roles, []admin.Role{admin.RoleUsers}) {
			t.Errorf("got %+v, %v", caller, err)
		}
		parts := strings.Split(text, "_")
		for _, bad := range []string{
			text + "x", text[:len(text)-1], parts[0] + "_" + parts[1] + "_", parts[0] + "_" + parts[1], parts[0] + "__" + parts[2], "dexadmin_",
			parts[0] + "_absent_" + parts[2], parts[0] + "_" + strings.Repeat("a", 600) + "_" + parts[2],
		} {
			_, err := access.Caller(ctx, admin.Shown{Bearer: bad})
			wantReason(t, bad, err, admin.Unauthenticated)
		}
		_, err = admin.NewAccess(admin.AccessConfig{}).Caller(ctx, admin.Shown{Bearer: text, Local: true})
		wantReason(t, "where they are not accepted", err, admin.Unauthenticated)
		time.Sleep(time.Hour)
		_, err = access.Caller(ctx, admin.Shown{Bearer: text})
		wantReason(t, "when it has expired", err, admin.Unauthenticated)

		text, made, err = tokens.Create(ctx, "ci", []admin.Role{admin.RoleUsers}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if err := tokens.Delete(ctx, made.ID); err != nil {
			t.Error(err)
		}
		_, err = access.Caller(ctx, admin.Shown{Bearer: text})
		wantReason(t, "when it was revoked", err, admin.Unauthenticated)
		wantReason(t, "revoked again", tokens.Delete(ctx, made.ID), admin.NotFound)
	})
}

func TestTokensThatCantBeMade(t *testing.T) {
	tokens, ctx := admin.NewTokens(memory.New(), event.Discard, time.Now), admintest.As(t, admin.RoleAll)
	read := []admin.Role{admin.RoleRead}
	for what, attempt := range map[string]func() error{
		"without a name": func() error { _, _, err := tokens.Create(ctx, "", read, time.Hour); return err },
		"without a role": func() error { _, _, err := tokens.Create(ctx, "a", nil, time.Hour); return err },
		"another role":   func() error { _, _, err := tokens.Create(ctx, "a", []admin.Role{"root"}, time.Hour); return err },
		"without an end": func() error { _, _, err := tokens.Create(ctx, "a", read, 0); return err },
		"for ever":       func() error { _, _, err := tokens.Create(ctx, "a", read, 1<<62); return err },
	} {
		wantReason(t, what, attempt(), admin.Invalid)
	}
	for _, role := range []admin.Role{admin.RoleRead, admin.RoleClients, admin.RoleUsers, admin.RoleConnectors} {
		_, _, err := tokens.Create(admintest.As(t, role), "a", read, time.Hour)
		wantReason(t, string(role), err, admin.Forbidden)
		_, err = tokens.List(admintest.As(t, role))
		wantReason(t, string(role), err, admin.Forbidden)
		wantReason(t, string(role), tokens.Delete(admintest.As(t, role), "a"), admin.Forbidden)
	}
}

// keys verifies tokens whose signature is "good".
type keys struct{}

func (keys) Verify(text string) ([]byte, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[2] != "good" {
		return nil, errors.New("bad signature")
	}
	return base64.RawURLEncoding.DecodeString(parts[1])
}

func jwt(t *testing.T, claims map[string]any, signature string) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return "e30." + base64.RawURLEncoding.EncodeToString(payload) + "." + signature
}

func TestIDTokens(t *testing.T) {
	s := memory.New()
	revoked := token.NewRevocations(s, time.Hour)
	access := admin.NewAccess(admin.AccessConfig{
		Issuer: "https://dex.test", Verifier: &token.Verifier{Issuer: "https://dex.test", Keys: keys{}, Revocations: revoked},
		ClientExists: func(context.Context, string) (bool, error) { return true, nil },
		Entries:      []admin.Entry{{Name: "people", Roles: []admin.Role{admin.RoleRead}, Token: &admin.TokenRule{Client: "console", Groups: []string{"a", "b"}}}},
	})
	for _, c := range []struct {
		name   string
		change func(map[string]any)
		sign   string
		want   admin.Reason // -1 for none
	}{
		{"one of the groups", func(map[string]any) {}, "good", -1},
		{"another signature", func(map[string]any) {}, "bad", admin.Unauthenticated},
		{"another issuer", func(c map[string]any) { c["iss"] = "https://other.test" }, "good", admin.Unauthenticated},
		{"expired", func(c map[string]any) { c["exp"] = time.Now().Add(-time.Second).Unix() }, "good", admin.Unauthenticated},
		{"an access token", func(c map[string]any) { c["client_id"] = "console" }, "good", admin.Unauthenticated},
		{"a logout token", func(c map[string]any) { c["events"] = map[string]any{} }, "good", admin.Unauthenticated},
		{"no groups", func(c map[string]any) { delete(c, "groups") }, "good", admin.Forbidden},
		{"another group", func(c map[string]any) { c["groups"] = []string{"A", "c"} }, "good", admin.Forbidden},
		{"another audience", func(c map[string]any) { c["aud"] = "other" }, "good", admin.Forbidden},
		{"the client is only an audience", func(c map[string]any) { c["aud"] = []string{"console", "other"}; c["azp"] = "other" }, "good", admin.Forbidden},
		{"the client is no audience", func(c map[string]any) { c["aud"] = []string{"other", "x"}; c["azp"] = "console" }, "good", admin.Forbidden},
	} {
		claims := map[string]any{
			"iss": "https://dex.test", "sub": "jane", "aud": "console", "exp": time.Now().Add(time.Minute).Unix(), "groups": []string{"x", "b"},
			"email": "jane@example.com", "jti": "aaaa",
		}
		c.change(claims)
		caller, err := access.Caller(t.Context(), admin.Shown{Bearer: jwt(t, claims, c.sign)})
		if c.want < 0 {
			if err != nil || caller.Name != "people: user jane@example.com" || !caller.May(admin.ClientsGet) {
				t.Errorf("%s: got %+v, %v", c.name, caller, err)
			}
			continue
		}
		wantReason(t, c.name, err, c.want)
		if len(caller.Roles) > 0 {
			t.Errorf("%s: got the roles %v", c.name, caller.Roles)
		}
	}
	_, err := access.Caller(t.Context(), admin.Shown{Bearer: "garbage", Local: true})
	wantReason(t, "garbage", err, admin.Unauthenticated)
}

// A client that was removed lets nobody in any more, though its ID tokens have not expired. While nobody knows whether it was, likewise.
func TestIDTokensOfARemovedClient(t *testing.T) {
	var failure error
	access := admin.NewAccess(admin.AccessConfig{
		Issuer: "https://dex.test", Verifier: &token.Verifier{Issuer: "https://dex.test", Keys: keys{}, Revocations: token.NewRevocations(memory.New(), time.Hour)},
		Entries:      []admin.Entry{{Name: "people", Roles: []admin.Role{admin.RoleAll}, Token: &admin.TokenRule{Client: "console", Groups: []string{"a"}}}},
		ClientExists: func(_ context.Context, id string) (bool, error) { return id != "console", failure },
	})
	claims := map[string]any{
		"iss": "https://dex.test", "sub": "jane", "aud": "console", "exp": time.Now().Add(time.Minute).Unix(), "groups": []string{"a"}, "jti": "aaaa",
	}
	for want, err := range map[admin.Reason]error{admin.Unauthenticated: nil, admin.Unavailable: errors.New("the storage is away")} {
		failure = err
		caller, err := access.Caller(t.Context(), admin.Shown{Bearer: jwt(t, claims, "good"), Local: true})
		wantReason(t, "a removed client", err, want)
		if len(caller.Roles) > 0 {
			t.Errorf("got the roles %v", caller.Roles)
		}
	}
}

// A cluster answers token reviews: the token is the answer's status.
func startCluster(t *testing.T, asked *atomic.Int32, status *atomic.Int32) func() (*kubeapi.Client, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var review struct {
			Spec struct {
				Token     string
				Audiences []string
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" ||
			!slices.Equal(review.Spec.Audiences, []string{"dex"}) {
			t.Errorf("the cluster is asked at %s for %+v, %v", r.URL, review, err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(status.Load()))
		_, _ = fmt.Fprintf(w, `{"status":%s}`, review.Spec.Token)
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"current-context":"a","contexts":[{"name":"a","context":{"cluster":"a","user":"a","namespace":"dex"}}],` +
		`"clusters":[{"name":"a","cluster":{"server":"` + server.URL + `"}}],"users":[{"name":"a","user":{"token":"ours"}}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() (*kubeapi.Client, error) {
		return kubeapi.Connect(kubeapi.Config{KubeConfigFile: file}, slog.New(slog.DiscardHandler))
	}
}

func TestServiceAccounts(t *testing.T) {
	var asked, status atomic.Int32
	status.Store(http.StatusCreated)
	reviews := admin.NewReviews(startCluster(t, &asked, &status), "dex")
	defer reviews.Close()
	access := admin.NewAccess(admin.AccessConfig{
		Issuer: "https://dex.test", Review: reviews.Review, Verifier: &token.Verifier{Issuer: "https://dex.test", Keys: keys{}},
		Entries: []admin.Entry{{Name: "op", Roles: []admin.Role{admin.RoleConnectors}, ServiceAccount: &admin.ServiceAccount{Namespace: "dex", Name: "operator"}}},
	})
	answer := func(authenticated bool, name string, audiences ...string) string {
		text, err := json.Marshal(map[string]any{"authenticated": authenticated, "user": map[string]any{"username": name}, "audiences": audiences})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const operator = "system:serviceaccount:dex:operator"
	for range 3 { // the answer is remembered
		caller, err := access.Caller(t.Context(), admin.Shown{Bearer: answer(true, operator, "dex")})
		if err != nil || caller.Name != "op: service account dex/operator" || !caller.May(admin.ConnectorsReveal) || caller.May(admin.ClientsGet) {
			t.Errorf("got %+v, %v", caller, err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the cluster was asked %d times", n)
	}
	for bearer, want := range map[string]admin.Reason{
		answer(false, operator, "dex"):                              admin.Unauthenticated,
		answer(true, operator, "other"):                             admin.Unauthenticated,
		answer(true, operator):                                      admin.Unauthenticated,
		answer(true, "jane", "dex"):                                 admin.Unauthenticated,
		answer(true, "system:serviceaccount:dex", "dex"):            admin.Unauthenticated,
		answer(true, "system:serviceaccount:dex:other", "dex"):      admin.Forbidden,
		answer(true, "system:serviceaccount:other:operator", "dex"): admin.Forbidden,
		jwt(t, map[string]any{"iss": "https://dex.test"}, "bad"):    admin.Unauthenticated, // ours, which the cluster isn't asked about
	} {
		_, err := access.Caller(t.Context(), admin.Shown{Bearer: bearer})
		wantReason(t, bearer, err, want)
	}
	status.Store(http.StatusForbidden)
	_, err := access.Caller(t.Context(), admin.Shown{Bearer: answer(true, operator, "dex", "more")})
	wantReason(t, "where the cluster doesn't let us ask", err, admin.Unavailable)
}

// broken is a storage that fails.
type broken struct{ store.Store }

func (broken) Get(context.Context, string, string) (store.Record, error) {
	return store.Record{}, errors.New("no storage")
}

// A storage that fails lets nobody in.
func TestStorageFails(t *testing.T) {
	access := admin.NewAccess(admin.AccessConfig{Tokens: admin.NewTokens(broken{memory.New()}, event.Discard, time.Now)})
	caller, err := access.Caller(t.Context(), admin.Shown{Bearer: "dexadmin_a_b"})
	wantReason(t, "an admin token", err, admin.Unavailable)
	if len(caller.Roles) > 0 {
		t.Errorf("got %+v", caller)
	}
}
