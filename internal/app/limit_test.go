package app_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/store"
)

// at returns the server as it is reached from an address.
func (s *server) at(address string) *server {
	return &server{t: s.t, handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = address + ":1234"
		s.handler.ServeHTTP(w, r)
	})}
}

// wantTooMany ends the test unless the answer is that there were too many tries, and says how long to wait.
func (a answer) wantTooMany(seconds string) answer {
	a.t.Helper()
	a.wantStatus(http.StatusTooManyRequests)
	if got := a.header.Get("Retry-After"); got != seconds {
		a.t.Errorf("Retry-After is %q, want %s", got, seconds)
	}
	return a
}

const (
	home  = "198.51.100.7"
	guest = "203.0.113.9"
)

func TestDepartureLimits(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"D-972 passwords of one user":      testPasswordsOfOneUser,
		"D-972 a known browser":            testKnownBrowser,
		"D-972 one password for all users": testOnePasswordForAll,
		"D-972 password grant":             testPasswordGrantLimit,
		"D-972 secrets of clients":         testSecretLimit,
		"D-972 generated secrets":          testGeneratedSecrets,
		"D-972 unknown clients":            testUnknownClients,
		"D-972 who is behind a proxy":      testLimitBehindProxy,
		"D-829 user codes":                 testUserCodeLimit,
		"B-38 device requests":             testDeviceRequestLimit,
		"B-38 logins under way":            testLoginsUnderWayAreNotStored,
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}

// guess sends a password form once more and returns the answer.
func (b *browser) guess(form, login, password string) answer {
	b.t.Helper()
	return b.post(form, url.Values{"login": {login}, "password": {password}})
}

func testPasswordsOfOneUser(t *testing.T) {
	s := start(t, "")
	here, there := s.at(home).browser(), s.at(guest).browser()
	form, formThere := here.passwordForm(), there.passwordForm()
	for range 10 {
		here.guess(form, "admin@example.com", "wrong").wantStatus(http.StatusUnauthorized)
	}
	for _, c := range []struct{ name, password string }{
		{"admin@example.com", "wrong"}, {"Admin@Example.com ", "password"},
	} {
		a := here.guess(form, c.name, c.password).wantTooMany("10")
		for _, want := range []string{"Too many failed attempts. Wait 10 seconds, then try again.", `name="password"`, c.name} {
			if !strings.Contains(a.body, want) {
				t.Errorf("the form lacks %q:\n%s", want, a.body)
			}
		}
	}
	here.guess(form, "nobody@example.com", "wrong").wantStatus(http.StatusUnauthorized)
	there.guess(formThere, "admin@example.com", "password").wantStatus(http.StatusSeeOther)
	time.Sleep(10 * time.Second)
	here.guess(form, "admin@example.com", "password").wantStatus(http.StatusSeeOther)
	here = s.at(home).browser() // the other one is known to the user now
	form = here.passwordForm()
	here.guess(form, "admin@example.com", "wrong").wantStatus(http.StatusUnauthorized)
	here.guess(form, "admin@example.com", "password").wantTooMany("20") // the wait doubles
}

