package limit

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/connector"
	"dex/internal/faulttest"
	"dex/internal/telemetry"
)

// guess tries wrong passwords of one user, one from each address, and returns how many the source was asked about.
func guess(ctx context.Context, s *Set, addresses int, address func(i int) string) int {
	source := &checker{}
	for i := range addresses {
		_, _, _ = s.CheckPassword(telemetry.WithRequest(ctx, "id", address(i)), "ldap", source, connector.Scopes{}, "jane", "wrong")
	}
	return source.asked
}

// Whoever had a /48 had 65,536 times as many tries as whoever had a /64.
var _ = faulttest.Add("R9", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			address func(i int) string
			most    int
		}{
			"/64": {func(i int) string { return fmt.Sprintf("2001:db8:1:1::%x", i) }, 10},
			"/56": {func(i int) string { return fmt.Sprintf("2001:db8:1:1%02x::1", i%256) }, 40},
			"/48": {func(i int) string { return fmt.Sprintf("2001:db8:1:%x::1", i) }, 160},
		} {
			s := NewSet()
			s.everywhere = New(Rate{Burst: 3000, Every: time.Hour}) // no pauses, so no time passes
			if got := guess(t.Context(), s, 3000, c.address); got != c.most {
				t.Errorf("from one %s %d passwords were tried at once, want %d", name, got, c.most)
			}
		}
	})
})

// Tries at one user from all addresses together had no limit. Now they are slowed down, but nobody is locked out.
var _ = faulttest.Add("R9", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSet()
		everywhere := func(i int) string { return fmt.Sprintf("192.0.%d.%d", i/200, i%200) }
		began := time.Now()
		if got := guess(t.Context(), s, 100, everywhere); got != 100 || time.Since(began) != 0 {
			t.Errorf("%d of the first 100 passwords were tried in %v, want all at once", got, time.Since(began))
		}
		if got := guess(t.Context(), s, 400, everywhere); got != 400 || time.Since(began) < 390*longestPause {
			t.Errorf("%d of the next 400 were tried in %v, want all, but slowly", got, time.Since(began))
		}
		began = time.Now()
		ctx := telemetry.WithRequest(t.Context(), "id", "203.0.113.1")
		_, ok, err := s.CheckPassword(ctx, "ldap", &checker{}, connector.Scopes{}, "jane", "right")
		if !ok || err != nil || time.Since(began) > longestPause {
			t.Errorf("the right password: %t, %v, after %v", ok, err, time.Since(began))
		}
		began = time.Now()
		_, ok, err = s.CheckPassword(ctx, "ldap", &checker{}, connector.Scopes{}, "john", "right")
		if !ok || err != nil || time.Since(began) != 0 {
			t.Errorf("another user: %t, %v, after %v", ok, err, time.Since(began))
		}
		time.Sleep(time.Hour)
		began = time.Now()
		if got := guess(t.Context(), s, 10, everywhere); got != 10 || time.Since(began) != 0 {
			t.Errorf("later %d of 10 passwords were tried in %v, want all at once", got, time.Since(began))
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		guess(t.Context(), s, 200, everywhere)
		if got := guess(ended, s, 10, func(i int) string { return everywhere(1000 + i) }); got != 0 {
			t.Errorf("%d tries were checked of those who had gone", got)
		}
	})
})
