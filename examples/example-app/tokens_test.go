package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestTokensPage(t *testing.T) {
	f := newFakeProvider(t)
	p := newBrowser(t, startApp(t, f)).signIn()

	for _, id := range []string{"id-token", "access-token"} {
		if token := p.text(id); strings.Count(token, ".") != 2 || strings.ContainsAny(token, " \n") {
			t.Errorf("#%s is no compact JWT: %q", id, token)
		}
	}
	if p.text("id-token") == p.text("access-token") {
		t.Error("ID token and access token are the same")
	}
	if got := p.text("refresh-token"); !strings.HasPrefix(got, "refresh-") {
		t.Errorf("refresh token %q", got)
	}
	var claims map[string]any
	if err := json.Unmarshal([]byte(p.text("claims")), &claims); err != nil || claims["iss"] != f.issuer() {
		t.Errorf("claims %v: %v", claims, err)
	}
	if raw := p.text("raw-response"); !strings.Contains(raw, `"token_type": "bearer"`) || !strings.Contains(raw, p.text("id-token")) {
		t.Errorf("raw response %q", raw)
	}
	for _, id := range []string{"refresh-button", "userinfo-button", "logout-link"} {
		if !p.has(id) {
			t.Errorf("no element with id %s", id)
		}
	}
}

func TestTokensPageWithoutTokens(t *testing.T) {
	b := newBrowser(t, startApp(t, newFakeProvider(t)))
	b.get("/tokens").want(http.StatusOK, "/")
	b.post("/refresh", url.Values{}).wantError(http.StatusBadRequest, "no refresh token")
	b.post("/userinfo", url.Values{}).wantError(http.StatusBadRequest, "Sign in first")
}

func TestOpaqueAccessToken(t *testing.T) {
	f := newFakeProvider(t)
	f.editTokens = func(response map[string]any) { response["access_token"] = "not.a.<jwt>" }
	p := newBrowser(t, startApp(t, f)).signIn()
	if got := p.text("access-token"); got != "not.a.<jwt>" {
		t.Errorf("access token %q", got)
	}
}

func TestOnlyWhatWorksIsOffered(t *testing.T) {
	f := newFakeProvider(t)
	f.editDiscovery = func(document map[string]any) {
		delete(document, "userinfo_endpoint")
		document["grant_types_supported"] = []string{"authorization_code"}
	}
	b := newBrowser(t, startApp(t, f))
	p := b.post("/login", url.Values{"extra_scopes": {"email"}})
	p.want(http.StatusOK, "/tokens")
	if p.has("refresh-button") || p.has("refresh-token") || p.has("userinfo-button") || strings.Contains(p.body, "/grant/refresh") || strings.Contains(p.body, "/tools/userinfo") {
		t.Error("something is offered that does not work")
	}
	b.get("/grant/refresh").wantError(http.StatusNotFound)
	b.get("/tools/userinfo").wantError(http.StatusNotFound)
}

func TestRefresh(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startApp(t, f))
	first := b.signIn()
	f.editClaims = func(claims map[string]any) { claims["name"] = "Jane Roe" }

	second := b.post("/refresh", url.Values{})
	second.want(http.StatusOK, "/tokens")
	if second.text("access-token") == first.text("access-token") || second.text("refresh-token") == first.text("refresh-token") {
		t.Error("the tokens are the old ones")
	}
	if got := second.text("signed-in-as"); got != "Jane Roe" {
		t.Errorf("signed in as %q after the refresh", got)
	}
}

func TestParallelRefreshesDoNotSpendATokenTwice(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startApp(t, f))
	b.signIn()
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			resp, err := b.client.Post(b.base+"/refresh", "application/x-www-form-urlencoded", nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("status %d", resp.StatusCode)
			}
		})
	}
	wg.Wait()
}

func TestRefreshKeepsWhatTheResponseLeavesOut(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startApp(t, f))
	first := b.signIn()
	f.editTokens = func(response map[string]any) {
		delete(response, "id_token")
		delete(response, "refresh_token")
	}
	second := b.post("/refresh", url.Values{})
	second.want(http.StatusOK, "/tokens")
	for _, id := range []string{"id-token", "refresh-token", "signed-in-as"} {
		if first.text(id) != second.text(id) {
			t.Errorf("#%s changed from %q to %q", id, first.text(id), second.text(id))
		}
	}
}

