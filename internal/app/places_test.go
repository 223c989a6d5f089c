package app_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/connector"
)

// A hangingCrowd is a crowd whose directory never answers about names that begin with "slow", and panics at "panic".
type hangingCrowd struct{ crowd }

func (c *hangingCrowd) Open(context.Context, connector.Env) (any, error) {
	return hangingHere{crowdHere{crowdKnown{&c.crowd}}}, nil
}

type hangingHere struct{ crowdHere }

func (c hangingHere) Login(ctx context.Context, s connector.Scopes, name, word string) (connector.Identity, bool, error) {
	if name == "panic" {
		panic("the directory's client is broken")
	}
	if strings.HasPrefix(name, "slow") {
		<-ctx.Done()
		return connector.Identity{}, false, context.Cause(ctx)
	}
	return c.crowdHere.Login(ctx, s, name, word)
}

func startHanging(t *testing.T) *crowded {
	t.Helper()
	return openSources(t, strings.Replace(fmt.Sprintf(inCrowd, "otp"), "oauth2: {", "oauth2: {passwordConnector: crowd, ", 1), nil, map[string]connector.Config{"crowd": &hangingCrowd{}, "abroad": &crowd{trips: true}})
}

// A jam is many logins at once that a directory never answers.
type jam struct {
	group sync.WaitGroup
	mu    sync.Mutex
	ended []answer
	leave context.CancelFunc // all browsers hang up
}

// jammed sends so many logins, each from the address that from says, and returns once all have been answered or wait.
func (s *crowded) jammed(logins int, from func(i int) string) *jam {
	s.t.Helper()
	b := s.browser()
	form := b.visit(to("till", "connector_id", "crowd")).wantStatus(http.StatusFound).path()
	ctx, leave := context.WithCancel(s.t.Context())
	j := &jam{leave: leave}
	patient := &server{t: s.t, handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r.WithContext(ctx)) })}
	for i := range logins {
		one := &browser{patient.at(from(i)), b.copyOf().jar}
		j.group.Go(func() {
			a := one.guess(form, fmt.Sprint("slow", i), "p")
			j.mu.Lock()
			defer j.mu.Unlock()
			j.ended = append(j.ended, a)
		})
	}
	synctest.Wait()
	return j
}

// wantRefused wants so many answers so far, all of which say that there were too many.
func (j *jam) wantRefused(t *testing.T, least, most int) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.ended); n < least || n > most {
		t.Errorf("%d were refused, want %d to %d", n, least, most)
	}
	for _, a := range j.ended {
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "5" || !strings.Contains(a.header.Get("Content-Type"), "text/html") {
			t.Fatalf("refused by %d %v", a.status, a.header)
		}
	}
}

// wantServed wants people and applications at an address to be served at once.
func (s *crowded) wantServed(address, name, refresh string) (next string) {
	s.t.Helper()
	began := time.Now()
	here := s.at(address)
	next = here.token(refreshForm(refresh), asTill).wantStatus(http.StatusOK).text("refresh_token")
	for _, path := range []string{"/keys", "/.well-known/openid-configuration", "/healthz", "/robots.txt"} {
		here.get("/dex" + path).wantStatus(http.StatusOK)
	}
	if name != "" {
		here.browser().enter("till", name).wantStatus(http.StatusSeeOther)
	}
	if took := time.Since(began); took > 0 {
		s.t.Errorf("they were served after %s", took)
	}
	return next
}

func asTill(r *http.Request) { r.SetBasicAuth("till", "till-secret") }

func (s *crowded) refreshToken(address, name string) string {
	s.t.Helper()
	code := s.at(address).browser().enter("till", name).appCode()
	return s.at(address).token(codeForm(code, "redirect_uri", "https://till.test/cb"), asTill).wantStatus(http.StatusOK).text("refresh_token")
}

