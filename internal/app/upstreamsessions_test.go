package app_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dex/internal/id"
	"dex/internal/session"
	"dex/internal/store"
)

// upstreamsTables are those of upstream's development version, as far as they matter to browsers' sessions.
const upstreamsTables = `
CREATE TABLE client (id text not null primary key);
CREATE TABLE auth_request (id text not null primary key);
CREATE TABLE refresh_token (id text not null primary key);
CREATE TABLE user_identity (
	user_id text not null, connector_id text not null, claims_user_id text not null, claims_username text not null,
	claims_preferred_username text not null default '', claims_email text not null, claims_email_verified integer not null,
	claims_groups blob not null, consents blob not null, created_at timestamp not null, last_login timestamp not null,
	blocked_until timestamp not null, mfa_secrets blob, webauthn_credentials blob, PRIMARY KEY (user_id, connector_id)
);
CREATE TABLE auth_session (
	id text not null primary key, secret text not null default '', user_id text not null, connector_id text not null,
	client_states blob not null, created_at timestamp not null, last_activity timestamp not null,
	ip_address text not null default '', user_agent text not null default '', absolute_expiry timestamp not null,
	idle_expiry timestamp not null, logout_state blob
)`

const (
	upstreamsID     = "dnmhe6ymwg3sbqeignqmuoml6"
	upstreamsSecret = "up5x26x5gvpppa7ugdy5wt25p"
	// upstreamsCookie is what upstream makes of these two.
	upstreamsCookie = "Chlkbm1oZTZ5bXdnM3NicWVpZ25xbXVvbWw2Ehl1cDV4MjZ4NWd2cHBwYTd1Z2R5NXd0MjVw"
)

// upstreamsFile makes a database that upstream has left, with the administrator's session at the shop, and returns its path and when
// the user signed in.
func upstreamsFile(t *testing.T) (path string, login time.Time) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "dex.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	login = time.Now().Add(-20 * time.Minute).UTC().Truncate(time.Second)
	at := func(d time.Duration) string { return login.Add(d).Format("2006-01-02 15:04:05-07:00") }
	for _, statement := range append(strings.Split(upstreamsTables, ";\n"),
		fmt.Sprintf(`INSERT INTO user_identity VALUES ('08a8684b-db88-4b73-90a9-3cd1661f5466', 'local',
			'08a8684b-db88-4b73-90a9-3cd1661f5466', 'Admin User', 'admin', 'admin@example.com', 1, '["team-a"]', '{}', '%s', '%s',
			'0001-01-01 00:00:00+00:00', NULL, NULL)`, at(0), at(0)),
		fmt.Sprintf(`INSERT INTO auth_session VALUES ('%s', '%s', '08a8684b-db88-4b73-90a9-3cd1661f5466', 'local',
			'{"shop":{"AuthenticatedAt":"%s","LastActivity":"%[3]s","LastTokenIssuedAt":"%[3]s","ViaSSO":false}}',
			'%[4]s', '%[5]s', '192.0.2.1', 'Browser', '%[6]s', '%[7]s', 'null')`,
			upstreamsID, upstreamsSecret, login.Format(time.RFC3339Nano), at(0), at(10*time.Minute), at(24*time.Hour), at(70*time.Minute)),
	) {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return path, login
}

// startAfterUpstream runs a server on what upstream has left.
func startAfterUpstream(t *testing.T, issuer, section string, wrap func(store.Store) store.Store) (s *server, login time.Time) {
	t.Helper()
	path, login := upstreamsFile(t)
	return startOn(t, strings.NewReplacer(
		"{type: memory}", fmt.Sprintf("{type: sqlite3, config: {file: %q}}", path), "http://dex.test/dex", issuer,
	).Replace(withSessions)+"sessions: {"+section+"}\n", wrap), login
}

// with gives a browser a cookie.
func (b *browser) with(name, value string) *browser {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://dex.test/dex/", nil)
	b.jar.SetCookies(r.URL, []*http.Cookie{{Name: name, Value: value, Path: "/dex"}})
	return b
}

// encrypted returns upstream's cookie as upstream writes it with a key.
func encrypted(t *testing.T, key string) string {
	t.Helper()
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, gcm.NonceSize())
	_, _ = rand.Read(nonce)
	return base64.RawURLEncoding.EncodeToString(gcm.Seal(nonce, nonce, []byte(upstreamsCookie), nil))
}

