package takeover_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	"dex/internal/id"
	"dex/internal/identity"
	"dex/internal/session"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/takeover"
)

// takenOver returns a storage that has what a database held.
func takenOver(t *testing.T, name string) (s store.Store, log string) {
	t.Helper()
	s = memory.New()
	var text bytes.Buffer
	run(t, takeover.SQLite(openDatabase(t, newDatabase(t, name))), s, slog.New(slog.NewTextHandler(&text, nil)))
	return s, text.String()
}

func mustGet[T any](t *testing.T, s store.Store, kind *store.Kind[T], key string) T {
	t.Helper()
	e, err := store.In(s, kind).Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return e.Value
}

func TestSessionsAreTakenOver(t *testing.T) {
	s, log := takenOver(t, "step23")
	mustHave(t, s, "session", "session-a", "session-b")
	eight := at(t, "2026-08-06T08:00:00Z")
	a := session.Session{
		ConnectorID: "ldap",
		Identity: connector.Identity{
			UserID: "jane", Username: "Jane", PreferredUsername: "jj", Email: "jane@example.com", EmailVerified: true, Groups: []string{"admins"},
		},
		AuthTime: eight, Secrets: []session.Secret{{Hash: id.Hash("secret of a"), Issued: eight}},
		Created: eight, LastUsed: at(t, "2026-08-06T09:00:00.5Z"),
		Ends: at(t, "2031-08-06T10:00:00Z"), Idle: at(t, "2031-08-06T09:00:00Z"), Remembered: true,
		Clients: map[string]session.Participation{
			"all":   {First: eight, Last: at(t, "2026-08-06T08:31:00Z")},
			"unset": {First: eight.Add(time.Hour), Last: eight.Add(time.Hour), ViaSSO: true},
		},
		Address: "192.0.2.1", UserAgent: "Browser", Groups: true, Offline: true, Upstream: true,
	}
	if diff := cmp.Diff(a, mustGet(t, s, session.Kind, "session-a")); diff != "" {
		t.Errorf("session a (-want +got):\n%s", diff)
	}
	// Bob's last login was before this session began; upstream says so.
	if b := mustGet(t, s, session.Kind, "session-b"); !b.AuthTime.Equal(at(t, "2026-08-06T11:00:00Z")) || b.Offline || b.Groups {
		t.Errorf("session b is %+v", b)
	}
	for _, want := range []string{
		"table=auth_session key=session-naked", "table=auth_session key=session-stranger", "sessions.done=5 sessions.left_out=2",
		`table=user_identity key="mixed ldap"`, "identities.done=2 identities.left_out=1",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	for _, secret := range []string{"secret of", "otpauth"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log shows %q", secret)
		}
	}
}

func TestIdentitiesAreTakenOver(t *testing.T) {
	s, _ := takenOver(t, "step23")
	day, login := at(t, "2026-08-01T10:00:00Z"), at(t, "2026-08-06T10:00:00Z")
	jane := identity.Identity{
		UserID: "jane", ConnectorID: "ldap",
		Claims: connector.Identity{
			UserID: "jane", Username: "Jane", PreferredUsername: "jj", Email: "jane@example.com", EmailVerified: true, Groups: []string{"admins"},
		},
		Created: day, LastLogin: login, BlockedUntil: at(t, "2031-01-01T00:00:00Z"),
		Consents: map[string]identity.Consent{"all": {Scopes: []string{"openid", "profile"}, Given: login}},
		UpstreamFactors: identity.UpstreamFactors{
			MFASecrets: json.RawMessage(
				`{"totp":{"authenticatorID":"totp","type":"TOTP","secret":"otpauth://totp/jane","confirmed":true}}`),
			WebAuthnCredentials: json.RawMessage(`{"key":[{"credentialID":"AQI="}]}`),
		},
	}
	if diff := cmp.Diff(jane, mustGet(t, s, identity.Kind, identity.Key("jane", "ldap"))); diff != "" {
		t.Errorf("jane (-want +got):\n%s", diff)
	}
	bob := mustGet(t, s, identity.Kind, identity.Key("bob", "mock"))
	if !bob.BlockedUntil.IsZero() || bob.Consents != nil || !bob.UpstreamFactors.IsZero() || bob.Claims.Username != "Bob" {
		t.Errorf("bob is %+v", bob)
	}
}

// A login goes on with what is known, and what this server doesn't use yet is not lost with it.
func TestFactorsOutliveALogin(t *testing.T) {
	s, _ := takenOver(t, "step23")
	before := mustGet(t, s, identity.Kind, identity.Key("jane", "ldap"))
	err := identity.New(s, 0, time.Now).Note(t.Context(), identity.Login{
		Claims: before.Claims, ConnectorID: "ldap", Proved: true, ClientID: "unset", Consented: []string{"openid"},
	})
	if err != nil {
		t.Fatal(err)
	}
	after := mustGet(t, s, identity.Kind, identity.Key("jane", "ldap"))
	if diff := cmp.Diff(before.UpstreamFactors, after.UpstreamFactors); diff != "" {
		t.Errorf("factors (-before +after):\n%s", diff)
	}
	if len(after.Consents) != 2 || !after.BlockedUntil.Equal(before.BlockedUntil) {
		t.Errorf("jane is %+v", after)
	}
}

