package takeover_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/answer"
	"dex/internal/client"
	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/limit"
	"dex/internal/refresh"
	"dex/internal/signing"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/store/sqlite"
	"dex/internal/takeover"
)

// tokenLifetime is how long tokens live that upstream's keys have signed.
const tokenLifetime = 24 * time.Hour

var discard = slog.New(slog.DiscardHandler)

func target(s store.Store) takeover.Target {
	return takeover.Target{
		Store:         s,
		Families:      refresh.New(s, refresh.Lifetimes{}, answer.New(s, time.Now, discard), time.Now, discard),
		Offline:       refresh.NewOfflineSessions(s, refresh.Lifetimes{}, time.Now),
		TokenLifetime: tokenLifetime,
	}
}

func run(t testing.TB, src takeover.Source, s store.Store, log *slog.Logger) {
	t.Helper()
	if err := takeover.Run(t.Context(), src, target(s), log); err != nil {
		t.Fatalf("Run: %v", err)
	}
}

// keys returns the keys of all records of a kind.
func keys(t testing.TB, s store.Store, kind string) []string {
	t.Helper()
	page, err := s.List(t.Context(), kind, store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	found := make([]string, 0, len(page))
	for _, r := range page {
		found = append(found, r.Key)
	}
	slices.Sort(found)
	return found
}

func mustHave(t testing.TB, s store.Store, kind string, want ...string) {
	t.Helper()
	if got := keys(t, s, kind); !slices.Equal(got, want) {
		t.Errorf("records of kind %s: %q, want %q", kind, got, want)
	}
}

// everything returns the documents of all kinds, without what is random in them or tells the time of the import.
func everything(t testing.TB, s store.Store) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, kind := range []string{"client", "connector", "password", "keys", "offline", "refresh", "identity", "session", "takeover"} {
		page, err := s.List(t.Context(), kind, store.Query{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			var document map[string]any
			if err := json.Unmarshal(r.Data, &document); err != nil {
				t.Fatal(err)
			}
			if kind == "client" && document["secret"] != nil {
				document["secret"] = client.IsHashed(document["secret"].(string))
			}
			if kind == "refresh" {
				delete(document, "key")
			}
			delete(document, "finished")
			all[kind+" "+r.Key] = toJSON(t, document)
		}
	}
	return all
}

func openSQLite(t testing.TB, path string) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{File: path}, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// The first start on a file of a release imports it into the same file, and leaves what was there as it was.
func TestTakeOverRelease(t *testing.T) {
	path := newDatabase(t, "step13")
	before := dump(t, path)
	s := openSQLite(t, path)
	var log bytes.Buffer
	run(t, takeover.SQLite(openDatabase(t, path)), s, slog.New(slog.NewTextHandler(&log, nil)))

	mustHave(t, s, "client", "Gate", "gate", "tool")
	mustHave(t, s, "connector", "ldap", "mock")
	mustHave(t, s, "password", "jane@example.com", "old@example.com", "verified@example.com")
	mustHave(t, s, "refresh", "token-a", "token-b", "token-c", "token-d", "token-f")
	mustHave(t, s, "keys", signing.RecordKey)
	mustHave(t, s, "lease")
	checkClientSecrets(t, s)
	checkOffline(t, s, map[string]string{"Abc ldap": "data of Abc", "abc ldap": "data of abc", "late ldap": "data of late"})
	checkRefresh(t, s)
	if after := dump(t, path); after != before {
		t.Errorf("upstream's tables have changed, from\n%s\nto\n%s", before, after)
	}
	for _, secret := range []string{"secret-a", "gate-secret", "data of"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log shows the secret %q:\n%s", secret, log.String())
		}
	}
	for _, want := range []string{
		"table=client key=broken", "table=refresh_token key=token-e", `"tables after step 13"`,
		"clients.done=3 clients.left_out=1", `"refresh tokens.done"=5 "refresh tokens.left_out"=1`, "keys.done=2",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
}

func checkClientSecrets(t *testing.T, s store.Store) {
	t.Helper()
	registry := client.NewRegistry(nil, s, limit.NewSet(), slog.New(slog.DiscardHandler))
	authenticate := func(id, secret string) error {
		form := url.Values{"client_id": {id}, "client_secret": {secret}}
		r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if err := r.ParseForm(); err != nil {
			t.Fatal(err)
		}
		_, err := registry.Authenticate(r, event.Discard)
		return err
	}
	for id, secret := range map[string]string{"gate": "gate-secret", "Gate": "another secret", "tool": ""} {
		if err := authenticate(id, secret); err != nil {
			t.Errorf("client %q can't authenticate: %v", id, err)
		}
	}
	if authenticate("Gate", "gate-secret") == nil {
		t.Error("a client authenticates by the secret of another")
	}
	r, err := s.Get(t.Context(), "client", "gate")
	if err != nil || bytes.Contains(r.Data, []byte("gate-secret")) {
		t.Errorf("client gate is stored as %s (%v), want no secret in it", r.Data, err)
	}
}

// checkOffline wants the data of users ("user connector") and of nobody else.
func checkOffline(t *testing.T, s store.Store, want map[string]string) {
	t.Helper()
	page, err := s.List(t.Context(), "offline", store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range page {
		var o struct {
			UserID, ConnectorID string
			ConnectorData       []byte
		}
		if err := json.Unmarshal(r.Data, &o); err != nil {
			t.Fatal(err)
		}
		got[o.UserID+" "+o.ConnectorID] = string(o.ConnectorData)
	}
	if len(got) != len(want) {
		t.Errorf("connector data is %q, want %q", got, want)
	}
	for user, data := range want {
		if got[user] != data {
			t.Errorf("connector data of %q is %q, want %q", user, got[user], data)
		}
	}
}

func checkRefresh(t *testing.T, s store.Store) {
	t.Helper()
	r, err := s.Get(t.Context(), "refresh", "token-a")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		ClientID, ConnectorID, Nonce string
		Scopes                       []string
		Created, LastUsed            time.Time
		Identity                     struct{ UserID, Email string }
		Upstream                     struct{ Token, Obsolete []byte }
	}
	if err := json.Unmarshal(r.Data, &f); err != nil {
		t.Fatal(err)
	}
	current, obsolete := sha256.Sum256([]byte("secret-a")), sha256.Sum256([]byte("before-a"))
	if !bytes.Equal(f.Upstream.Token, current[:]) || !bytes.Equal(f.Upstream.Obsolete, obsolete[:]) {
		t.Errorf("the hashes of the secrets are %x and %x, want %x and %x", f.Upstream.Token, f.Upstream.Obsolete, current, obsolete)
	}
	if f.ClientID != "gate" || f.ConnectorID != "ldap" || f.Nonce != "nonce-a" || f.Identity.UserID != "Abc" ||
		f.Identity.Email != "abc@example.com" || !slices.Equal(f.Scopes, []string{"openid", "offline_access"}) {
		t.Errorf("refresh token is stored as %s", r.Data)
	}
	if !f.Created.Equal(at(t, "2026-08-01T10:00:00Z")) || !f.LastUsed.Equal(at(t, "2026-08-06T10:00:00.12Z")) {
		t.Errorf("created %v and last used %v", f.Created, f.LastUsed)
	}
}

func TestSecondRunDoesNothing(t *testing.T) {
	path := newDatabase(t, "step13")
	s := memory.New()
	run(t, takeover.SQLite(openDatabase(t, path)), s, discard)
	// Somebody deletes what came from upstream; it must not come back.
	for kind, key := range map[string]string{"refresh": "token-a", "client": "gate", "password": "jane@example.com"} {
		if err := s.Delete(t.Context(), kind, key, ""); err != nil {
			t.Fatal(err)
		}
	}
	want := everything(t, s)
	exec(t, path, "UPDATE client SET name = 'changed'")
	run(t, takeover.SQLite(openDatabase(t, path)), s, discard)
	mustBeSame(t, everything(t, s), want)
}

func mustBeSame(t testing.TB, got, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %q, want %q", k, got[k], v)
		}
	}
	for k, v := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%s is there, %q, and should not be", k, v)
		}
	}
}

