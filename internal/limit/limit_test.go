package limit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/connector"
	"dex/internal/oauth"
	"dex/internal/telemetry"
)

// try tries once, and returns whether it was let in.
func try(t *testing.T, right bool, keys ...Key) bool {
	t.Helper()
	got, err := Begin(t.Context(), keys...)
	if _, ok := errors.AsType[*Exceeded](err); ok {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if !right {
		got.Failed()
	}
	got.End()
	return true
}

func TestFailuresCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Rate{Burst: 3, Every: 10 * time.Second})
		key := l.Key("192.0.2.1", "jane")
		for range 100 {
			if !try(t, true, key) {
				t.Fatal("right tries are refused")
			}
		}
		wrong := func(want int) {
			t.Helper()
			got := 0
			for range 20 {
				if try(t, false, key) {
					got++
				}
			}
			if got != want {
				t.Errorf("%d wrong tries were let in, want %d", got, want)
			}
		}
		wrong(3)
		if try(t, true, key) {
			t.Error("a right try is let in, which tells an attacker that the guess is right")
		}
		time.Sleep(10*time.Second - time.Nanosecond)
		wrong(0)
		time.Sleep(time.Nanosecond)
		wrong(1)
		time.Sleep(25 * time.Second)
		wrong(2)
		time.Sleep(time.Hour)
		wrong(3)
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := New(Rate{Burst: 1, Every: 10 * time.Second}).Key("192.0.2.1")
		try(t, false, key)
		for _, c := range []struct {
			passed  time.Duration
			seconds int
			message string
		}{
			{0, 10, "Wait 10 seconds,"}, {time.Millisecond, 10, "Wait 10 seconds,"}, {8 * time.Second, 2, "Wait 2 seconds,"},
			{time.Second, 1, "Wait 1 seconds,"}, {990 * time.Millisecond, 1, "Wait 1 seconds,"},
		} {
			time.Sleep(c.passed)
			_, err := Begin(t.Context(), key)
			exceeded, ok := errors.AsType[*Exceeded](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if exceeded.Seconds() != c.seconds || !strings.Contains(exceeded.Message(), c.message) {
				t.Errorf("got %d s and %q, want %d", exceeded.Seconds(), exceeded.Message(), c.seconds)
			}
			if r := Refusal(err); r.Status() != 429 || r.RetryAfter != c.seconds {
				t.Errorf("applications are told %v", r)
			}
		}
		if r := Refusal(context.Canceled); r.Code != oauth.ServerError {
			t.Errorf("of another error applications are told %v", r)
		}
	})
}

// However many wrong tries come at once, no more of them are let in; however many right ones do, none is refused.
func TestTriesAtOnce(t *testing.T) {
	const visitors = 200
	for name, right := range map[string]bool{"wrong": false, "right": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Rate{Burst: 5, Every: time.Hour})
				key := l.Key("192.0.2.1", "jane")
				var in, most, all atomic.Int32
				var group sync.WaitGroup
				for range visitors {
					group.Go(func() {
						got, err := Begin(t.Context(), key)
						if err != nil {
							return
						}
						if n := in.Add(1); n > most.Load() {
							most.Store(n)
						}
						time.Sleep(time.Second) // the source takes its time
						in.Add(-1)
						all.Add(1)
						if !right {
							got.Failed()
						}
						got.End()
					})
				}
				group.Wait()
				want := int32(5)
				if right {
					want = visitors
				}
				if all.Load() != want || most.Load() > 5 {
					t.Errorf("%d were let in, want %d; %d of them at once", all.Load(), want, most.Load())
				}
				if left := len(l.buckets); right && left != 0 {
					t.Errorf("%d buckets are kept of right tries", left)
				}
			})
		})
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	key := New(Rate{Burst: 1, Every: time.Hour}).Key("192.0.2.1")
	first, err := Begin(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := Begin(ctx, key); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	first.End()
	if !try(t, true, key) {
		t.Error("the try was not given back")
	}
}

// A try that one key refuses costs nothing at the others.
func TestSeveralKeys(t *testing.T) {
	wide := New(Rate{Burst: 2, Every: time.Hour}).Key("192.0.2.1")
	narrow := New(Rate{Burst: 1, Every: time.Hour})
	jane, john := narrow.Key("192.0.2.1", "jane"), narrow.Key("192.0.2.1", "john")
	for range 5 {
		try(t, false, wide, jane)
		try(t, false, jane, wide)
	}
	if !try(t, true, wide, john) {
		t.Error("others at the same address are refused")
	}
	try(t, false, john, wide)
	if try(t, true, wide) {
		t.Error("the address has tries left")
	}
	if try(t, true, narrow.Key("192.0.2.1", "jim"), wide) {
		t.Error("the address's limit does not hold for everybody there")
	}
}