// Whatever strangers do, owners get in from a browser in which they have signed in before, and from there nobody guesses more often
// than from an address.
func testKnownBrowser(t *testing.T) {
	s := start(t, "")
	const owner = "admin@example.com"
	known, stranger := s.at(home).browser(), s.at(home).browser()
	known.guess(known.passwordForm(), owner, "password").wantStatus(http.StatusSeeOther)

	exhaust := func() {
		t.Helper()
		form, other := stranger.passwordForm(), stranger.otherForm()
		for range 10 {
			stranger.guess(form, owner, "wrong")
		}
		for i := range 110 {
			stranger.guess(other, fmt.Sprint("user", i), "wrong")
		}
		for _, name := range []string{owner, "nobody@example.com"} {
			stranger.guess(form, name, "password").wantStatus(http.StatusTooManyRequests)
		}
	}
	exhaust()
	began := time.Now()
	form := known.passwordForm()
	for _, name := range []string{"ADMIN@example.com", owner} {
		known.guess(form, name, "password").wantStatus(http.StatusSeeOther)
		form = known.passwordForm()
	}
	if time.Since(began) != 0 {
		t.Errorf("the owner waited %v", time.Since(began))
	}
	// It is bound to its user, and to what we have sealed.
	known.guess(form, "nobody@example.com", "password").wantStatus(http.StatusTooManyRequests)
	at := &url.URL{Scheme: "http", Host: "dex.test", Path: "/dex/auth"}
	good := ""
	for _, c := range known.jar.Cookies(at) {
		if c.Name == "dex_known" {
			good = c.Value
		}
	}
	for _, forged := range []string{"", "x", good[:len(good)-8], good[:len(good)-4] + "AAAA", strings.Repeat("A", len(good))} {
		b := s.at(home).browser()
		b.jar.SetCookies(at, []*http.Cookie{{Name: "dex_known", Value: forged, Path: "/dex"}})
		b.guess(b.passwordForm(), owner, "password").wantStatus(http.StatusTooManyRequests)
	}
	// A stolen one gets as many guesses as an address, wherever it is used, and signing in gives no others.
	thief := s.at(guest).browser()
	thief.jar.SetCookies(at, []*http.Cookie{{Name: "dex_known", Value: good, Path: "/dex"}})
	formThere := thief.passwordForm()
	for i := range 10 {
		b, at := known, form
		if i%2 == 0 {
			b, at = thief, formThere
		}
		b.guess(at, owner, "wrong").wantStatus(http.StatusUnauthorized)
	}
	thief.guess(formThere, owner, "password").wantTooMany("10")
	known.guess(form, owner, "password").wantTooMany("10")
	time.Sleep(10 * time.Second)
	known.guess(form, owner, "password").wantStatus(http.StatusSeeOther)
	known.guess(known.passwordForm(), owner, "wrong").wantStatus(http.StatusUnauthorized)
	known.guess(known.passwordForm(), owner, "password").wantTooMany("20")
	// It ends.
	time.Sleep(180 * 24 * time.Hour)
	exhaust()
	known.guess(known.passwordForm(), owner, "password").wantStatus(http.StatusTooManyRequests)
}

// otherForm begins a login with the mock that knows one password.
func (b *browser) otherForm() string {
	b.t.Helper()
	return b.visit(authPath("connector_id", "odd id/%")).wantStatus(http.StatusFound).path()
}

func testOnePasswordForAll(t *testing.T) {
	s := start(t, "")
	here, there := s.at(home).browser(), s.at(guest).browser()
	form, formThere := here.otherForm(), there.otherForm()
	for i := range 100 {
		here.guess(form, fmt.Sprint("user", i), "Winter2025!").wantStatus(http.StatusUnauthorized)
	}
	here.guess(form, "u", "p").wantTooMany("1")
	there.guess(formThere, "u", "p").wantStatus(http.StatusSeeOther)
	time.Sleep(time.Second)
	here.guess(form, "u", "p").wantStatus(http.StatusSeeOther)
}

func testPasswordGrantLimit(t *testing.T) {
	s := start(t, "oauth2: {passwordConnector: 'odd id/%'}\n")
	grant := func(address, password string) answer {
		return s.at(address).token(form("grant_type", "password", "username", "u", "password", password, "scope", "openid"))
	}
	for range 30 {
		grant(home, "p").wantStatus(http.StatusOK)
	}
	for range 10 {
		grant(home, "wrong").wantError(http.StatusBadRequest, "invalid_grant")
	}
	grant(home, "p").wantTooMany("10").wantError(http.StatusTooManyRequests, "temporarily_unavailable")
	grant(guest, "p").wantStatus(http.StatusOK)
	b := s.at(home).browser() // the form asks the same source
	b.guess(b.otherForm(), "u", "p").wantTooMany("10")
	time.Sleep(10 * time.Second)
	grant(home, "p").wantStatus(http.StatusOK)
}