func TestWhatIsThereStays(t *testing.T) {
	path := newDatabase(t, "step13")
	s := memory.New()
	own := client.Client{ID: "gate", Name: "ours"}
	if _, err := store.In(s, client.Kind).Create(t.Context(), "gate", own); err != nil {
		t.Fatal(err)
	}
	run(t, takeover.SQLite(openDatabase(t, path)), s, discard)
	e, err := store.In(s, client.Kind).Get(t.Context(), "gate")
	if err != nil || e.Value.Name != "ours" || e.Value.Secret != "" {
		t.Errorf("client gate is %+v (%v), want ours", e.Value, err)
	}
}

func TestAddressesThatDifferInCase(t *testing.T) {
	s := memory.New()
	var log bytes.Buffer
	run(t, takeover.SQLite(openDatabase(t, newDatabase(t, "ent"))), s, slog.New(slog.NewTextHandler(&log, nil)))
	mustHave(t, s, "password", "jane@example.com", "mixed@example.com")
	e, err := store.In(s, local.Kind).Get(t.Context(), "jane@example.com")
	if err != nil || e.Value.UserID != "user-1" {
		t.Errorf("the user is %q (%v), want the one who could sign in before", e.Value.UserID, err)
	}
	if want := "passwords.done=2 passwords.left_out=1"; !strings.Contains(log.String(), want) {
		t.Errorf("the log lacks %s:\n%s", want, log.String())
	}
	users := local.NewUsers(nil, s, slog.New(slog.DiscardHandler))
	if u, err := users.ByEmail(t.Context(), "Mixed@example.com"); err != nil || u.UserID != "user-2" {
		t.Errorf("user with an address of mixed case: %+v, %v", u, err)
	}
}

