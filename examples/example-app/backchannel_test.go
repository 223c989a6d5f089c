package main

import (
	"bufio"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// logoutToken returns a logout token about the fake provider's session, with
// changed claims; nil removes one.
func (f *fakeProvider) logoutToken(edits map[string]any) string {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	claims := map[string]any{
		"iss": f.issuer(), "aud": testClient, "sub": "CgVqYW5lEgRtb2Nr", "sid": "session-1",
		"iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": f.next("logout"),
		"events": map[string]any{logoutEvent: map[string]any{}},
	}
	maps.Copy(claims, edits)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return f.sign(claims)
}

// tell sends a logout token as a provider does, without cookies.
func tell(t *testing.T, base, token string) page {
	t.Helper()
	return newBrowser(t, base).post("/backchannel-logout", url.Values{"logout_token": {token}})
}

func TestBackchannelLogout(t *testing.T) {
	tests := map[string]struct {
		edits map[string]any
		stays bool
	}{
		"session and subject":    {},
		"session":                {edits: map[string]any{"sub": nil}},
		"subject":                {edits: map[string]any{"sid": nil}},
		"another session":        {edits: map[string]any{"sid": "session-2"}, stays: true},
		"another subject":        {edits: map[string]any{"sid": nil, "sub": "john"}, stays: true},
		"one of several clients": {edits: map[string]any{"aud": []string{"another", testClient}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFakeProvider(t)
			b := newBrowser(t, startApp(t, f))
			b.signIn()
			p := tell(t, b.base, f.logoutToken(tt.edits))
			if p.status != http.StatusOK || p.body != "" || p.header.Get("Cache-Control") != "no-store" || p.header.Get("Set-Cookie") != "" {
				t.Errorf("got %d %q, headers %v", p.status, p.body, p.header)
			}
			start := b.start()
			if start.has("signed-in-as") != tt.stays {
				t.Errorf("signed in is %v", !tt.stays)
			}
			if got := start.text("signed-out"); strings.Contains(got, "told this application") == tt.stays {
				t.Errorf("notice %q", got)
			}
			if got := f.checked(); !tt.stays && got != 0 {
				t.Errorf("the provider is asked before the user is told")
			}
		})
	}
}

func TestBackchannelLogoutRefuses(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startApp(t, f))
	idToken := b.signIn().text("id-token")
	unsigned := f.logoutToken(nil)
	unsigned = unsigned[:strings.LastIndex(unsigned, ".")+1] + "AAAA"
	foreign := map[string]any{"http://schemas.openid.net/event/another": map[string]any{}}
	now := time.Now()
	for name, token := range map[string]string{
		"nothing":         "",
		"no token":        "a.b.c",
		"an ID token":     idToken,
		"a bad signature": unsigned,
		"another issuer":  f.logoutToken(map[string]any{"iss": "https://evil.example.com"}),
		"another client":  f.logoutToken(map[string]any{"aud": "another"}),
		"no client":       f.logoutToken(map[string]any{"aud": nil}),
		"no event":        f.logoutToken(map[string]any{"events": nil}),
		"another event":   f.logoutToken(map[string]any{"events": foreign}),
		"a null event":    f.logoutToken(map[string]any{"events": map[string]any{logoutEvent: nil}}),
		"a text as event": f.logoutToken(map[string]any{"events": map[string]any{logoutEvent: "yes"}}),
		"a nonce":         f.logoutToken(map[string]any{"nonce": "n"}),
		"nobody":          f.logoutToken(map[string]any{"sub": nil, "sid": nil}),
		"no jti":          f.logoutToken(map[string]any{"jti": nil}),
		"no iat":          f.logoutToken(map[string]any{"iat": nil}),
		"the future":      f.logoutToken(map[string]any{"iat": now.Add(time.Hour).Unix(), "exp": now.Add(2 * time.Hour).Unix()}),
		"no exp":          f.logoutToken(map[string]any{"exp": nil}),
		"expired":         f.logoutToken(map[string]any{"exp": now.Add(-time.Second).Unix()}),
	} {
		t.Run(name, func(t *testing.T) {
			wantLogoutRefused(t, tell(t, b.base, token))
		})
	}
	good := f.logoutToken(nil)
	stranger := newBrowser(t, b.base)
	wantLogoutRefused(t, stranger.post("/backchannel-logout", nil))
	wantLogoutRefused(t, stranger.post("/backchannel-logout", url.Values{"logout_token": {good, good}}))
	wantLogoutRefused(t, stranger.post("/backchannel-logout?logout_token="+good, nil))
	wantLogoutRefused(t, stranger.post("/backchannel-logout", url.Values{"logout_token": {strings.Repeat("x", maxFormBytes)}}))
	if p := stranger.get("/backchannel-logout"); p.status != http.StatusMethodNotAllowed && p.status != http.StatusNotFound {
		t.Errorf("GET gives %d", p.status)
	}
	if !b.get("/").has("signed-in-as") {
		t.Error("the user is signed out")
	}
}