// asClient authenticates a client that has nothing to redeem, so that invalid_grant says that its secret is right.
func (s *server) asClient(id, secret string) answer {
	s.t.Helper()
	return s.token(codeForm("x"), func(r *http.Request) {
		if secret != "" || id != "cli" {
			r.SetBasicAuth(id, url.QueryEscape(secret))
			return
		}
		*r = *httptest.NewRequest(http.MethodPost, r.URL.String(), strings.NewReader(codeForm("x", "client_id", id).Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = home
	})
}

func testSecretLimit(t *testing.T) {
	s := start(t, "")
	here, there := s.at(home), s.at(guest)
	for range 200 {
		here.asClient("app", "app-secret").wantError(http.StatusBadRequest, "invalid_grant")
		here.asClient("app", "").wantError(http.StatusUnauthorized, "invalid_client") // guesses nothing
	}
	for range 100 {
		here.asClient("app", "wrong").wantError(http.StatusUnauthorized, "invalid_client")
	}
	for _, secret := range []string{"wrong", "app-secret"} {
		here.asClient("app", secret).wantTooMany("1").wantError(http.StatusTooManyRequests, "temporarily_unavailable")
	}
	here.asClient("other", "o+%ther secret").wantError(http.StatusBadRequest, "invalid_grant")
	there.asClient("app", "app-secret").wantError(http.StatusBadRequest, "invalid_grant")
	time.Sleep(time.Second)
	here.asClient("app", "app-secret").wantError(http.StatusBadRequest, "invalid_grant")
	for range 150 { // nobody can lock out a client without a secret
		here.asClient("cli", "x").wantError(http.StatusUnauthorized, "invalid_client")
	}
	here.asClient("cli", "").wantError(http.StatusBadRequest, "invalid_grant")
}

func testGeneratedSecrets(t *testing.T) {
	const long, short = "0123456789abcdef0123456789abcdef", "0123456789abcdef"
	s := startWith(t, strings.Replace(configuration, "staticClients:\n", fmt.Sprintf(`staticClients:
- {id: long, secret: %[1]s, name: Long, redirectURIs: ["https://app.test/callback"]}
- {id: changing, secret: %[1]s, previousSecret: %[2]s, name: Changing, redirectURIs: ["https://app.test/callback"]}
`, long, short), 1)).at(home)
	for _, id := range []string{"long", "changing"} {
		for range 100 {
			s.asClient(id, "wrong").wantError(http.StatusUnauthorized, "invalid_client")
		}
		s.asClient(id, "wrong").wantTooMany("1")
	}
	s.asClient("long", long).wantError(http.StatusBadRequest, "invalid_grant") // is not locked out by strangers
	s.asClient("changing", long).wantTooMany("1")
	s.asClient("changing", short).wantTooMany("1")
}

func testUnknownClients(t *testing.T) {
	s := start(t, "")
	here := s.at(home)
	for i := range 100 {
		here.asClient(fmt.Sprint("nobody", i), "x").wantError(http.StatusUnauthorized, "invalid_client")
	}
	here.asClient("nobody", "x").wantTooMany("1").wantError(http.StatusTooManyRequests, "temporarily_unavailable")
	here.asClient("app", "app-secret").wantError(http.StatusBadRequest, "invalid_grant")
	s.at(guest).asClient("nobody", "x").wantError(http.StatusUnauthorized, "invalid_client")
}

func testLimitBehindProxy(t *testing.T) {
	const web = "web: {http: 127.0.0.1:0"
	s := startWith(t, strings.Replace(configuration, web,
		web+", clientRemoteIP: {header: X-Forwarded-For, trustedProxies: [10.0.0.0/8]}", 1))
	via := func(proxy, forwarded, secret string) answer {
		return s.at(proxy).token(codeForm("x"), func(r *http.Request) {
			r.Header.Set("X-Forwarded-For", forwarded)
			r.SetBasicAuth("app", secret)
		})
	}
	for i := range 100 {
		via("10.0.0.1", fmt.Sprintf("192.0.2.%d, %s", i, home), "wrong").wantStatus(http.StatusUnauthorized)
		via(guest, fmt.Sprintf("192.0.2.%d", i), "wrong").wantStatus(http.StatusUnauthorized)
	}
	via("10.0.0.2", home, "app-secret").wantTooMany("1")
	via("10.0.0.2", "192.0.2.1", "app-secret").wantError(http.StatusBadRequest, "invalid_grant")
	via(guest, "192.0.2.1", "app-secret").wantTooMany("1") // is no proxy, whatever it says
}

// deviceCode asks for a code for a device.
func (s *server) deviceCode(edit func(*http.Request), pairs ...string) answer {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://dex.test/dex/device/code", strings.NewReader(form(pairs...).Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	edit(r)
	return s.do(r)
}

func testUserCodeLimit(t *testing.T) {
	s := start(t, "")
	right := s.deviceCode(noCredentials, "client_id", "cli").wantStatus(http.StatusOK).text("user_code")
	enter := func(address, code string) answer {
		return s.at(address).browser().post("/dex/device/auth/verify_code", form("user_code", code))
	}
	for range 20 { // a right one costs nothing
		enter(home, right).wantStatus(http.StatusOK)
	}
	for i := range 10 {
		if i%2 == 0 {
			enter(home, fmt.Sprintf("BCDF-GH%c%c", "BCDFGHJKLM"[i], "BCDFGHJKLM"[i])).wantStatus(http.StatusBadRequest)
		} else { // the page at the end must not tell more than the form
			s.at(home).get("/dex/device/callback?state=BBBB-BBBB").wantStatus(http.StatusBadRequest)
		}
	}
	a := enter(home, right).wantTooMany("6")
	for _, want := range []string{"Wait 6 seconds, then try again.", `name="user_code"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the form lacks %q:\n%s", want, a.body)
		}
	}
	s.at(home).get("/dex/device/callback?state=" + right).wantTooMany("6")
	enter(guest, right).wantStatus(http.StatusOK)
	time.Sleep(6 * time.Second)
	enter(home, right).wantStatus(http.StatusOK)
}

func testDeviceRequestLimit(t *testing.T) {
	s := start(t, "")
	ask := func(address string) answer { return s.at(address).deviceCode(noCredentials, "client_id", "cli") }
	for range 60 {
		ask(home).wantStatus(http.StatusOK)
	}
	ask(home).wantTooMany("1").wantError(http.StatusTooManyRequests, "temporarily_unavailable")
	ask(guest).wantStatus(http.StatusOK)
	for range 70 { // a server with a secret may ask for many devices
		s.at(home).deviceCode(func(r *http.Request) { r.SetBasicAuth("app", "app-secret") }).wantStatus(http.StatusOK)
	}
	time.Sleep(time.Second)
	ask(home).wantStatus(http.StatusOK)
	ask(home).wantTooMany("1")
}

// creations counts the records that are made.
type creations struct {
	store.Store
	n atomic.Int32
}

func (c *creations) Create(ctx context.Context, r store.Record) (string, error) {
	c.n.Add(1)
	return c.Store.Create(ctx, r)
}

// A stranger who begins logins costs no record, which is why nothing limits them.
func testLoginsUnderWayAreNotStored(t *testing.T) {
	var kept *creations
	s := startOn(t, configuration, func(inner store.Store) store.Store {
		kept = &creations{Store: inner}
		return kept
	})
	before := kept.n.Load()
	for range 100 {
		s.get("/dex/auth/local?" + request().Encode()).wantStatus(http.StatusFound)
		s.get("/dex/auth/mock?" + request().Encode()).wantStatus(http.StatusFound)
	}
	if after := kept.n.Load(); after != before {
		t.Errorf("%d records were made", after-before)
	}
	s.code()
	if kept.n.Load() == before {
		t.Error("no login makes a record, so the test tells nothing")
	}
}