func TestSessionsOfEnt(t *testing.T) {
	s, _ := takenOver(t, "ent")
	u := mustGet(t, s, session.Kind, "session-u")
	if u.Identity.Username != "U" || !u.AuthTime.Equal(at(t, "2026-08-06T10:00:00Z")) || u.Clients["gate"].First.IsZero() ||
		!id.IsHashOf(u.Secrets[0].Hash, "secret of u") || !u.Ends.Equal(at(t, "2031-08-06T10:00:00Z")) {
		t.Errorf("the session is %+v", u)
	}
	known := mustGet(t, s, identity.Kind, identity.Key("u", "c"))
	if !cmp.Equal(known.Consents["gate"].Scopes, []string{"openid", "email"}) || !known.BlockedUntil.IsZero() {
		t.Errorf("the user is %+v", known)
	}
}

// sessionOf returns the session that a refresh token says it was issued in.
func sessionOf(t *testing.T, s store.Store, tokenID string) string {
	t.Helper()
	r, err := s.Get(t.Context(), "refresh", tokenID)
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ SessionID string }
	if err := json.Unmarshal(r.Data, &f); err != nil {
		t.Fatal(err)
	}
	return f.SessionID
}

func TestRefreshTokensKeepTheirSession(t *testing.T) {
	s, _ := takenOver(t, "step23")
	if a, b := sessionOf(t, s, "token-all"), sessionOf(t, s, "token-other"); a != "session-a" || b != "" {
		t.Errorf("the tokens are of the sessions %q and %q", a, b)
	}
}

// placeOf returns the place of a row with a key of several columns.
func placeOf(key ...string) string {
	var parts []string
	for _, k := range key {
		parts = append(parts, base64.RawURLEncoding.EncodeToString([]byte(k)))
	}
	return strings.Join(parts, ".")
}

// An import that goes on with the refresh tokens still knows which session they are of.
func TestRefreshTokensKeepTheirSessionWhenCutOff(t *testing.T) {
	path := newDatabase(t, "step23")
	for kind, position := range map[string]string{
		"offline sessions": placeOf("jane", "ldap"), "refresh tokens": "",
	} {
		marker := `{"layout":"` + layout23 + `","entities":{},"position":{"step":"` + kind + `","after":"` + position +
			`","saved":"` + time.Now().Format(time.RFC3339Nano) + `","origins":true}}`
		s := memory.New()
		if _, err := s.Create(t.Context(), store.Record{Kind: "takeover", Key: "upstream", Data: []byte(marker)}); err != nil {
			t.Fatal(err)
		}
		run(t, takeover.SQLite(openDatabase(t, path)), s, discard)
		if a := sessionOf(t, s, "token-all"); a != "session-a" {
			t.Errorf("cut off at %s: the token is of the session %q", kind, a)
		}
	}
}

// Before step 23 sessions had no ids and no secrets, and nobody can be signed in by them.
func TestSessionsBeforeStep23(t *testing.T) {
	path := newDatabase(t, "step23")
	exec(t, path, `DROP TABLE auth_session`)
	exec(t, path, `CREATE TABLE auth_session (user_id text not null, connector_id text not null, nonce text not null,
		client_states blob not null, created_at timestamp not null, last_activity timestamp not null, PRIMARY KEY (user_id, connector_id))`)
	exec(t, path, `INSERT INTO auth_session VALUES ('jane', 'ldap', 'n', '{}', '2026-08-06 12:00:00+00:00', '2026-08-06 12:00:00+00:00')`)
	s := memory.New()
	run(t, takeover.SQLite(openDatabase(t, path)), s, discard)
	mustHave(t, s, "session")
	mustHave(t, s, "identity", slices.Sorted(slices.Values([]string{identity.Key("jane", "ldap"), identity.Key("bob", "mock")}))...)
}

func TestSessionThatIsThereStays(t *testing.T) {
	s := memory.New()
	ours := session.Session{ConnectorID: "ldap", Ends: time.Now().Add(time.Hour), Idle: time.Now().Add(time.Hour)}
	if _, err := store.In(s, session.Kind).Create(t.Context(), "session-a", ours); err != nil {
		t.Fatal(err)
	}
	run(t, takeover.SQLite(openDatabase(t, newDatabase(t, "step23"))), s, discard)
	if mustGet(t, s, session.Kind, "session-a").Upstream {
		t.Error("the session was replaced by upstream's")
	}
}

// Whichever write is the last one before the process dies, the next start finishes what it began.
func TestSessionsKilledHalfWay(t *testing.T) {
	path := newDatabase(t, "step23")
	exec(t, path, "UPDATE client SET secret = ''") // as it takes long to hash them
	whole := &counting{Store: memory.New()}
	run(t, takeover.SQLite(openDatabase(t, path)), whole, discard)
	want := everything(t, whole)
	total := whole.writes.Load()
	for n := int64(1); n < total; n++ { // the last one releases the lease, which may fail
		clock := new(atomic.Int64)
		now := func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
		s := &counting{Store: memory.New(memory.WithClock(now)), failAt: n}
		if err := takeover.Run(t.Context(), takeover.SQLite(openDatabase(t, path)), target(s), discard); !errors.Is(err, errKilled) {
			t.Fatalf("killed at write %d: Run: %v, want %v", n, err, errKilled)
		}
		clock.Store(int64(time.Minute)) // until the lease has ended
		s.failAt = 0
		run(t, takeover.SQLite(openDatabase(t, path)), s, discard)
		mustBeSame(t, everything(t, s), want)
	}
}
