package takeover_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/refresh"
	"dex/internal/takeover"
)

// Layouts that the databases in testdata have.
const (
	layout13  = "tables after step 13"
	layout23  = "tables after step 23"
	layoutEnt = "tables of ent"
)

func verified(v bool) *bool { return &v }

func mustBe[T any](t *testing.T, what string, got, want []T, unreadable []string, wantUnreadable ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreTypes(config.Section{})); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
	if diff := cmp.Diff(wantUnreadable, unreadable); diff != "" {
		t.Errorf("%s that can't be read (-want +got):\n%s", what, diff)
	}
}

func TestReadRelease(t *testing.T) {
	src := source(t, newDatabase(t, "step13"), layout13)

	clients, bad := readable(t, src.Clients)
	mustBe(t, "clients", clients, []client.Client{
		{ID: "Gate", Secret: "another secret", RedirectURIs: []string{"https://other.example/cb"}, Name: "Differs in case"},
		{
			ID: "gate", Secret: "gate-secret", RedirectURIs: []string{"https://gate.example/cb", "http://127.0.0.1:5555/cb"},
			TrustedPeers: []string{"tool"}, Name: "Gate", LogoURL: "https://gate.example/logo.png",
		},
		{ID: "tool", Public: true, Name: "Tool", TrustedPeers: []string{}},
	}, bad, "broken")

	connectors, bad := readable(t, src.Connectors)
	mustBe(t, "connectors", connectors, []federation.Definition{
		{ID: "ldap", Type: "ldap", Name: "Staff", Settings: []byte(`{"host":"ldap.example:636"}`)},
		{ID: "mock", Type: "mockCallback", Name: "Mock"},
	}, bad)

	passwords, bad := readable(t, src.Passwords)
	mustBe(t, "passwords", passwords, []local.User{
		{
			Email: "jane@example.com", Hash: []byte("$2a$10$jane"), Username: "jane", Name: "Jane Doe", PreferredUsername: "jj",
			EmailVerified: verified(false), UserID: "user-1", Groups: []string{"admins", "dev"},
		},
		{Email: "old@example.com", Hash: []byte("$2a$10$old"), Username: "old", UserID: "user-3", Groups: []string{}},
		{
			Email: "verified@example.com", Hash: []byte("$2a$10$verified"), Username: "verified", UserID: "user-2",
			EmailVerified: verified(true),
		},
	}, bad)

	sessions, bad := readable(t, src.OfflineSessions)
	mustBe(t, "offline sessions", sessions, []takeover.OfflineSession{
		{UserID: "Abc", ConnectorID: "ldap", Data: []byte("data of Abc")},
		{UserID: "abc", ConnectorID: "ldap", Data: []byte("data of abc")},
		{UserID: "abc", ConnectorID: "mock"},
		{UserID: "late", ConnectorID: "ldap"},
	}, bad)
}

func TestReadReleasesRefreshTokens(t *testing.T) {
	src := source(t, newDatabase(t, "step13"), layout13)
	day, used := at(t, "2026-08-01T00:00:00Z"), at(t, "2026-08-06T10:00:00Z")
	morning := day.Add(10 * time.Hour)
	tokens, bad := readable(t, src.RefreshTokens)
	mustBe(t, "refresh tokens", tokens, []takeover.RefreshToken{
		{
			Legacy: refresh.Legacy{
				ID: "token-a", Token: "secret-a", ObsoleteToken: "before-a",
				CreatedAt: morning, LastUsed: used.Add(120 * time.Millisecond),
				ClientID: "gate", ConnectorID: "ldap", Nonce: "nonce-a", Scopes: []string{"openid", "offline_access"},
				Identity: connector.Identity{
					UserID: "Abc", Username: "Abc Name", PreferredUsername: "abc-preferred", Email: "abc@example.com",
					EmailVerified: true, Groups: []string{"admins"},
				},
			},
			Data: []byte("stale data of Abc"),
		},
		{Legacy: refresh.Legacy{
			ID: "token-b", Token: "secret-b", CreatedAt: morning, LastUsed: used, ClientID: "tool", ConnectorID: "ldap",
			Scopes:   []string{"openid"},
			Identity: connector.Identity{UserID: "Abc", Username: "Abc Name", Email: "abc@example.com"},
		}},
		{
			Legacy: refresh.Legacy{
				ID: "token-c", Token: "secret-c", CreatedAt: day, LastUsed: used.Add(500 * time.Millisecond),
				ClientID: "gate", ConnectorID: "ldap", Scopes: []string{"openid"},
				Identity: connector.Identity{
					UserID: "late", Username: "Late", Email: "late@example.com", EmailVerified: true, Groups: []string{},
				},
			},
			Data: []byte("data of late"),
		},
		{Legacy: refresh.Legacy{
			ID: "token-d", Token: "secret-d", CreatedAt: morning, LastUsed: used, ClientID: "gone", ConnectorID: "gone",
			Scopes: []string{"openid"}, Identity: connector.Identity{UserID: "orphan", Groups: []string{}},
		}},
		{Legacy: refresh.Legacy{
			ID: "token-f", ClientID: "gate", ConnectorID: "ldap", Scopes: []string{"openid"},
			Identity: connector.Identity{UserID: "ancient", EmailVerified: true, Groups: []string{}},
		}},
	}, bad, "token-e")
}