func TestRefreshRefused(t *testing.T) {
	tests := map[string]struct {
		bend   func(*fakeProvider)
		status int
		says   string
	}{
		"by the provider": {func(f *fakeProvider) {
			f.token = func(w http.ResponseWriter, _ *http.Request) { writeOAuthError(w, "invalid_grant", "claimed twice") }
		}, 400, "claimed twice"},
		"other subject": {func(f *fakeProvider) {
			f.editClaims = func(claims map[string]any) { claims["sub"] = "john" }
		}, 502, "somebody else"},
		"other nonce": {func(f *fakeProvider) {
			f.editClaims = func(claims map[string]any) { claims["nonce"] = "other" }
		}, 502, "nonce"},
		"gibberish": {func(f *fakeProvider) {
			f.token = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }
		}, 502, "not accepted"},
		"redirect": {func(f *fakeProvider) {
			f.token = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
			}
		}, 502, "307"},
		"unreachable": {func(f *fakeProvider) { f.Close() }, 502, "could not be reached"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFakeProvider(t)
			b := newBrowser(t, startApp(t, f))
			first := b.signIn()
			tt.bend(f)
			b.post("/refresh", url.Values{}).wantError(tt.status, tt.says)
			if now := b.get("/tokens"); now.text("refresh-token") != first.text("refresh-token") {
				t.Error("the failure cost the tokens held")
			}
		})
	}
}

func TestRefreshGivenToken(t *testing.T) {
	f := newFakeProvider(t)
	owner := newBrowser(t, startApp(t, f))
	token := owner.signIn().text("refresh-token")
	if got := owner.get("/grant/refresh").text("refresh-token"); got != token {
		t.Errorf("the form is filled with %q, want %q", got, token)
	}

	// Redeeming a token is no sign-in.
	other := newBrowser(t, owner.base)
	p := other.post("/grant/refresh", url.Values{"refresh_token": {" " + token + "\n"}})
	p.want(http.StatusOK, "/tokens")
	if p.has("signed-in-as") {
		t.Error("signed in by somebody's refresh token")
	}
	other.post("/grant/refresh", url.Values{"refresh_token": {token}}).wantError(http.StatusBadRequest, "invalid_grant")
	other.post("/grant/refresh", url.Values{"refresh_token": {" "}}).wantError(http.StatusBadRequest, "no refresh token")
}

func TestUserInfo(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startApp(t, f))
	token := b.signIn().text("access-token")

	p := b.post("/userinfo", url.Values{})
	p.want(http.StatusOK, "/userinfo")
	if !strings.Contains(p.text("userinfo"), `"email": "jane@example.com"`) {
		t.Errorf("UserInfo shows %q", p.text("userinfo"))
	}
	if got := b.get("/tools/userinfo").text("access-token"); got != token {
		t.Errorf("the form is filled with %q", got)
	}

	stranger := newBrowser(t, b.base)
	stranger.post("/userinfo", url.Values{"access_token": {token}}).want(http.StatusOK, "/userinfo")
	stranger.post("/userinfo", url.Values{"access_token": {"gibberish"}}).wantError(http.StatusBadRequest, "401")
	f.Close()
	stranger.post("/userinfo", url.Values{"access_token": {token}}).wantError(http.StatusBadGateway, "could not be reached")
}

func TestUserInfoAboutSomebodyElse(t *testing.T) {
	f := newFakeProvider(t)
	f.editTokens = func(response map[string]any) {
		response["access_token"] = f.sign(map[string]any{"sub": "john"})
	}
	b := newBrowser(t, startApp(t, f))
	b.signIn()
	b.post("/userinfo", url.Values{}).wantError(http.StatusBadGateway, "another subject")
}

func TestLogout(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startApp(t, f))
	idToken := b.signIn().text("id-token")
	b.stopAtRedirects()

	p := b.get("/logout")
	to, err := url.Parse(p.header.Get("Location"))
	if err != nil || p.status != http.StatusFound {
		t.Fatalf("got %d to %v: %v", p.status, to, err)
	}
	if to.Scheme+"://"+to.Host+to.Path != f.issuer()+"/logout" {
		t.Errorf("sent to %s", to)
	}
	if got := to.Query().Get("id_token_hint"); got != idToken {
		t.Errorf("hint %q", got)
	}
	if got := to.Query().Get("post_logout_redirect_uri"); got != b.base+"/" {
		t.Errorf("post-logout target %q", got)
	}
	if b.get("/").has("signed-in-as") {
		t.Error("still signed in")
	}
	// Nobody is signed in, so there is nothing to tell the provider.
	if got := b.get("/logout").header.Get("Location"); got != "/" {
		t.Errorf("a stranger is sent to %q", got)
	}
}

func TestLogoutWithoutEndSessionEndpoint(t *testing.T) {
	f := newFakeProvider(t)
	f.editDiscovery = func(document map[string]any) { document["end_session_endpoint"] = "javascript:alert(1)" }
	b := newBrowser(t, startApp(t, f))
	b.signIn()
	b.get("/logout").want(http.StatusOK, "/")
}

func TestRelative(t *testing.T) {
	for away, want := range map[time.Duration]string{
		0: "now", 400 * time.Millisecond: "now", 59 * time.Second: "in 59 s", -61 * time.Second: "1 min 1 s ago",
		90 * time.Minute: "in 1 h 30 min", 50 * time.Hour: "in 2 d 2 h",
	} {
		if got := relative(away); got != want {
			t.Errorf("relative(%v) = %q, want %q", away, got, want)
		}
	}
}
