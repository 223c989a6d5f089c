package token

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/store/memory"
)

// clock is what Revocations and their storage go by.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newRevocations() (*Revocations, store.Store, *clock) {
	c := &clock{now: time.Unix(1_700_000_000, 0)}
	s := memory.New(memory.WithClock(c.Now))
	return NewRevocations(s, time.Hour, c.Now), s, c
}

// claimsOf returns the claims of a fresh token of a login.
func claimsOf(grantID string, c *clock) *Claims {
	return &Claims{TokenID: tokenID(grantID), Expires: c.Now().Add(time.Hour).Unix()}
}

func wantRevoked(t *testing.T, s *Revocations, c *Claims, want bool) {
	t.Helper()
	got, err := s.isRevoked(t.Context(), c)
	if err != nil || got != want {
		t.Errorf("token %s: revoked is %t with error %v, want %t", c.TokenID, got, err, want)
	}
}

func revokeToken(t *testing.T, s *Revocations, c *Claims) {
	t.Helper()
	if err := s.RevokeToken(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// A record stays small: of a login that gives back more tokens than it can hold, all count as given back.
func TestManyRevokedTokens(t *testing.T) {
	s, kept, c := newRevocations()
	alive, foreign := claimsOf("login", c), claimsOf("another", c)
	var given []*Claims
	for range maxRevoked {
		given = append(given, claimsOf("login", c))
		revokeToken(t, s, given[len(given)-1])
		revokeToken(t, s, given[0]) // costs no room again
	}
	wantRevoked(t, s, alive, false)
	revokeToken(t, s, claimsOf("login", c))
	for _, one := range append(given, alive, claimsOf("login", c)) {
		wantRevoked(t, s, one, true)
	}
	wantRevoked(t, s, foreign, false)
	records, err := kept.List(t.Context(), "revoked", store.Query{})
	if err != nil || len(records) != 1 || strings.Contains(string(records[0].Data), "ids") {
		t.Errorf("error %v, records %q", err, records)
	}
	revokeToken(t, s, alive) // undoes nothing
	wantRevoked(t, s, given[1], true)
}

func TestRevokedLogin(t *testing.T) {
	s, _, c := newRevocations()
	one := claimsOf("login", c)
	revokeToken(t, s, one)
	if err := s.RevokeLogin(t.Context(), "login"); err != nil {
		t.Fatal(err)
	}
	wantRevoked(t, s, one, true)
	wantRevoked(t, s, claimsOf("login", c), true)
	wantRevoked(t, s, claimsOf("logim", c), false)
	wantRevoked(t, s, claimsOf("", c), false) // a client's own belong to no login
}

// However many revoke at once, none is forgotten.
func TestRevokedAtOnce(t *testing.T) {
	s, _, c := newRevocations()
	var all sync.WaitGroup
	tokens := make([]*Claims, 40)
	for i := range tokens {
		tokens[i] = claimsOf("login", c)
		all.Go(func() {
			if err := s.RevokeToken(t.Context(), tokens[i]); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, one := range tokens {
		wantRevoked(t, s, one, true)
	}
	wantRevoked(t, s, claimsOf("login", c), false)
}

// A record is kept as long as the last of its tokens lives, and begins anew afterwards.
func TestRevokedUntilTheLastExpires(t *testing.T) {
	s, kept, c := newRevocations()
	long, short := claimsOf("login", c), claimsOf("login", c)
	long.Expires = c.Now().Add(10 * time.Hour).Unix()
	revokeToken(t, s, long)
	c.pass(30 * time.Minute)
	revokeToken(t, s, short) // must not shorten it
	c.pass(9 * time.Hour)
	wantRevoked(t, s, long, true)
	c.pass(30*time.Minute + store.ClockSkew)
	wantRevoked(t, s, long, false) // by then it has expired
	if n, err := kept.Sweep(t.Context(), "revoked", c.Now().Add(time.Second), 10); n != 1 || err != nil {
		t.Errorf("%d records were swept, error %v", n, err)
	}
	fresh := claimsOf("login", c)
	revokeToken(t, s, fresh)
	wantRevoked(t, s, fresh, true)
	c.pass(time.Hour - time.Second)
	other := claimsOf("login", c)
	revokeToken(t, s, other)
	c.pass(time.Hour)
	wantRevoked(t, s, fresh, true) // one record for both
	wantRevoked(t, s, other, true)
}

// The record of a login is found by a token's id alone, whatever the rest of it says; what is no id of ours has a record of
// its own.
func TestNamesOfTokens(t *testing.T) {
	seen := map[string]string{}
	for name, c := range map[string]*Claims{
		"ours":       {TokenID: tokenID("login"), Subject: "s"},
		"none":       {Subject: "s", IssuedAt: 1, ClientID: "app"},
		"user":       {Subject: "t", IssuedAt: 1, ClientID: "app"},
		"time":       {Subject: "s", IssuedAt: 2, ClientID: "app"},
		"client":     {Subject: "s", IssuedAt: 1, Audience: audience{"other"}},
		"odd":        {TokenID: "x"},
		"long":       {TokenID: strings.Repeat("x", 5000)},
		"with space": {TokenID: " "},
	} {
		login := c.login()
		if login == "" || len(login) > 20 {
			t.Errorf("%s: the record is %q", name, login)
		}
		if before := seen[login+c.name()]; before != "" {
			t.Errorf("%s has the name of %s", name, before)
		}
		seen[login+c.name()] = name
	}
	for i := range 100 {
		if got := loginOf(tokenID(fmt.Sprint(i))); got != loginOf(tokenID(fmt.Sprint(i))) || got == loginOf(tokenID("x")) {
			t.Errorf("login %d is %q", i, got)
		}
	}
}

// Refusals last as long as the longest-lived tokens that this process has made.
func TestRevokedForTheLongestLifetime(t *testing.T) {
	s, _, c := newRevocations()
	s.Outlast(5 * time.Hour)
	s.Outlast(time.Minute)
	if err := s.RevokeLogin(t.Context(), "login"); err != nil {
		t.Fatal(err)
	}
	c.pass(5 * time.Hour)
	wantRevoked(t, s, claimsOf("login", c), true)
}