func (b *browser) mustBeAsked() {
	b.t.Helper()
	b.visit(to("shop", "prompt", "none")).wantRedirectError("login_required")
}

func TestUpstreamsSessionGoesOn(t *testing.T) {
	t.Parallel()
	s, login := startAfterUpstream(t, issuer, "", nil)
	b := s.browser().with("dex_session", upstreamsCookie)
	got := claims(t, b.redeem("shop", b.visit(to("shop")).wantStatus(http.StatusSeeOther)).text("id_token"))
	if got["sid"] != upstreamsID || got["auth_time"] != float64(login.Unix()) || got["name"] != "Admin User" {
		t.Errorf("the token is for %v", got)
	}
	r := httptest.NewRequest(http.MethodGet, "http://dex.test/dex/", nil)
	for _, c := range b.jar.Cookies(r.URL) {
		if c.Value == upstreamsCookie {
			t.Error("the browser has upstream's cookie still")
		}
	}
	b.redeem("till", b.visit(to("till", "prompt", "none")).wantStatus(http.StatusSeeOther))

	// A login gives the session a secret of its own, and the old one's time is up a minute later.
	again := b.shopLogin("prompt", "login")
	if sid := claims(t, again.text("id_token"))["sid"]; sid != upstreamsID {
		t.Errorf("the session is %v, want that which went on", sid)
	}
}

func TestUpstreamsCookieMustBeRight(t *testing.T) {
	t.Parallel()
	s, _ := startAfterUpstream(t, issuer, "", nil)
	own := s.browser()
	sid := claims(t, own.shopLogin().text("id_token"))["sid"].(string)
	for name, value := range map[string]string{
		"another secret":       id.Pair(upstreamsID, "another"),
		"no secret":            id.Pair(upstreamsID, ""),
		"no session":           id.Pair("another", upstreamsSecret),
		"a session of ours":    id.Pair(sid, upstreamsSecret),
		"encrypted":            encrypted(t, "0123456789abcdef"),
		"too long":             upstreamsCookie + strings.Repeat("A", 300),
		"not base64":           "!" + upstreamsCookie,
		"something else":       "c29tZXRoaW5n",
		"an id that is a path": id.Pair("../../"+upstreamsID, upstreamsSecret),
	} {
		t.Run(name, func(t *testing.T) {
			b := s.browser().with("dex_session", value)
			b.t = t
			b.mustBeAsked()
		})
	}
	r := httptest.NewRequest(http.MethodGet, "http://dex.test"+to("shop", "prompt", "none"), nil)
	r.Header.Set("Cookie", "dex_session="+upstreamsCookie+"; dex_session="+id.Pair(upstreamsID, "another"))
	s.do(r).wantRedirectError("login_required")
}

func TestUpstreamsEncryptedCookie(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef0123456789abcdef"
	s, _ := startAfterUpstream(t, issuer, "cookieName: mine, cookieEncryptionKey: "+key, nil)
	b := s.browser().with("mine", encrypted(t, key))
	b.redeem("shop", b.visit(to("shop", "prompt", "none")).wantStatus(http.StatusSeeOther))
	s.browser().with("mine", encrypted(t, "another key, with its 32 bytes..")).mustBeAsked()
	s.browser().with("mine", upstreamsCookie).mustBeAsked() // anybody can make one that isn't encrypted
	s.browser().with("dex_session", encrypted(t, key)).mustBeAsked()
}

// Where our cookie has another name, upstream's goes when ours comes.
func TestUpstreamsCookieIsRemoved(t *testing.T) {
	t.Parallel()
	s, _ := startAfterUpstream(t, "https://dex.test/dex", "", nil)
	r := httptest.NewRequest(http.MethodGet, "https://dex.test"+to("shop", "prompt", "none"), nil)
	r.AddCookie(&http.Cookie{Name: "dex_session", Value: upstreamsCookie})
	a := s.do(r).wantStatus(http.StatusSeeOther)
	if a.location().Query().Get("code") == "" {
		t.Fatalf("no code in %s", a.location())
	}
	set := map[string]*http.Cookie{}
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		set[c.Name] = c
	}
	old, ours := set["dex_session"], set["__Secure-dex_session"]
	if old == nil || ours == nil {
		t.Fatalf("the answer sets %v", a.header["Set-Cookie"])
	}
	if old.MaxAge >= 0 || old.Value != "" || old.Path != "/dex" || !old.Secure || !old.HttpOnly || old.SameSite != http.SameSiteLaxMode {
		t.Errorf("upstream's cookie is set to %v", old)
	}
	if ours.MaxAge < 23*3600 || ours.MaxAge > 24*3600 {
		t.Errorf("ours lasts %d s", ours.MaxAge)
	}
}

