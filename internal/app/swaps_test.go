package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dex/internal/app"
)

// swaps is how often the configuration is replaced.
const swaps = 1000

// An edition is one of the configurations that replace each other in turn.
type edition struct {
	plan  *app.Plan
	title string // of its pages
}

const swapped = `
issuer: http://dex.test/dex
storage: {type: memory}
web: {http: 127.0.0.1:0%s}
signer: {type: local, config: {algorithm: ES256}}
expiry: {idTokens: %dm, authRequests: %dm, refreshTokens: {reuseInterval: %ds}}
frontend: {issuer: %s}
connectors:
- {type: mockCallback, id: mock, name: %s}
- {type: mockPassword, id: "odd id/%%", name: Other, config: {username: u, password: p}}
staticClients:
- {id: app, secret: app-secret, name: App, redirectURIs: ["https://app.test/callback"]}
- {id: cli, public: true, name: Command line}
%s`

// editionsInTurn returns configurations that differ from those next to them in some of clients, a connector, lifetimes, headers
// and pages.
func editionsInTurn(t *testing.T, sources []*tally) []edition {
	t.Helper()
	all := []struct {
		source            int
		headers           string
		minutes, reuse    int
		title, mock, more string
	}{
		{0, "", 60, 30, "First", "Example", ""},
		{0, "", 30, 30, "First", "Example", `- {id: more, secret: s, name: More, redirectURIs: ["https://more.test/callback"]}`},
		{1, ", headers: {X-Frame-Options: SAMEORIGIN}", 30, 60, "First", "Example", ""},
		{1, ", allowedOrigins: ['*']", 120, 60, "Second", "Renamed", ""},
		{2, "", 120, 30, "Second", "Renamed", `- {id: more, secret: other, name: More, redirectURIs: ["https://more.test/callback"]}`},
	}
	editions := make([]edition, 0, len(all))
	for _, e := range all {
		yaml := fmt.Sprintf(swapped, e.headers, e.minutes, 10*e.minutes, e.reuse, e.title, e.mock, e.more)
		editions = append(editions, edition{planWith(t, yaml, sources[e.source].again()), e.title})
	}
	return editions
}

// eachFromItsOwnAddress gives each request the address of somebody else, so that no limit is met.
func eachFromItsOwnAddress(next http.Handler) http.Handler {
	var requests atomic.Uint32
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := requests.Add(1)
		r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1234", n>>16&0xff, n>>8&0xff, n&0xff)
		next.ServeHTTP(w, r)
	})
}

// busy is what goes on while configurations are replaced. Each function prepares for it and returns one round of it.
var busy = map[string]func(s *server) func(){
	"password and userinfo": func(s *server) func() {
		return func() {
			b := s.browser()
			consent := b.post(b.odd(), url.Values{"login": {"u"}, "password": {"p"}}).wantStatus(http.StatusSeeOther).path()
			code := b.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther).location().Query().Get("code")
			got := s.token(codeForm(code)).wantStatus(http.StatusOK)
			s.bearer(got.text("access_token")).wantStatus(http.StatusOK)
			s.token(refreshForm(got.text("refresh_token"))).wantStatus(http.StatusOK)
		}
	},
	"callback and consent": func(s *server) func() {
		return func() { // without refresh tokens, of which a user has only so many
			s.token(codeForm(s.code("scope", "openid groups"))).wantStatus(http.StatusOK)
		}
	},
	"refreshes": func(s *server) func() {
		last := s.tokens().text("refresh_token")
		return func() {
			last = s.token(refreshForm(last)).wantStatus(http.StatusOK).text("refresh_token")
		}
	},
	"devices": func(s *server) func() {
		return func() {
			begun := s.postForm("/dex/device/code", form("scope", "openid offline_access", "client_id", "cli"), noCredentials).
				wantStatus(http.StatusOK)
			b := s.browser()
			b.viaMock(b.typeCode(begun.text("user_code"), "continue")).wantStatus(http.StatusOK)
			poll := pollForm(begun.text("device_code"), "client_id", "cli")
			s.postForm("/dex/token", poll, noCredentials).wantStatus(http.StatusOK)
		}
	},
	"a token of the start": func(s *server) func() {
		token := s.tokens().text("access_token")
		return func() {
			s.bearer(token).wantStatus(http.StatusOK)
			s.get("/dex/keys").wantStatus(http.StatusOK)
			s.get("/dex/healthz").wantStatus(http.StatusOK)
		}
	},
}

