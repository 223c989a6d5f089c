package refresh

import (
	"testing"
	"time"

	"dex/internal/store/memory"
	"dex/internal/token"
)

// What a connector needs lives as long as the logins that need it, and is not written at each refresh.
func TestConnectorDataOutlivesItsLogins(t *testing.T) {
	const idle = 10 * time.Hour
	for _, c := range []struct {
		name   string
		policy Lifetimes
		ends   bool
	}{
		{"idle", Lifetimes{ValidIfNotUsedFor: idle, AbsoluteLifetime: 100 * idle}, true},
		{"absolute", Lifetimes{AbsoluteLifetime: idle}, true},
		{"for ever", Lifetimes{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := time.Now()
			s := memory.New(memory.WithClock(func() time.Time { return clock }))
			o := NewOfflineSessions(s, c.policy, func() time.Time { return clock })
			if err := o.Keep(t.Context(), "u", "c", []byte("data"), nil); err != nil {
				t.Fatal(err)
			}
			writes, last := 0, ""
			for range 50 {
				data, err := o.Data(t.Context(), "u", "c")
				if err != nil || string(data) != "data" {
					t.Fatalf("got %q and error %v", data, err)
				}
				r, err := s.Get(t.Context(), "offline", token.SubjectKey("u", "c"))
				if err != nil {
					t.Fatal(err)
				}
				if !r.Expires.IsZero() && r.Expires.Before(clock.Add(idle)) {
					t.Fatalf("it ends after %v, a login may be used again after %v", r.Expires.Sub(clock), idle)
				}
				if r.Revision != last {
					writes++
				}
				last = r.Revision
				clock = clock.Add(time.Hour)
			}
			if limit := 6; writes > limit {
				t.Errorf("%d writes in 50 refreshes", writes)
			}
			clock = clock.Add(2 * idle)
			data, err := o.Data(t.Context(), "u", "c")
			if ended := data == nil; err != nil || ended != c.ends {
				t.Errorf("after the last login: got %q and error %v, want an end: %v", data, err, c.ends)
			}
		})
	}
}