// countingReads counts how often sessions are read.
type countingReads struct {
	store.Store
	sessions atomic.Int64
}

func (c *countingReads) Get(ctx context.Context, kind, key string) (store.Record, error) {
	if kind == "session" {
		c.sessions.Add(1)
	}
	return c.Store.Get(ctx, kind, key)
}

// What can't be upstream's cookie costs the storage nothing, and what may be one read.
func TestUpstreamsCookieIsCheap(t *testing.T) {
	t.Parallel()
	var counted *countingReads
	s, _ := startAfterUpstream(t, issuer, "", func(inner store.Store) store.Store {
		counted = &countingReads{Store: inner}
		return counted
	})
	for value, reads := range map[string]int64{"c29tZXRoaW5n": 0, strings.Repeat("A", 2000): 0, id.Pair("forged", "forged"): 1} {
		before := counted.sessions.Load()
		s.browser().with("dex_session", value).mustBeAsked()
		if n := counted.sessions.Load() - before; n != reads {
			t.Errorf("%s costs %d reads, want %d", value, n, reads)
		}
	}
}

// On a storage that upstream never had, nobody looks for its cookie.
func TestNoCookieOfUpstreamsWithoutUpstream(t *testing.T) {
	t.Parallel()
	var counted *countingReads
	s := startOn(t, withSessions+"sessions: {}\n", func(inner store.Store) store.Store {
		counted = &countingReads{Store: inner}
		return counted
	})
	s.browser().with("dex_session", upstreamsCookie).mustBeAsked()
	if n := counted.sessions.Load(); n != 0 {
		t.Errorf("%d reads, want none", n)
	}
}

// Upstream's cookie, which anybody can write, opens only what was upstream's, and only where there is no cookie of ours.
func TestUpstreamsCookieOpensNothingElse(t *testing.T) {
	t.Parallel()
	var inside store.Store
	s, _ := startAfterUpstream(t, issuer, "", func(inner store.Store) store.Store {
		inside = inner
		return inner
	})
	table := store.In(inside, session.Kind)
	e, err := table.Get(t.Context(), upstreamsID)
	if err != nil {
		t.Fatal(err)
	}
	for sessionID, upstreams := range map[string]bool{"theirs": true, "ours": false} {
		e.Value.Upstream = upstreams
		if _, err := table.Create(t.Context(), sessionID, e.Value); err != nil {
			t.Fatal(err)
		}
	}
	b := s.browser().with("dex_session", id.Pair("theirs", upstreamsSecret))
	b.redeem("shop", b.visit(to("shop", "prompt", "none")).wantStatus(http.StatusSeeOther))
	s.browser().with("dex_session", id.Pair("ours", upstreamsSecret)).mustBeAsked()

	// Two cookies of ours that differ count as none. Neither does upstream's beside them.
	var cookies []string
	for range 2 {
		b := s.browser()
		b.shopLogin()
		for _, c := range b.jar.Cookies(httptest.NewRequest(http.MethodGet, "http://dex.test/dex/", nil).URL) {
			if c.Name == "dex_session" {
				cookies = append(cookies, c.String())
			}
		}
	}
	r := httptest.NewRequest(http.MethodGet, "http://dex.test"+to("shop", "prompt", "none"), nil)
	r.Header.Set("Cookie", strings.Join(append(cookies, "dex_session="+upstreamsCookie), "; "))
	s.do(r).wantRedirectError("login_required")
}

// A user who signs out by upstream's session is signed out of it.
func TestLogoutFromUpstreamsSession(t *testing.T) {
	t.Parallel()
	s, _ := startAfterUpstream(t, issuer, "", nil)
	b := s.browser().with("dex_session", upstreamsCookie)
	token := b.redeem("shop", b.visit(to("shop")).wantStatus(http.StatusSeeOther)).text("id_token")
	other := s.browser().with("dex_session", upstreamsCookie) // of a copy of the browser's profile
	other.visit("/dex/logout?" + url.Values{"id_token_hint": {token}}.Encode()).wantStatus(http.StatusOK)
	b.mustBeAsked()
	other.mustBeAsked()
	s.browser().with("dex_session", upstreamsCookie).mustBeAsked()
}
