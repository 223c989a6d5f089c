package grant

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"dex/internal/answer"
	"dex/internal/answer/answertest"
	"dex/internal/client"
	"dex/internal/code"
	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/pkce"
	"dex/internal/refresh"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/token"
)

// A source is a connector that does at a refresh what the test says.
type source struct {
	refresh func() (connector.Identity, error)
}

func (s *source) Open(context.Context, connector.Env) (any, error) { return s, nil }

func (s *source) Refresh(context.Context, connector.Scopes, connector.Identity) (connector.Identity, error) {
	return s.refresh()
}

// A replica is what the grants of one process are made of.
type replica struct {
	t        *testing.T
	store    store.Store
	clock    time.Time
	answers  *answer.Ledger
	untold   bool // the others are told nothing
	codes    *code.Codes
	families *refresh.Families
	offline  *refresh.OfflineSessions
	code     *codeGrant
	refresh  *refreshGrant
}

func newReplica(t *testing.T, s store.Store, p refresh.Lifetimes, reuse time.Duration, src *source) *replica {
	t.Helper()
	r := &replica{t: t, store: s, clock: time.Now()}
	now, log := func() time.Time { return r.clock }, slog.New(slog.DiscardHandler)
	connectors := federation.NewPool(s, &url.URL{Scheme: "http", Host: "dex.test"}, log, event.Discard).
		Registry([]*federation.Definition{{ID: "src", Config: src}})
	r.answers = answertest.New(s, now)
	r.answers.TellAfter(p.ReuseInterval)
	r.codes, r.families = code.New(s, time.Minute, reuse, r.answers, now), refresh.New(s, p, r.answers, now, log)
	r.offline = refresh.NewOfflineSessions(s, p, now)
	revoked := token.NewRevocations(s, time.Hour)
	r.code = &codeGrant{
		beginner: beginner{r.families, r.offline}, codes: r.codes, connectors: connectors, revoked: revoked, events: event.Discard,
	}
	r.refresh = &refreshGrant{
		families: r.families, offline: r.offline, connectors: connectors, revoked: revoked, turns: new(Turns), log: log,
		events: event.Discard,
	}
	return r
}

func (r *replica) issue(data string) string {
	r.t.Helper()
	secret := code.NewSecret()
	err := r.codes.Issue(r.t.Context(), secret, token.Authorization{
		ClientID: "app", ConnectorID: "src", Identity: connector.Identity{UserID: "u", Data: []byte(data)},
		Scopes: []string{oauth.ScopeOfflineAccess},
	}, "http://app.test/", pkce.Challenge{})
	if err != nil {
		r.t.Fatal(err)
	}
	return secret
}

// use sends a request through a grant and returns the refresh token.
func (r *replica) use(ctx context.Context, g grant, f oauth.Form) (string, error) {
	r.t.Helper()
	granted, err := g.verify(ctx, &request{form: f, client: &client.Client{ID: "app"}})
	if err == nil && granted.ask != nil {
		err = granted.ask(ctx)
	}
	if err != nil {
		return "", err
	}
	if !r.untold {
		defer answertest.Tell(r.t, r.answers)
	}
	return granted.end(ctx)
}

func (r *replica) redeem(secret string) (string, error) {
	r.t.Helper()
	return r.use(r.t.Context(), r.code, oauth.Form{"code": {secret}, "redirect_uri": {"http://app.test/"}})
}

func (r *replica) renew(tok string) (string, error) {
	r.t.Helper()
	return r.use(r.t.Context(), r.refresh, oauth.Form{"refresh_token": {tok}})
}

// must is for what has to succeed.
func (r *replica) must(tok string, err error) string {
	r.t.Helper()
	if err != nil || tok == "" {
		r.t.Fatalf("got token %q and error %v", tok, err)
	}
	return tok
}

func (r *replica) wantRefused(what, tok string, err error) {
	r.t.Helper()
	refused, ok := errors.AsType[*oauth.Error](err)
	if tok != "" || !ok || refused.Code != oauth.InvalidGrant {
		r.t.Errorf("%s: got token %q and error %v, want invalid_grant", what, tok, err)
	}
}

