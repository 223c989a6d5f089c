package grant

import (
	"testing"
	"time"

	"dex/internal/code"
	"dex/internal/connector"
	"dex/internal/device"
	"dex/internal/faulttest"
	"dex/internal/oauth"
	"dex/internal/pkce"
	"dex/internal/refresh"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/token"
)

// A code that was redeemed, and comes again with another redirect URI, takes back what it gave.
var _ = faulttest.Add("T-grant_code-85", func(t *testing.T) {
	for _, scopes := range [][]string{{oauth.ScopeOfflineAccess}, {oauth.ScopeOpenID}} {
		r := newReplica(t, memory.New(), refresh.Lifetimes{Rotate: true}, 0, same())
		secret, grantID := code.NewSecret(), token.NewGrantID()
		a := token.Authorization{
			ClientID: "app", ConnectorID: "src", Identity: connector.Identity{UserID: "u"}, Scopes: scopes, GrantID: grantID,
		}
		if err := r.codes.Issue(t.Context(), secret, a, "http://app.test/", pkce.Challenge{}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.redeem(secret); err != nil {
			t.Fatal(err)
		}
		r = newReplica(t, r.store, refresh.Lifetimes{Rotate: true}, 0, same()) // that reads it
		elsewhere := oauth.Form{"code": {secret}, "redirect_uri": {"http://thief.test/"}}
		tok, err := r.use(t.Context(), r.code, elsewhere)
		r.wantRefused("a code with another redirect URI", tok, err)
		r.wantRevoked()
	}
})

// A source that answers for somebody else vouches for nobody.
var _ = faulttest.Add("T-ask-151", func(t *testing.T) {
	src := same()
	r := newReplica(t, memory.New(), refresh.Lifetimes{Rotate: true}, 0, src)
	tok := r.must(r.redeem(r.issue("")))
	src.refresh = func() (connector.Identity, error) { return connector.Identity{UserID: "somebody else"}, nil }
	got, err := r.renew(tok)
	r.wantRefused("a refresh that another user comes of", got, err)
})

// A source that gives what it gave before doesn't push out what another login of the user has brought meanwhile.
var _ = faulttest.Add("T-ask-154", func(t *testing.T) {
	src := same()
	r := newReplica(t, memory.New(), refresh.Lifetimes{Rotate: true}, 0, src)
	tok := r.must(r.redeem(r.issue("old")))
	src.refresh = func() (connector.Identity, error) {
		if err := r.offline.Keep(t.Context(), "u", "src", []byte("new"), nil); err != nil {
			t.Error(err)
		}
		return connector.Identity{UserID: "u", Data: []byte("old")}, nil
	}
	r.must(r.renew(tok))
	r.wantData("new")
})

// A rotation that was made by a clock two days ahead doesn't keep the next one away, and ends nobody's login.
var _ = faulttest.Add("O6", func(t *testing.T) {
	for _, interval := range []time.Duration{0, 5 * time.Second} {
		r := newReplica(t, memory.New(), refresh.Lifetimes{Rotate: true, ReuseInterval: interval}, 0, same())
		tok := r.must(r.redeem(r.issue("")))
		r.clock = r.clock.Add(48 * time.Hour)
		second := r.must(r.renew(tok))
		r.clock = r.clock.Add(-48 * time.Hour)
		got, err := r.renew(tok)
		r.wantRefused("the token before", got, err)
		third := r.must(r.renew(second))
		if third == second {
			t.Error("the token was not rotated")
		}
		r.clock = r.clock.Add(time.Minute)
		got, err = r.renew(second)
		r.wantRefused("a token that was used", got, err)
		got, err = r.renew(third)
		r.wantRefused("the token of the login that has ended", got, err)
	}
})

// What a replica makes is good at another one whose clock is two minutes ahead.
var _ = faulttest.Add("O5", func(t *testing.T) {
	for _, ahead := range []time.Duration{-store.ClockSkew, store.ClockSkew} {
		s := memory.New()
		p := refresh.Lifetimes{Rotate: true, ReuseInterval: 5 * time.Second}
		here, there := newReplica(t, s, p, 0, same()), newReplica(t, s, p, 0, same())
		there.clock = here.clock.Add(ahead)
		tok := there.must(there.redeem(here.issue("")))
		next := here.must(here.renew(tok))
		if again, err := there.renew(tok); again != next || err != nil {
			t.Errorf("a refresh that is repeated where the clock is %v ahead: %q, %v", ahead, again, err)
		}
		devices := device.NewCodes(s, time.Minute, here.answers, func() time.Time { return here.clock })
		elsewhere := device.NewCodes(s, time.Minute, there.answers, func() time.Time { return there.clock })
		codes, err := devices.Begin(t.Context(), device.Request{ClientID: "app"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := elsewhere.Find(t.Context(), codes.UserCode); err != nil {
			t.Errorf("a device that waits, where the clock is %v ahead: %v", ahead, err)
		}
	}
})
