package grant

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/answer"
	"dex/internal/answer/answertest"
	"dex/internal/code"
	"dex/internal/connector"
	"dex/internal/device"
	"dex/internal/faulttest"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/pkce"
	"dex/internal/refresh"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/token"
)

// A cut storage is one whose client hangs up when it has written.
type cut struct {
	store.Store
	hangUp context.CancelFunc
}

func (c *cut) Create(ctx context.Context, r store.Record) (string, error) {
	revision, err := c.Store.Create(ctx, r)
	c.after(r)
	return revision, err
}

func (c *cut) Replace(ctx context.Context, r store.Record) (string, error) {
	revision, err := c.Store.Replace(ctx, r)
	c.after(r)
	return revision, err
}

func (c *cut) after(r store.Record) {
	if c.hangUp != nil && (r.Kind == "code" || r.Kind == "refresh" || r.Kind == "device") {
		c.hangUp()
	}
}

// hangsUp uses something, and hangs up when that is written.
func (c *cut) hangsUp(r *replica, g grant, f oauth.Form) {
	r.t.Helper()
	ctx, hangUp := context.WithCancel(r.t.Context())
	c.hangUp = hangUp
	tok, err := r.use(ctx, g, f)
	c.hangUp = nil
	if tok != "" || err == nil {
		r.t.Errorf("an answer that is due again was given: %q, error %v", tok, err)
	}
}

// Whoever had stolen a code could redeem it and hang up on purpose: then the answer was due, and was given both to them and to
// the rightful client, so that the theft stayed unseen. Closing only one half of the connection, they had it even at once.
var _ = faulttest.Add("A-hangup-code", func(t *testing.T) {
	for _, scope := range []string{oauth.ScopeOfflineAccess, oauth.ScopeOpenID} {
		for _, elsewhere := range []bool{false, true} {
			c := &cut{Store: memory.New()}
			r := newReplica(t, c, refresh.Lifetimes{Rotate: true}, 0, same())
			comesTo := r
			if elsewhere {
				comesTo = newReplica(t, c, refresh.Lifetimes{Rotate: true}, 0, same())
			}
			grantID, secret := token.NewGrantID(), code.NewSecret()
			a := token.Authorization{
				ClientID: "app", ConnectorID: "src", Identity: connector.Identity{UserID: "u", Email: "jane@example.com"},
				Scopes: []string{scope}, GrantID: grantID,
			}
			if err := r.codes.Issue(t.Context(), secret, a, "http://app.test/", pkce.Challenge{}); err != nil {
				t.Fatal(err)
			}
			form := oauth.Form{"code": {secret}, "redirect_uri": {"http://app.test/"}}
			for range 3 {
				c.hangsUp(r, r.code, form)
			}
			if _, err := comesTo.redeem(secret); err != nil {
				t.Fatalf("the answer that is due: %v", err)
			}
			if data := string(r.record("code").Data); scope == oauth.ScopeOpenID && strings.Contains(data, "jane") {
				t.Errorf("the storage can read whose the code was: %s", data)
			}
			r.clock, comesTo.clock = r.clock.Add(10*time.Second), comesTo.clock.Add(10*time.Second)
			answertest.Tell(t, comesTo.answers)
			tok, err := r.redeem(secret)
			r.wantRefused("a code that was answered at last", tok, err)
			r.wantRevoked()
		}
	}
})

// So it was with refresh tokens.
var _ = faulttest.Add("A-hangup-refresh", func(t *testing.T) {
	c := &cut{Store: memory.New()}
	p := refresh.Lifetimes{Rotate: true, ReuseInterval: 3 * time.Second}
	r, there := newReplica(t, c, p, 0, same()), newReplica(t, c, p, 0, same())
	pass := func(d time.Duration) {
		r.clock, there.clock = r.clock.Add(d), there.clock.Add(d)
		answertest.Tell(t, r.answers)
		answertest.Tell(t, there.answers)
	}
	tok := r.must(r.redeem(r.issue("")))
	pass(time.Minute)
	for range 3 {
		c.hangsUp(r, r.refresh, oauth.Form{"refresh_token": {tok}})
		pass(10 * time.Second)
	}
	next := there.must(there.renew(tok))
	pass(time.Second)
	if again := r.must(r.renew(tok)); again != next {
		t.Errorf("got %s and %s", next, again)
	}
	pass(20 * time.Second)
	again, err := r.renew(tok)
	r.wantRefused("a token that was answered at last", again, err)
	again, err = r.renew(next)
	r.wantRefused("the token of a login that has ended", again, err)
})