func (r *replica) wantData(want string) {
	r.t.Helper()
	data, err := r.offline.Data(r.t.Context(), "u", "src")
	if err != nil || string(data) != want {
		r.t.Errorf("the connector's data is %q, error %v, want %q", data, err, want)
	}
}

// record returns the only record of a kind.
func (r *replica) record(kind string) store.Record {
	r.t.Helper()
	records, err := r.store.List(r.t.Context(), kind, store.Query{})
	if err != nil || len(records) != 1 {
		r.t.Fatalf("got %d records of the kind %s and error %v", len(records), kind, err)
	}
	return records[0]
}

// wantRevoked reports that the tokens of the only login were not revoked.
func (r *replica) wantRevoked() {
	r.t.Helper()
	if data := string(r.record("revoked").Data); !strings.Contains(data, `"all":true`) {
		r.t.Errorf("of the login is revoked: %s", data)
	}
}

// same is a source where nothing ever changes.
func same() *source {
	return &source{refresh: func() (connector.Identity, error) { return connector.Identity{UserID: "u"}, nil }}
}

// A login may be shorter than the life of its code. The code gives nothing more all the same.
func TestCodeOfALoginThatHasExpired(t *testing.T) {
	var r *replica
	s := memory.New(memory.WithClock(func() time.Time { return r.clock }))
	r = newReplica(t, s, refresh.Lifetimes{Rotate: true, AbsoluteLifetime: 10 * time.Second}, 0, same())
	secret := r.issue("")
	tok := r.must(r.redeem(secret))
	r.clock = r.clock.Add(30 * time.Second)
	again, err := r.redeem(secret)
	r.wantRefused("the code for the second time", again, err)
	again, err = r.renew(tok)
	r.wantRefused("the token that has expired", again, err)
}

// A code that comes again must not put the data of its login in the place of newer data, which others go on with.
func TestReplayedCodeLeavesTheConnectorsDataAlone(t *testing.T) {
	r := newReplica(t, memory.New(), refresh.Lifetimes{Rotate: true}, 0, &source{refresh: func() (connector.Identity, error) {
		return connector.Identity{UserID: "u", Data: []byte("third")}, nil
	}})
	first, second := r.issue("first"), r.issue("second")
	r.must(r.redeem(first))
	r.wantData("first")
	other := r.must(r.redeem(second))
	r.wantData("second")
	r.must(r.renew(other))
	for range 2 { // the second time the login has ended
		again, err := r.redeem(first)
		r.wantRefused("the code for the second time", again, err)
		r.wantData("third")
	}
}

// Who hangs up while the source answers does not lose what it gave: it may not take again what it gave before.
func TestDataOfARefreshIsKeptWhenTheClientHangsUp(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	r := newReplica(t, memory.New(), refresh.Lifetimes{Rotate: true}, 0, &source{refresh: func() (connector.Identity, error) {
		close(asked)
		<-answer
		return connector.Identity{UserID: "u", Data: []byte("new")}, nil
	}})
	tok := r.must(r.redeem(r.issue("old")))
	ctx, hangUp := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := r.use(ctx, r.refresh, oauth.Form{"refresh_token": {tok}})
		done <- err
	}()
	<-asked
	hangUp()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("after it hung up: got %v", err)
	}
	close(answer)
	// The flight of the question ends when the data is there.
	<-r.refresh.asking.DoChan(r.record("refresh").Key+"/0", func() (any, error) { return nil, nil })
	r.wantData("new")
}