func TestAddresses(t *testing.T) {
	l := New(Rate{Burst: 1, Every: time.Hour})
	for _, address := range []string{"2001:db8::1", "::ffff:192.0.2.1", "@"} {
		try(t, false, l.Key(address, "x"))
	}
	for address, blocked := range map[string]bool{
		"2001:db8::ffff": true, "2001:db8::1%eth0": true, "2001:db8:0:1::1": false, "192.0.2.1": true, "192.0.2.2": false,
		"": true, "other socket": true,
	} {
		if let := try(t, true, l.Key(address, "x")); let == blocked {
			t.Errorf("%s: let in is %t", address, let)
		}
	}
	if l.Key("192.0.2.1", "a", "bc") == l.Key("192.0.2.1", "ab", "c") {
		t.Error("two keys look alike")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Rate{Burst: 2, Every: time.Minute})
		l.max = 1000
		key := func(i int) Key { return l.Key("192.0.2.1", fmt.Sprint(i)) }
		if err := Count(t.Context(), key(0)); err != nil {
			t.Fatal(err)
		}
		busy, err := Begin(t.Context(), key(1))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3000 {
			try(t, false, key(10+i))
			try(t, false, key(10+i))
			if len(l.buckets) > l.max+1 || l.idle.Len() > l.max {
				t.Fatalf("%d buckets, %d idle", len(l.buckets), l.idle.Len())
			}
		}
		busy.Failed()
		busy.End() // its bucket was in use all the time, and is among the newest now
		try(t, false, key(1))
		for i, blocked := range map[int]bool{1: true, 3009: true, 2100: true, 10: false} {
			if try(t, true, key(i)) == blocked {
				t.Errorf("key %d: blocked should be %t", i, blocked)
			}
		}
		// Full buckets go without being asked for, two at a time.
		for range l.max {
			time.Sleep(time.Minute)
			try(t, false, key(0))
		}
		if got := len(l.buckets); got > 1 || got != l.idle.Len() {
			t.Errorf("later there are %d buckets, %d idle", got, l.idle.Len())
		}
	})
}

// checker is a source that knows one password.
type checker struct{ asked int }

func (*checker) Prompt() string { return "" }

func (c *checker) Login(
	_ context.Context, _ connector.Scopes, _, password string,
) (connector.Identity, bool, error) {
	c.asked++
	switch password {
	case "right":
		return connector.Identity{UserID: "1"}, true, nil
	case "denied":
		return connector.Identity{}, false, &connector.Denied{Reason: "locked"}
	case "outage":
		return connector.Identity{}, false, errors.New("no connection")
	}
	return connector.Identity{}, false, nil
}

func TestPasswords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, source := NewSet(), &checker{}
		blocked := func(address, connectorID, name, password string) bool {
			t.Helper()
			ctx := telemetry.WithRequest(t.Context(), "id", address)
			before := source.asked
			_, ok, err := s.CheckPassword(ctx, connectorID, source, connector.Scopes{}, name, password)
			if _, exceeded := errors.AsType[*Exceeded](err); !exceeded {
				return false
			}
			if ok || source.asked != before {
				t.Error("the source is asked in spite of the limit")
			}
			return true
		}
		for _, unclear := range []string{"right", "denied", "outage"} {
			for range 200 {
				if blocked("192.0.2.1", "ldap", "jane", unclear) {
					t.Fatalf("%s counts", unclear)
				}
			}
		}
		for i := range 10 {
			if blocked("192.0.2.1", "ldap", "jane", "wrong") {
				t.Fatalf("try %d is refused", i)
			}
		}
		for _, c := range []struct {
			address, connectorID, name string
			blocked                    bool
		}{
			{"192.0.2.1", "ldap", "jane", true}, {"192.0.2.1", "ldap", " JANE\t", true}, {"192.0.2.2", "ldap", "jane", false},
			{"192.0.2.1", "local", "jane", false}, {"192.0.2.1", "ldap", "john", false},
		} {
			if got := blocked(c.address, c.connectorID, c.name, "right"); got != c.blocked {
				t.Errorf("%+v: blocked is %t", c, got)
			}
		}
		for i := range 90 {
			blocked("192.0.2.1", "ldap", fmt.Sprint("user", i), "wrong")
		}
		if !blocked("192.0.2.1", "ldap", "john", "right") || blocked("192.0.2.2", "ldap", "john", "right") {
			t.Error("one password for everybody can be tried without end")
		}
		time.Sleep(time.Second)
		if blocked("192.0.2.1", "ldap", "john", "right") {
			t.Error("the others still wait a second later")
		}
	})
}

func BenchmarkRightTry(b *testing.B) {
	l := New(Rate{Burst: 100, Every: time.Second})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			t, err := Begin(b.Context(), l.Key("192.0.2.1", "app"))
			if err != nil {
				b.Fatal(err)
			}
			t.End()
		}
	})
}

// Requests of devices that get their tokens don't count, however many devices share an address.
func TestQuestionsOfDevices(t *testing.T) {
	s := NewSet()
	for i := range 1000 {
		try, tooOften, err := s.Poll(t.Context(), strconv.Itoa(i))
		if err != nil || tooOften {
			t.Fatalf("question %d: too often is %t, %v", i, tooOften, err)
		}
		try.End()
	}
	for i := range 2 * polls.Burst {
		try, _, err := s.Poll(t.Context(), "in vain"+strconv.Itoa(i))
		if _, exceeded := errors.AsType[*Exceeded](err); exceeded {
			return
		}
		try.Failed()
		try.End()
	}
	t.Error("questions in vain have no limit")
}

// Behind a translator, as clusters with nothing but IPv6 have it, one user of IPv4 doesn't hold up all others.
func TestTranslatedAddressesAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSet()
		if got := guess(t.Context(), s, 100, func(int) string { return "64:ff9b::192.0.2.1" }); got != 10 {
			t.Errorf("%d passwords of one user were tried from one address", got)
		}
		ctx := telemetry.WithRequest(t.Context(), "id", "64:ff9b::198.51.100.7")
		if _, ok, err := s.CheckPassword(ctx, "ldap", &checker{}, connector.Scopes{}, "jane", "right"); !ok || err != nil {
			t.Errorf("from another address: %t, %v", ok, err)
		}
		if got := guess(t.Context(), s, 100, func(int) string { return "192.0.2.1" }); got != 0 {
			t.Errorf("%d more from the same address without a translator", got)
		}
	})
}