func TestReadKeys(t *testing.T) {
	k, err := source(t, newDatabase(t, "step13"), layout13).Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if k.Current.KeyID != signingKeyID || k.Current.IsPublic() || !k.CurrentPub.IsPublic() || k.CurrentPub.KeyID != signingKeyID {
		t.Errorf("current key %q, public %t, with public key %q", k.Current.KeyID, k.Current.IsPublic(), k.CurrentPub.KeyID)
	}
	if !k.RotateAt.Equal(at(t, keyRotationAt)) {
		t.Errorf("rotation at %v, want %v", k.RotateAt, keyRotationAt)
	}
	if len(k.Retired) != 1 || k.Retired[0].Key.KeyID != retiredKeyID || !k.Retired[0].Expires.Equal(retiredUntil) {
		t.Errorf("retired keys are %+v, want only %q until %v", k.Retired, retiredKeyID, retiredUntil)
	}
}

func TestNoSigningKey(t *testing.T) {
	path := newDatabase(t, "step13")
	exec(t, path, "UPDATE keys SET signing_key = CAST('null' AS BLOB)")
	if k, err := source(t, path, layout13).Keys(t.Context()); k != nil || err != nil {
		t.Errorf("Keys: %v, %v, want none", k, err)
	}
}

func TestKeysThatCannotBeRead(t *testing.T) {
	for name, change := range map[string]string{
		"not JSON":             "UPDATE keys SET signing_key = '{'",
		"not a key":            "UPDATE keys SET signing_key = '{}'",
		"public":               "UPDATE keys SET signing_key = (SELECT json_remove(signing_key, '$.d', '$.p', '$.q', '$.dp', '$.dq', '$.qi') FROM keys)",
		"other algorithm":      "UPDATE keys SET signing_key = (SELECT json_set(signing_key, '$.alg', 'PS256') FROM keys)",
		"bad verification key": "UPDATE keys SET verification_keys = (SELECT json_remove(verification_keys, '$[0].publicKey.x') FROM keys)",
		"verification no JSON": "UPDATE keys SET verification_keys = 'x'",
	} {
		t.Run(name, func(t *testing.T) {
			path := newDatabase(t, "step13")
			exec(t, path, change)
			k, err := source(t, path, layout13).Keys(t.Context())
			if err == nil {
				t.Fatalf("Keys: %v, want an error", k)
			}
			if strings.Contains(err.Error(), `"d"`) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

func TestReadDevelopment(t *testing.T) {
	src := source(t, newDatabase(t, "step23"), layout23)
	clients, bad := readable(t, src.Clients)
	mustBe(t, "clients", clients, []client.Client{
		{
			ID: "all", Secret: "secret", RedirectURIs: []string{"https://a.example/cb"}, TrustedPeers: []string{"gate"},
			Public: true, Name: "All", LogoURL: "https://a.example/logo", AllowedConnectors: []string{"ldap"},
			MFAChain: []string{"totp"}, PostLogoutRedirectURIs: []string{"https://a.example/bye"},
			SSOSharedWith: []string{"gate"}, BackchannelLogoutURI: "https://a.example/logout", RefreshTokenLifetime: "session",
		},
		{
			ID: "nobody", Secret: "secret", RedirectURIs: []string{}, TrustedPeers: []string{},
			PostLogoutRedirectURIs: []string{}, SSOSharedWith: []string{},
		},
		{ID: "unset", Secret: "secret", RedirectURIs: []string{}, TrustedPeers: []string{}},
		{ID: "unset too", Secret: "secret", RedirectURIs: []string{}, TrustedPeers: []string{}},
	}, bad)
	connectors, bad := readable(t, src.Connectors)
	mustBe(t, "connectors", connectors, []federation.Definition{
		{ID: "ldap", Type: "ldap", Name: "Staff", Settings: []byte("{}"), GrantTypes: []string{"authorization_code"}},
		{ID: "mock", Type: "mockCallback", Name: "Mock"},
	}, bad)
	k, err := src.Keys(t.Context())
	if err != nil || !k.RotateAt.IsZero() || k.Retired != nil {
		t.Errorf("Keys: rotation at %v, retired %v, error %v, want zero and none", k.RotateAt, k.Retired, err)
	}
}

func TestReadEnt(t *testing.T) {
	src := source(t, newDatabase(t, "ent"), layoutEnt)
	clients, bad := readable(t, src.Clients)
	mustBe(t, "clients", clients, []client.Client{{
		ID: "gate", Secret: "gate-secret", RedirectURIs: []string{"https://gate.example/cb"}, Name: "Gate",
		LogoURL: "https://gate.example/logo.png", SSOSharedWith: []string{},
		ClientCredentialsClaims: &client.OwnClaims{Groups: []string{"robots"}},
	}}, bad)
	passwords, bad := readable(t, src.Passwords)
	mustBe(t, "passwords", passwords, []local.User{
		{Email: "Jane@Example.com", Hash: []byte("$2a$10$unreachable"), Username: "jane", UserID: "user-0"},
		{Email: "jane@example.com", Hash: []byte("$2a$10$jane"), Username: "jane", UserID: "user-1", Groups: []string{"admins"}},
		{Email: "Mixed@Example.com", Hash: []byte("$2a$10$mixed"), Username: "mixed", UserID: "user-2"},
	}, bad)
	connectors, bad := readable(t, src.Connectors)
	mustBe(t, "connectors", connectors, []federation.Definition{
		{ID: "c", Type: "mockCallback", Name: "C", Settings: []byte("{}"), GrantTypes: []string{"authorization_code"}},
	}, bad)
	sessions, bad := readable(t, src.OfflineSessions)
	mustBe(t, "offline sessions", sessions, []takeover.OfflineSession{
		{UserID: "u", ConnectorID: "c", Data: []byte("data of u")},
	}, bad)
	tokens, bad := readable(t, src.RefreshTokens)
	mustBe(t, "refresh tokens", tokens, []takeover.RefreshToken{{Legacy: refresh.Legacy{
		ID: "token-u", Token: "secret-u", CreatedAt: at(t, "2026-08-01T10:00:00Z"), LastUsed: at(t, "2026-08-06T10:00:00Z"),
		ClientID: "gate", ConnectorID: "c", Nonce: "n", Scopes: []string{"openid"},
		Identity: connector.Identity{
			UserID: "u", Username: "U", PreferredUsername: "uu", Email: "u@example.com", EmailVerified: true,
			Groups: []string{"admins"},
		},
	}}}, bad)
	if k, err := src.Keys(t.Context()); err != nil || k.Current.KeyID != signingKeyID {
		t.Errorf("Keys: %v, %v", k, err)
	}
}

func TestBothLayouts(t *testing.T) {
	path := newDatabase(t, "step13")
	exec(t, path, "CREATE TABLE oauth2clients (id text); CREATE TABLE auth_requests (id text); CREATE TABLE refresh_tokens (id text)")
	layout, err := takeover.SQLite(openDatabase(t, path)).Layout(t.Context())
	if err == nil || !strings.Contains(err.Error(), "DEX_ENT_ENABLED") {
		t.Errorf("Layout: %q, %v, want an error that says what is there twice", layout, err)
	}
}

func TestTablesOfOthers(t *testing.T) {
	path := newDatabase(t, "step13")
	exec(t, path, "DROP TABLE auth_request") // what is left may be anybody's
	source(t, path, "")
}

func TestFirstSteps(t *testing.T) {
	// What a database has that upstream made long ago and that is not missed in one made since.
	path := newDatabase(t, "step13")
	exec(t, path, `DROP TABLE migrations; DROP TABLE connector; DROP TABLE offline_session;
		ALTER TABLE password DROP COLUMN preferred_username; ALTER TABLE password DROP COLUMN "groups";
		ALTER TABLE password DROP COLUMN name; ALTER TABLE password DROP COLUMN email_verified;
		ALTER TABLE refresh_token DROP COLUMN obsolete_token; ALTER TABLE refresh_token DROP COLUMN claims_preferred_username`)
	src := source(t, path, "tables")
	passwords, bad := readable(t, src.Passwords)
	if len(passwords) != 3 || bad != nil || passwords[0].EmailVerified != nil || passwords[0].Name != "" {
		t.Errorf("passwords are %+v, unreadable %q", passwords, bad)
	}
	if tokens, _ := readable(t, src.RefreshTokens); len(tokens) != 5 || tokens[0].Token != "secret-a" || tokens[0].ObsoleteToken != "" {
		t.Errorf("refresh tokens are %+v", tokens)
	}
	if sessions, bad := readable(t, src.OfflineSessions); sessions != nil || bad != nil {
		t.Errorf("offline sessions are %v, unreadable %q", sessions, bad)
	}
}

// Pages end in the middle of the sessions of a user, and between ids that differ in case only.
func TestPagesLeaveNothingOut(t *testing.T) {
	path := newDatabase(t, "step13")
	const rows = 2000
	exec(t, path, `
		DELETE FROM offline_session; DELETE FROM refresh_token;
		WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1)
		INSERT INTO offline_session SELECT CASE WHEN i % 2 THEN 'user ' ELSE 'USER ' END || (i / 7), 'conn ' || (i % 7 / 2) || i,
			CAST('{}' AS BLOB), CAST(i AS TEXT) FROM n`, rows)
	exec(t, path, `
		WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1)
		INSERT INTO refresh_token (id, client_id, scopes, nonce, claims_user_id, claims_username, claims_email,
			claims_email_verified, claims_groups, connector_id)
		SELECT CASE WHEN i % 2 THEN 'x' ELSE 'X' END || (i / 2), '', '[]', '', '', '', '', 0, '[]', '' FROM n`, rows)
	src := source(t, path, layout13)
	seen := map[string]bool{}
	sessions, bad := readable(t, src.OfflineSessions)
	for _, s := range sessions {
		seen[string(s.Data)] = true
	}
	if len(sessions) != rows || len(seen) != rows || bad != nil {
		t.Errorf("%d offline sessions, %d of them different, %q unreadable, want %d", len(sessions), len(seen), bad, rows)
	}
	ids := map[string]bool{}
	tokens, bad := readable(t, src.RefreshTokens)
	for _, r := range tokens {
		ids[r.ID] = true
	}
	if len(tokens) != rows || len(ids) != rows || bad != nil {
		t.Errorf("%d refresh tokens, %d of them different, %q unreadable, want %d", len(tokens), len(ids), bad, rows)
	}
}

func TestTimes(t *testing.T) {
	path := newDatabase(t, "step13")
	for stored, want := range map[string]string{
		"2026-08-06 10:00:00.123456789+00:00": "2026-08-06T10:00:00.123456789Z",
		"2026-08-06 10:00:00+00:00":           "2026-08-06T10:00:00Z",
		"2026-08-06T10:00:00.5Z":              "2026-08-06T10:00:00.5Z",
		"2026-08-06T12:00:00+02:00":           "2026-08-06T10:00:00Z",
		"2026-08-06 10:00:00.25":              "2026-08-06T10:00:00.25Z",
		"2026-08-06T10:00":                    "2026-08-06T10:00:00Z",
		"2026-08-06":                          "2026-08-06T00:00:00Z",
		"2026-08-06 10:00:00.5 +0000 UTC":     "2026-08-06T10:00:00.5Z",
		"0001-01-01 00:00:00 UTC":             "0001-01-01T00:00:00Z",
		"1000-01-01 00:00:00":                 "0001-01-01T00:00:00Z",
		"0000-00-00 00:00:00":                 "0001-01-01T00:00:00Z",
		"yesterday":                           "0001-01-01T00:00:00Z",
		"":                                    "0001-01-01T00:00:00Z",
	} {
		exec(t, path, "DELETE FROM refresh_token WHERE id <> 'token-a'")
		exec(t, path, "UPDATE refresh_token SET last_used = ?", stored)
		tokens, bad := readable(t, source(t, path, layout13).RefreshTokens)
		if len(tokens) != 1 || bad != nil {
			t.Fatalf("%q: %d tokens, %q unreadable", stored, len(tokens), bad)
		}
		if got := tokens[0].LastUsed; !got.Equal(at(t, want)) {
			t.Errorf("%q is read as %v, want %v", stored, got, want)
		}
	}
}

func TestReadEndsWithTheErrorOfItsReader(t *testing.T) {
	src := source(t, newDatabase(t, "step13"), layout13)
	stop := fmt.Errorf("stop")
	calls := 0
	err := src.Clients(t.Context(), "", func(takeover.Item[client.Client]) error { calls++; return stop })
	if err != stop || calls != 1 { //nolint:errorlint // as it is
		t.Errorf("error %v after %d calls, want the reader's after 1", err, calls)
	}
}
