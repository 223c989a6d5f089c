package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// start opens the start page as a person does, not a program.
func (b *browser) start() page {
	b.t.Helper()
	p := b.send(http.MethodGet, "/", nil, http.Header{"Accept": {"text/html,*/*;q=0.8"}})
	p.want(http.StatusOK, "/")
	return p
}

// answerSilently makes the provider answer silent requests with an error, or
// with a code if it is empty, and returns how many it has had.
func (f *fakeProvider) answerSilently(code string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent = code
	return f.checks
}

func (f *fakeProvider) checked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.checks
}

// startClockedApp is startApp with a clock that the returned function moves.
func startClockedApp(t *testing.T, f *fakeProvider, flags ...string) (base string, wait func(time.Duration)) {
	t.Helper()
	clock := &testClock{now: time.Now()}
	server, a := buildApp(t, f, "/callback", flags...)
	a.now = clock.time
	server.Start()
	t.Cleanup(server.Close)
	return "http://" + server.Listener.Addr().String(), clock.advance
}

func TestFirstVisitAsksSilently(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startApp(t, f))
	p := b.start()
	if got := p.text("signed-in-as"); got != "Jane Doe" {
		t.Errorf("signed in as %q, want whoever is at the provider", got)
	}
	asked, _ := f.lastRequests()
	for name, want := range map[string]string{"prompt": "none", "scope": "openid profile email", "id_token_hint": "", "code_challenge_method": "S256"} {
		if got := asked.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if got := f.checked(); got != 1 {
		t.Errorf("asked %d times", got)
	}
}

func TestStrangersSeeTheStartPage(t *testing.T) {
	f := newFakeProvider(t)
	f.answerSilently("login_required")
	base, wait := startClockedApp(t, f)
	b := newBrowser(t, base)
	for range 3 {
		if p := b.start(); p.has("signed-in-as") || p.has("signed-out") {
			t.Error(p.body)
		}
	}
	wait(31 * time.Second)
	b.start()
	if got := f.checked(); got != 2 {
		t.Errorf("asked %d times, want at the first visit and after the interval", got)
	}
}

func TestChecksFollowTheUser(t *testing.T) {
	f := newFakeProvider(t)
	base, wait := startClockedApp(t, f)
	b := newBrowser(t, base)
	idToken := b.signIn().text("id-token")

	wait(checkPause)
	b.start()
	asked, _ := f.lastRequests()
	if got := asked.Get("id_token_hint"); got != idToken || f.checked() != 1 {
		t.Errorf("asked %d times, with the hint %q", f.checked(), got)
	}
	b.start() // within the pause
	if got := f.checked(); got != 1 {
		t.Errorf("asked %d times", got)
	}

	// The claims are new, and the tokens are those of the sign-in.
	f.editClaims = func(claims map[string]any) { claims["name"], claims["sid"] = "Jane Roe", "session-2" }
	wait(checkPause)
	p := b.start()
	if p.text("signed-in-as") != "Jane Roe" || !strings.Contains(p.body, "session-2") || !strings.Contains(p.body, "held") {
		t.Error(p.body)
	}
	if got := b.get("/tokens").text("id-token"); got != idToken {
		t.Error("the result of the sign-in is gone")
	}
	b.post("/refresh", nil).want(http.StatusOK, "/tokens") // whose ID token has the nonce of the sign-in

	f.answerSilently("login_required")
	wait(checkPause)
	p = b.start()
	if p.has("signed-in-as") || !strings.Contains(p.text("signed-out"), "no longer signed in at the provider") {
		t.Error(p.body)
	}
	b.get("/tokens").want(http.StatusOK, "/") // nothing is left
}

func TestAnswersThatSayNothing(t *testing.T) {
	for _, code := range []string{"server_error", "temporarily_unavailable", "consent_required"} {
		t.Run(code, func(t *testing.T) {
			f := newFakeProvider(t)
			f.answerSilently(code)
			b := newBrowser(t, startApp(t, f))
			b.signIn()
			if p := b.start(); !p.has("signed-in-as") || f.checked() != 1 {
				t.Errorf("%d checks have signed the user out", f.checked())
			}
		})
	}
}

func TestCheckIsAboutTheSameUser(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startApp(t, f))
	b.signIn()
	f.editClaims = func(claims map[string]any) { claims["sub"] = "john" }
	if p := b.start(); p.has("signed-in-as") || !p.has("signed-out") {
		t.Error("somebody else's answer keeps the user signed in")
	}
}