// The configuration is replaced a thousand times while people sign in and applications use their tokens: none of that fails,
// nothing is left open, and the last configuration is in force.
func TestAThousandConfigurations(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	sources := []*tally{newTally(0), newTally(1), newTally(2)}
	editions := editionsInTurn(t, sources)
	core := openPlan(t, editions[0].plan)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { core.RunWithoutListeners(ctx) })
	s := &server{t: t, handler: eachFromItsOwnAddress(core.Handler())}

	b := keepBusy(s)
	for i := 0; !b.over.Load() && (i < swaps || !b.enough()); i++ {
		if err := core.Apply(ctx, editions[i%len(editions)].plan); err != nil {
			t.Error(err)
		}
	}
	last := editionsInTurn(t, sources)[4]
	if err := core.Apply(ctx, last.plan); err != nil {
		t.Error(err)
	}
	b.stop()
	wantInForce(t, s, last)

	stop()
	running.Wait()
	if err := core.Close(); err != nil {
		t.Error(err)
	}
	for _, source := range sources {
		opened, closed := source.counter.opened.Load(), source.counter.closed.Load()
		if opened == 0 || opened != closed {
			t.Errorf("version %d was opened %d times and closed %d times", source.Version, opened, closed)
		}
	}
	goleak.VerifyNone(t, leaks)
}

// business is what goes on, and how many rounds of it there were.
type business struct {
	over    atomic.Bool
	working sync.WaitGroup
	rounds  map[string]*atomic.Int64
}

// keepBusy repeats everything until it is stopped, or until something fails.
func keepBusy(s *server) *business {
	b := &business{rounds: make(map[string]*atomic.Int64, len(busy))}
	for name, prepare := range busy {
		rounds := new(atomic.Int64)
		b.rounds[name] = rounds
		b.working.Go(func() {
			defer func() {
				if s.t.Failed() {
					b.over.Store(true)
				}
			}()
			for round := prepare(s); !b.over.Load(); rounds.Add(1) {
				round()
				time.Sleep(50 * time.Millisecond) // the configurations need the processor too
			}
		})
	}
	return b
}

// enough reports whether everything has gone on for some rounds.
func (b *business) enough() bool {
	for _, rounds := range b.rounds {
		if rounds.Load() < 5 {
			return false
		}
	}
	return true
}

// stop waits until everything has ended.
func (b *business) stop() {
	b.over.Store(true)
	b.working.Wait()
}

// openPlan returns a server that does not run yet, and that the test has to close.
func openPlan(t testing.TB, plan *app.Plan) *app.Core {
	t.Helper()
	core, err := app.New(t.Context(), plan, app.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return core
}

// wantInForce checks that a configuration with the client more is the one in force.
func wantInForce(t *testing.T, s *server, e edition) {
	t.Helper()
	more := []string{"client_id", "more", "redirect_uri", "https://more.test/callback"}
	if page := s.get(authPath(more...)).wantStatus(http.StatusOK); !strings.Contains(page.body, e.title) {
		t.Errorf("the page is not that of the last configuration:\n%s", page.body)
	}
	code := s.code(more...)
	redeem := codeForm(code, "redirect_uri", "https://more.test/callback")
	withSecret := func(secret string) answer {
		return s.token(redeem, func(r *http.Request) { r.SetBasicAuth("more", secret) })
	}
	withSecret("s").wantError(http.StatusUnauthorized, "invalid_client") // that of another configuration
	if got := withSecret("other").wantStatus(http.StatusOK); got.json()["expires_in"] != 7200.0 {
		t.Errorf("tokens live %v s, want 7200", got.json()["expires_in"])
	}
}