// An empty database may be one whose dump is still to be restored, so nothing says that it was imported.
func TestEmptyTables(t *testing.T) {
	path := newDatabase(t, "step13")
	for _, table := range []string{"client", "connector", "password", "keys", "offline_session", "refresh_token"} {
		exec(t, path, "DELETE FROM "+table)
	}
	s := memory.New()
	run(t, takeover.SQLite(openDatabase(t, path)), s, discard)
	mustHave(t, s, "takeover")
	exec(t, path, "INSERT INTO client VALUES ('later', 's', '[]', '[]', 0, '', '')")
	run(t, takeover.SQLite(openDatabase(t, path)), s, discard)
	mustHave(t, s, "client", "later")
	mustHave(t, s, "takeover", "upstream")
}

func TestNothingOfUpstreams(t *testing.T) {
	path := newDatabase(t, "step13")
	exec(t, path, "DROP TABLE refresh_token")
	s := &counting{Store: memory.New()}
	run(t, takeover.SQLite(openDatabase(t, path)), s, discard)
	if n := s.writes.Load(); n != 0 {
		t.Errorf("%d writes, want none", n)
	}
}

func TestConnectorSettings(t *testing.T) {
	s := memory.New()
	run(t, takeover.SQLite(openDatabase(t, newDatabase(t, "step13"))), s, discard)
	e, err := store.In(s, federation.Kind).Get(t.Context(), "ldap")
	if err != nil || string(e.Value.Settings) != `{"host":"ldap.example:636"}` || e.Value.Type != "ldap" || e.Value.Name != "Staff" {
		t.Errorf("connector is %+v (%v)", e.Value, err)
	}
}

func TestWhatDoesNotFitIsLeftOut(t *testing.T) {
	path := newDatabase(t, "step13")
	exec(t, path, "UPDATE client SET id = ? WHERE id = 'tool'", strings.Repeat("x", store.MaxKey+1))
	exec(t, path, "UPDATE connector SET config = zeroblob(1048576) WHERE id = 'ldap'")
	exec(t, path, "UPDATE offline_session SET connector_data = zeroblob(1048576) WHERE user_id = 'Abc'")
	exec(t, path, "UPDATE refresh_token SET id = '' WHERE id = 'token-b'")
	s := openSQLite(t, path)
	run(t, takeover.SQLite(openDatabase(t, path)), s, discard)
	mustHave(t, s, "client", "Gate", "gate")
	mustHave(t, s, "connector", "mock")
	mustHave(t, s, "refresh", "token-a", "token-c", "token-d", "token-f")
	checkOffline(t, s, map[string]string{
		"Abc ldap": "stale data of Abc", "abc ldap": "data of abc", "late ldap": "data of late",
	})
}
