package e2e

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"
)

// refreshAtOnce presents one refresh token n times concurrently.
func refreshAtOnce(t *testing.T, d *dex, token string, n int) []*tokenAnswer {
	t.Helper()
	answers := make([]*tokenAnswer, n)
	start := make(chan struct{})
	var clients sync.WaitGroup
	for i := range answers {
		clients.Go(func() {
			<-start
			answer, err := d.refresh(t.Context(), token)
			if err != nil {
				t.Errorf("refresh: %v", err)
				answer = &tokenAnswer{}
			}
			answers[i] = answer
		})
	}
	close(start)
	clients.Wait()
	return answers
}

// TestRefreshesAtOnceGetOneSuccessor shows that tabs and retries that present a token at the same time all stay signed in,
// with the same next token.
func TestRefreshesAtOnceGetOneSuccessor(t *testing.T) {
	t.Parallel()
	d := startDex(t, newConfiguration(t).withoutConsent().withReuseInterval("60s"))
	first := d.mustLogin(t, "mock").RefreshToken
	successor := ""
	for _, a := range refreshAtOnce(t, d, first, 40) {
		if a.status != http.StatusOK {
			t.Errorf("status %d, error %q", a.status, a.Error)
			continue
		}
		if successor == "" {
			successor = a.RefreshToken
		}
		if a.RefreshToken != successor {
			t.Errorf("two different successors of one token: %.20s… and %.20s…", a.RefreshToken, successor)
		}
	}
	if successor == first {
		t.Error("the token was not rotated")
	}
	if late := d.mustRefresh(t, first); late.RefreshToken != successor {
		t.Errorf("within the interval a retry gets status %d and another token", late.status)
	}
	if next := d.mustRefresh(t, successor); next.status != http.StatusOK {
		t.Errorf("the successor gets status %d, error %q", next.status, next.Error)
	}
}

// TestReuseEndsTheFamily shows what happens to a stolen token: the login that it came from ends, and no other.
func TestReuseEndsTheFamily(t *testing.T) {
	t.Parallel()
	const interval = time.Second
	d := startDex(t, newConfiguration(t).withoutConsent().withReuseInterval(interval.String()))
	stolen := d.mustLogin(t, "mock").RefreshToken
	otherDevice := d.mustLogin(t, "mock").RefreshToken

	newest := d.mustRefresh(t, stolen).RefreshToken
	if newest == "" || newest == stolen {
		t.Fatal("the token was not rotated")
	}
	time.Sleep(interval + 200*time.Millisecond) // the interval must pass; there is nothing to wait for
	wantRefused(t, "the reused token", d.mustRefresh(t, stolen))
	wantRefused(t, "the newest token of the family that ended", d.mustRefresh(t, newest))
	if other := d.mustRefresh(t, otherDevice); other.status != http.StatusOK {
		t.Errorf("another device's token gets status %d, error %q", other.status, other.Error)
	}
}

// TestReuseIntervalOfZero shows that with an explicit 0 no token is accepted twice.
func TestReuseIntervalOfZero(t *testing.T) {
	t.Parallel()
	d := startDex(t, newConfiguration(t).withoutConsent().withReuseInterval("0s"))
	token := d.mustLogin(t, "mock").RefreshToken
	newest := d.mustRefresh(t, token).RefreshToken
	if after := d.mustRefresh(t, newest); after.status != http.StatusOK || after.RefreshToken == newest {
		t.Fatalf("the current token gets status %d and is not rotated", after.status)
	}
	wantRefused(t, "the token before", d.mustRefresh(t, newest))

	// Concurrently: one is first, and the others end its login.
	accepted := 0
	for _, a := range refreshAtOnce(t, d, d.mustLogin(t, "mock").RefreshToken, 10) {
		if a.status == http.StatusOK {
			accepted++
		}
	}
	if accepted > 1 {
		t.Errorf("%d of 10 simultaneous refreshes were accepted, want 1 at most", accepted)
	}
}

// TestSecondLoginNeverEndsTheFirst shows that a user may stay signed in on any number of devices.
func TestSecondLoginNeverEndsTheFirst(t *testing.T) {
	t.Parallel()
	d := startDex(t, newConfiguration(t).withoutConsent())
	var devices []string
	for range 5 {
		devices = append(devices, d.mustLogin(t, "mock").RefreshToken)
	}
	for i, token := range devices {
		if a := d.mustRefresh(t, token); a.status != http.StatusOK {
			t.Errorf("device %d of %d gets status %d, error %q", i+1, len(devices), a.status, a.Error)
		}
	}
}

// TestCodeIsUsedOnce shows that at most one of many redemptions of a code gets tokens, and that a replay revokes them.
func TestCodeIsUsedOnce(t *testing.T) {
	t.Parallel()
	d := startDex(t, newConfiguration(t).withoutConsent())
	answer, err := newVisitor(d.transport).signIn(t.Context(), d.authURL("/auth/mock", nil))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var given []string
	err = crowd(t.Context(), crowdSize, func(ctx context.Context, _ int) error {
		a, err := d.redeem(ctx, answer.Get("code"))
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if a.status == http.StatusOK {
			given = append(given, a.RefreshToken)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(given) > 1 {
		t.Errorf("one code was redeemed %d times", len(given))
	}
	for _, token := range given {
		wantRefused(t, "the refresh token of a replayed code", d.mustRefresh(t, token))
	}
}

func wantRefused(t *testing.T, what string, a *tokenAnswer) {
	t.Helper()
	if a.status != http.StatusBadRequest || a.Error != "invalid_grant" {
		t.Errorf("%s gets status %d, error %q, want 400 invalid_grant", what, a.status, a.Error)
	}
}