// And with devices.
var _ = faulttest.Add("A-hangup-device", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, scope := range []string{oauth.ScopeOfflineAccess, oauth.ScopeOpenID} {
			c := &cut{Store: memory.New()}
			r := newReplica(t, c, refresh.Lifetimes{Rotate: true}, 0, same())
			devices := device.NewCodes(c, time.Minute, r.answers, func() time.Time { return r.clock })
			g := &deviceGrant{
				beginner: r.code.beginner, devices: devices, connectors: r.code.connectors,
				limits: limit.NewSet(),
			}
			codes, err := devices.Begin(t.Context(), device.Request{ClientID: "app"})
			if err != nil {
				t.Fatal(err)
			}
			waiting, err := devices.Find(t.Context(), codes.UserCode)
			if err != nil {
				t.Fatal(err)
			}
			err = devices.Approve(t.Context(), waiting.Name, token.Authorization{
				ClientID: "app", ConnectorID: "src", Identity: connector.Identity{UserID: "u"}, Scopes: []string{scope}, GrantID: "g",
			})
			if err != nil {
				t.Fatal(err)
			}
			form := oauth.Form{"device_code": {codes.DeviceCode}}
			for range 3 {
				c.hangsUp(r, g, form)
				r.clock = r.clock.Add(10 * time.Second)
				time.Sleep(10 * time.Second) // the limits go by the real clock
			}
			if _, err := r.use(t.Context(), g, form); err != nil {
				t.Errorf("the answer that is due: %v", err)
			}
			tok, err := r.use(t.Context(), g, form)
			r.wantRefused("a device code that was answered at last", tok, err)
		}
	})
})

// Whoever hung up more often than is told of one by one brought doubt on all answers of a replica: what it had answered was
// given again by the others.
var _ = faulttest.Add("A-hangup-flood", func(t *testing.T) {
	s := memory.New()
	here, there := newReplica(t, s, refresh.Lifetimes{Rotate: true}, 0, same()), newReplica(t, s, refresh.Lifetimes{Rotate: true}, 0, same())
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	table := store.In(s, store.Declare(store.Declaration[string]{Name: "anything"}))
	for range 4000 {
		_, _ = answer.Write(gone, here.answers, table, "key", func(*string) (none answer.Stamp) { return none },
			func(answer.Stamp) (e store.Entry[string], err error) { return e, context.Canceled })
	}
	code := here.issue("")
	tok := here.must(here.redeem(code))
	here.must(here.renew(tok))
	here.clock, there.clock = here.clock.Add(10*time.Second), there.clock.Add(10*time.Second)
	answertest.Tell(t, here.answers)
	again, err := there.renew(tok)
	there.wantRefused("a token that was answered", again, err)
})

// A replica without work stopped to tell the time before a long reuse interval was over, so that the others took a thief for
// somebody in time, minutes later.
var _ = faulttest.Add("A-long-interval", func(t *testing.T) {
	s := memory.New()
	for _, interval := range []time.Duration{3 * time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute} {
		p := refresh.Lifetimes{Rotate: true, ReuseInterval: interval}
		here, there := newReplica(t, s, p, 0, same()), newReplica(t, s, p, 0, same())
		here.untold, there.untold = true, true
		tok := here.must(here.redeem(here.issue("")))
		here.must(here.renew(tok))
		writes := 0
		for range interval/time.Second + 20 {
			here.clock, there.clock = here.clock.Add(time.Second), there.clock.Add(time.Second)
			told, err := here.answers.Tell(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if told {
				writes++
			}
		}
		again, err := there.renew(tok)
		there.wantRefused("a token that was used long ago", again, err)
		if writes > 10 {
			t.Errorf("after one use %d writes tell of it", writes)
		}
	}
})

// A rotation that an earlier release has made, and nobody tells of, was taken for one without an answer.
var _ = faulttest.Add("A-no-stamp", func(t *testing.T) {
	r := newReplica(t, memory.New(), refresh.Lifetimes{Rotate: true}, 0, same())
	tok := r.must(r.redeem(r.issue("")))
	r.must(r.renew(tok))
	unstamped, fields := r.record("refresh"), map[string]json.RawMessage{}
	if err := json.Unmarshal(unstamped.Data, &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "stamp")
	var err error
	if unstamped.Data, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Replace(t.Context(), unstamped); err != nil {
		t.Fatal(err)
	}
	r.clock = r.clock.Add(10 * time.Second)
	again, err := r.renew(tok)
	r.wantRefused("a token that was used", again, err)
})

// A code that was used again, as its answer had got lost, brought back what the source had given at the login, though that had
// been used and replaced meanwhile: sources that take their refresh tokens once end the session then.
var _ = faulttest.Add("A-old-data", func(t *testing.T) {
	c := &cut{Store: memory.New()}
	r := newReplica(t, c, refresh.Lifetimes{Rotate: true}, 0, same())
	code := r.issue("old")
	c.hangsUp(r, r.code, oauth.Form{"code": {code}, "redirect_uri": {"http://app.test/"}})
	if err := r.offline.Keep(t.Context(), "u", "src", []byte("new"), nil); err != nil {
		t.Fatal(err)
	}
	r.must(r.redeem(code))
	r.wantData("new")
})