func TestJamOfLogins(t *testing.T) {
	network := func(int) string { return guest }
	for name, test := range map[string]func(*testing.T, *crowded){
		"one network": func(t *testing.T, s *crowded) {
			token := s.refreshToken(home, "ann")
			for range 2 { // the second one finds all places again
				began := time.Now()
				j := s.jammed(2000, network)
				j.wantRefused(t, 2000-512-512, 2000-512-512)
				token = s.wantServed(home, "bob", token)
				token = s.wantServed(guest, "", token)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				j.wantRefused(t, 2000-512, 2000-512)
				j.group.Wait()
				j.leave()
				if held := time.Since(began); held > 55*time.Second {
					t.Errorf("places were held for %s", held)
				}
			}
			if n := strings.Count(s.log.take(), "too many are being served at once"); n < 1 || n > 4 {
				t.Errorf("the log says it %d times", n)
			}
		},
		"many networks": func(t *testing.T, s *crowded) {
			token := s.refreshToken(home, "ann")
			j := s.jammed(2000, func(i int) string { return fmt.Sprintf("192.0.2.%d", i%100) })
			token = s.wantServed(home, "bob", token)
			time.Sleep(5 * time.Second)
			synctest.Wait()
			token = s.wantServed(home, "bob", token)
			j.leave()
			j.group.Wait()
			s.wantServed(guest, "eve", token)
		},
		"more networks than places": func(t *testing.T, s *crowded) {
			token := s.refreshToken(home, "ann")
			all := func(i int) string { return fmt.Sprintf("2001:db8:%x::1", i) }
			j := s.jammed(1024, all)
			s.wantServed(home, "", token)
			var bob answer
			j.group.Go(func() { bob = s.at(home).get(to("till")) })
			synctest.Wait()
			if bob.status != 0 {
				t.Fatalf("served by %d beyond the bound", bob.status)
			}
			j.leave()
			j.group.Wait()
			bob.wantStatus(http.StatusOK)
		},
		"browsers that hang up": func(t *testing.T, s *crowded) {
			for range 3 {
				j := s.jammed(1500, network)
				j.wantRefused(t, 1500-512-512, 1500-512-512)
				j.leave()
				j.group.Wait()
			}
			s.at(guest).browser().enter("till", "bob").wantStatus(http.StatusSeeOther)
		},
		"panics": func(t *testing.T, s *crowded) {
			b := s.at(guest).browser()
			form := b.visit(to("till", "connector_id", "crowd")).wantStatus(http.StatusFound).path()
			for range 600 {
				b.guess(form, "panic", "p").wantStatus(http.StatusInternalServerError)
			}
			b.guess(form, "bob", "p").wantStatus(http.StatusSeeOther)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, startHanging(t)) })
		})
	}
}

// Applications are refused as JSON, and only because of requests of applications from the same network.
func TestJamOfApplications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startHanging(t)
		token := s.refreshToken(home, "ann")
		ctx, leave := context.WithCancel(t.Context())
		var group sync.WaitGroup
		var mu sync.Mutex
		var refused []answer
		form := url.Values{"grant_type": {"password"}, "scope": {"openid"}, "password": {"p"}}
		for i := range 1100 {
			mine := url.Values{"username": {fmt.Sprint("slow", i)}}
			for k, v := range form {
				mine[k] = v
			}
			group.Go(func() {
				a := s.at(guest).token(mine, asTill, func(r *http.Request) { *r = *r.WithContext(ctx) })
				if ctx.Err() == nil {
					mu.Lock()
					defer mu.Unlock()
					refused = append(refused, a)
				}
			})
		}
		synctest.Wait()
		if len(refused) != 1100-512-512 {
			t.Errorf("%d were refused", len(refused))
		}
		for _, a := range refused {
			a.wantError(http.StatusServiceUnavailable, "temporarily_unavailable")
			if a.header.Get("Retry-After") != "5" {
				t.Fatalf("refused by %v", a.header)
			}
		}
		s.wantServed(home, "bob", token)
		s.at(guest).get(to("till")).wantStatus(http.StatusOK)
		leave()
		group.Wait()
	})
}