func TestNoChecks(t *testing.T) {
	without := func(document map[string]any) { delete(document, "end_session_endpoint") }
	tests := map[string]struct {
		discovery func(map[string]any)
		flags     []string
	}{
		"no sessions":    {discovery: without},
		"no prompt=none": {discovery: func(document map[string]any) { document["prompt_values_supported"] = []string{"login"} }},
		"switched off":   {flags: []string{"--session-check-interval", "0"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFakeProvider(t)
			f.editDiscovery = tt.discovery
			f.answerSilently("login_required")
			b := newBrowser(t, startApp(t, f, tt.flags...))
			b.start()
			b.signIn()
			if p := b.start(); !p.has("signed-in-as") || f.checked() != 0 {
				t.Errorf("asked %d times", f.checked())
			}
		})
	}
}

func TestSlowAnswersDontGoInCircles(t *testing.T) {
	f := newFakeProvider(t)
	base, wait := startClockedApp(t, f)
	f.editResponse = func(url.Values) { wait(time.Minute) }
	b := newBrowser(t, base)
	b.start()
	b.start()
	if got := f.checked(); got > 2 {
		t.Errorf("asked %d times for two pages", got)
	}
	// A browser without cookies ends at an error page.
	nobody := newBrowser(t, base)
	nobody.client.Jar = nil
	nobody.send(http.MethodGet, "/", nil, http.Header{"Accept": {"text/html"}}).wantError(http.StatusBadRequest, "state")
}

func TestChecksSpareDevices(t *testing.T) {
	f := withDevices(t, "")
	f.answerSilently("login_required")
	base, wait := startClockedApp(t, f)
	b := newBrowser(t, base)
	b.beginDevice()
	b.get("/grant/device/wait").want(http.StatusOK, "/tokens")
	b.post("/refresh", nil).want(http.StatusOK, "/tokens")
	wait(time.Minute)
	if p := b.start(); !p.has("signed-in-as") || f.checked() != 0 {
		t.Errorf("after %d checks the device is signed out", f.checked())
	}
}

func TestSignOutIsNotUndone(t *testing.T) {
	f := newFakeProvider(t)
	base, wait := startClockedApp(t, f)
	b := newBrowser(t, base)
	b.signIn()
	client := *b.client
	b.stopAtRedirects()
	b.get("/logout")
	*b.client = client
	if p := b.start(); p.has("signed-in-as") {
		t.Error("signed in again at once")
	}
	wait(31 * time.Second)
	if p := b.start(); !p.has("signed-in-as") {
		t.Error("the provider is never asked again")
	}
}

func TestExpiredTokensAreRefreshed(t *testing.T) {
	f := newFakeProvider(t)
	base, wait := startClockedApp(t, f)
	b := newBrowser(t, base)
	first := b.signIn().text("access-token")
	wait(2 * time.Hour)
	b.start()
	p := b.get("/tokens")
	if got := p.text("access-token"); got == first || got == "" {
		t.Errorf("access token %q", got)
	}
	if p := b.start(); !p.has("signed-in-as") {
		t.Fatal("signed out")
	}

	f.token = func(w http.ResponseWriter, _ *http.Request) {
		writeOAuthError(w, "invalid_grant", "the session has ended")
	}
	wait(2 * time.Hour)
	if p := b.start(); p.has("signed-in-as") || !strings.Contains(p.text("signed-out"), "no longer renews") {
		t.Error(p.body)
	}
}

func TestCheckRotatesTheSession(t *testing.T) {
	b := newBrowser(t, startApp(t, newFakeProvider(t)))
	b.stopAtRedirects()
	p := b.send(http.MethodGet, "/", nil, http.Header{"Accept": {"text/html"}})
	before, err := http.ParseSetCookie(p.header.Get("Set-Cookie"))
	if err != nil || p.status != http.StatusSeeOther {
		t.Fatalf("got %d: %v", p.status, err)
	}
	b.client.CheckRedirect = nil
	if p := b.get(strings.TrimPrefix(follow(t, p.header.Get("Location")), b.base)); !p.has("signed-in-as") {
		t.Fatal("not signed in")
	}
	thief := newBrowser(t, b.base).send(http.MethodGet, "/", nil, http.Header{"Cookie": {sessionCookie + "=" + before.Value}})
	if thief.has("signed-in-as") {
		t.Error("the key from before the sign-in opens the session")
	}
}