func wantLogoutRefused(t *testing.T, p page) {
	t.Helper()
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal([]byte(p.body), &body); err != nil {
		t.Fatalf("%d %q: %v", p.status, p.body, err)
	}
	if p.status != http.StatusBadRequest || body.Error != "invalid_request" || body.Description == "" ||
		p.header.Get("Cache-Control") != "no-store" || p.header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %+v, headers %v", p.status, body, p.header)
	}
}

// A provider whose answer got lost sends the token again. That must not end
// what has begun since.
func TestLogoutTokensCountOnce(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startApp(t, f))
	b.signIn()
	token := f.logoutToken(map[string]any{"sid": nil})
	tell(t, b.base, token)
	b.signIn()
	if p := tell(t, b.base, token); p.status != http.StatusOK {
		t.Errorf("the second time gives %d", p.status)
	}
	if !b.get("/").has("signed-in-as") {
		t.Error("a used token has ended a new sign-in")
	}
}

func TestUsedTokensAreBounded(t *testing.T) {
	var u usedTokens
	token := &oidc.LogoutToken{Expiry: testTime}
	for i := range maxLogoutTokens + 10 {
		token.TokenID, token.Expiry = string(rune(i+1000)), testTime.Add(time.Duration(i)*time.Second)
		if !u.first(token, testTime) {
			t.Fatal("a new token is taken for a used one")
		}
	}
	if len(u.byID) != maxLogoutTokens || u.first(token, testTime) {
		t.Errorf("%d are remembered, and not the latest", len(u.byID))
	}
	token.TokenID = "later"
	u.first(token, testTime.Add(24*time.Hour))
	if len(u.byID) != 1 {
		t.Errorf("%d are remembered that have expired", len(u.byID)-1)
	}
}

// listen opens the event stream of a browser.
func (b *browser) listen() (*http.Response, *bufio.Scanner) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.base+"/events", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp, bufio.NewScanner(resp.Body)
}

func wantEvent(t *testing.T, lines *bufio.Scanner, name string) {
	t.Helper()
	var event, data string
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = rest
		}
		if rest, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			data = rest
		}
	}
	var got struct {
		At        time.Time `json:"at"`
		SessionID string    `json:"sid"`
	}
	err := json.Unmarshal([]byte(data), &got)
	if err != nil || event != name || got.SessionID != "session-1" || time.Since(got.At) > time.Minute {
		t.Errorf("event %q, data %q: %v", event, data, err)
	}
}

func TestEvents(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startApp(t, f))
	if resp, _ := b.listen(); resp.StatusCode != http.StatusNoContent {
		t.Errorf("without a cookie: %d", resp.StatusCode)
	}
	if b.get("/").has("told") {
		t.Error("the page of a stranger waits for the end of a sign-in")
	}
	b.signIn()
	if p := b.get("/"); !p.has("told") || !strings.Contains(p.body, `src="/static/app.js"`) {
		t.Error("the page has no script")
	}

	resp, first := b.listen()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Set-Cookie") != "" {
		t.Errorf("%d, headers %v", resp.StatusCode, resp.Header)
	}
	_, second := b.listen()
	tell(t, b.base, f.logoutToken(nil))
	wantEvent(t, first, "backchannel-logout")
	wantEvent(t, second, "backchannel-logout")
	_, late := b.listen() // of a page that was loaded before
	wantEvent(t, late, "backchannel-logout")

	b.signIn()
	_, other := b.listen()
	client := *b.client
	b.stopAtRedirects()
	b.get("/logout")
	*b.client = client
	wantEvent(t, other, "logout")
}

func TestStreamsAreBounded(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startApp(t, f))
	b.signIn()
	var last *http.Response
	for range maxWatchers {
		if resp, lines := b.listen(); !lines.Scan() || resp.StatusCode != http.StatusOK {
			t.Fatalf("got %d", resp.StatusCode)
		} else {
			last = resp
		}
	}
	if resp, _ := b.listen(); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many gives %d", resp.StatusCode)
	}
	_ = last.Body.Close()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if resp, _ := b.listen(); resp.StatusCode == http.StatusOK {
			return
		} else if time.Now().After(end) {
			t.Fatal("a closed page still counts")
		}
	}
}

// The streams don't delay the end of the program.
func TestStreamsEndWithTheProgram(t *testing.T) {
	f := newFakeProvider(t)
	p := startProgram(t, "--issuer", f.issuer(), "--listen", "http://127.0.0.1:0")
	b := newBrowser(t, p.base())
	b.stopAtRedirects()
	b.post("/login", nil)
	if _, lines := b.listen(); !lines.Scan() {
		t.Fatal("no stream")
	}
	begun := time.Now()
	p.stop()
	if err := p.end(); err != nil || time.Since(begun) > shutdownGrace/2 {
		t.Errorf("it took %v: %v", time.Since(begun), err)
	}
}