// With clocks that differ by some seconds, requests at once at two replicas get the same token, or are refused without an
// end to the login.
func TestClocksThatDiffer(t *testing.T) {
	for _, interval := range []time.Duration{0, 3 * time.Second} {
		for _, ahead := range []time.Duration{-store.ClockSkew, -time.Second, time.Second, store.ClockSkew - time.Second} {
			s := memory.New()
			p := refresh.Lifetimes{Rotate: true, ReuseInterval: interval}
			here, there := newReplica(t, s, p, 0, same()), newReplica(t, s, p, 0, same())
			there.clock = here.clock.Add(ahead)
			tok := here.must(here.redeem(here.issue("")))
			next := here.must(here.renew(tok))
			again, err := there.renew(tok)
			if interval == 0 {
				there.wantRefused("the token for the second time", again, err)
			} else if again != next || err != nil {
				t.Errorf("interval %v, clock %v ahead: got %q and error %v, want the same token", interval, ahead, again, err)
			}
			here.clock, there.clock = here.clock.Add(time.Hour), there.clock.Add(time.Hour)
			there.must(there.renew(next))

			here.clock, there.clock = here.clock.Add(time.Hour), there.clock.Add(time.Hour)
			again, err = here.renew(next)
			here.wantRefused("a stolen token", again, err)
		}
	}
}

// By the clock that the token was rotated by, the reuse interval is what it says.
func TestReuseIsSeenAtOnceWhereTheTokenWasRotated(t *testing.T) {
	r := newReplica(t, memory.New(), refresh.Lifetimes{Rotate: true, ReuseInterval: time.Second}, 0, same())
	tok := r.must(r.redeem(r.issue("")))
	next := r.must(r.renew(tok))
	r.clock = r.clock.Add(time.Second + time.Millisecond)
	again, err := r.renew(tok)
	r.wantRefused("the token before", again, err)
	again, err = r.renew(next)
	r.wantRefused("the token of the login that has ended", again, err)
}

// Who repeats a code a little too late by one of the clocks, or when it has expired meanwhile, does not end the login.
func TestCodeRepeatedALittleTooLate(t *testing.T) {
	const reuse = 2 * time.Second
	for name, c := range map[string]struct {
		used, repeated time.Duration
		ends           bool
	}{
		"by another clock":         {0, reuse + store.UsualSkew, false},
		"when it has just expired": {time.Minute, time.Minute + time.Second, false},
		"far too late":             {0, reuse + store.UsualSkew + time.Second, true},
		"long after its end":       {0, time.Minute + time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReplica(t, memory.New(), refresh.Lifetimes{Rotate: true}, reuse, same())
			begin := r.clock
			secret := r.issue("")
			r.clock = begin.Add(c.used)
			tok := r.must(r.redeem(secret))
			r.clock = begin.Add(c.repeated)
			again, err := r.redeem(secret)
			r.wantRefused("the code for the second time", again, err)
			if again, err = r.renew(tok); c.ends {
				r.wantRefused("the token of the login that has ended", again, err)
			} else {
				r.must(again, err)
			}
		})
	}
}

// A code that somebody else presents, or with another redirect URI, is of no use to them.
func TestCodeOfAnotherClient(t *testing.T) {
	for _, reuse := range []time.Duration{0, 5 * time.Second} {
		s := memory.New()
		here, there := newReplica(t, s, refresh.Lifetimes{Rotate: true}, reuse, same()), newReplica(t, s, refresh.Lifetimes{Rotate: true}, reuse, same())
		secret := here.issue("")
		for _, r := range []*replica{here, there} {
			_, err := r.code.verify(t.Context(), &request{
				form: oauth.Form{"code": {secret}, "redirect_uri": {"http://app.test/"}}, client: &client.Client{ID: "thief"},
			})
			r.wantRefused("another client", "", err)
		}
		tok := there.must(there.redeem(secret)) // and that did no harm
		_, err := here.refresh.verify(t.Context(), &request{
			form: oauth.Form{"refresh_token": {tok}}, client: &client.Client{ID: "thief"},
		})
		here.wantRefused("another client's refresh token", "", err)
		here.must(here.renew(tok))

		secret = here.issue("")
		_, err = there.use(t.Context(), there.code, oauth.Form{"code": {secret}, "redirect_uri": {"http://evil.test/"}})
		there.wantRefused("another redirect URI", "", err)
		for _, r := range []*replica{here, there} { // here it is still remembered as it was
			again, err := r.redeem(secret)
			r.wantRefused("a spoiled code", again, err)
		}
	}
}
