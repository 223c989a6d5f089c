package token

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/store"
	"dex/internal/store/memory"
)

func newRevocations() (*Revocations, store.Store) {
	s := memory.New()
	return NewRevocations(s, time.Hour), s
}

// claimsOf returns the claims of a fresh token of a login.
func claimsOf(grantID string) *Claims {
	return &Claims{TokenID: tokenID(grantID), Expires: time.Now().Add(time.Hour).Unix()}
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
	s, kept := newRevocations()
	alive, foreign := claimsOf("login"), claimsOf("another")
	var given []*Claims
	for range maxRevoked {
		given = append(given, claimsOf("login"))
		revokeToken(t, s, given[len(given)-1])
		revokeToken(t, s, given[0]) // costs no room again
	}
	wantRevoked(t, s, alive, false)
	revokeToken(t, s, claimsOf("login"))
	for _, one := range append(given, alive, claimsOf("login")) {
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
	s, _ := newRevocations()
	one := claimsOf("login")
	revokeToken(t, s, one)
	if err := s.RevokeLogin(t.Context(), "login"); err != nil {
		t.Fatal(err)
	}
	wantRevoked(t, s, one, true)
	wantRevoked(t, s, claimsOf("login"), true)
	wantRevoked(t, s, claimsOf("logim"), false)
	wantRevoked(t, s, claimsOf(""), false) // a client's own belong to no login
}

// However many revoke at once, none is forgotten.
func TestRevokedAtOnce(t *testing.T) {
	s, _ := newRevocations()
	var all sync.WaitGroup
	tokens := make([]*Claims, 40)
	for i := range tokens {
		tokens[i] = claimsOf("login")
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
	wantRevoked(t, s, claimsOf("login"), false)
}

// A record is kept as long as the last of its tokens lives, and begins anew afterwards.
func TestRevokedUntilTheLastExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, kept := newRevocations()
		long, short := claimsOf("login"), claimsOf("login")
		long.Expires = time.Now().Add(10 * time.Hour).Unix()
		revokeToken(t, s, long)
		time.Sleep(30 * time.Minute)
		revokeToken(t, s, short) // must not shorten it
		time.Sleep(9 * time.Hour)
		wantRevoked(t, s, long, true)
		time.Sleep(30*time.Minute + store.ClockSkew)
		wantRevoked(t, s, long, false) // by then it has expired
		if n, err := kept.Sweep(t.Context(), "revoked", time.Now().Add(time.Second), 10); n != 1 || err != nil {
			t.Errorf("%d records were swept, error %v", n, err)
		}
		fresh := claimsOf("login")
		revokeToken(t, s, fresh)
		wantRevoked(t, s, fresh, true)
		time.Sleep(time.Hour - time.Second)
		other := claimsOf("login")
		revokeToken(t, s, other)
		time.Sleep(time.Hour)
		wantRevoked(t, s, fresh, true) // one record for both
		wantRevoked(t, s, other, true)
	})
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
	synctest.Test(t, func(t *testing.T) {
		s, _ := newRevocations()
		s.Outlast(5 * time.Hour)
		s.Outlast(time.Minute)
		if err := s.RevokeLogin(t.Context(), "login"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Hour)
		wantRevoked(t, s, claimsOf("login"), true)
	})
}
