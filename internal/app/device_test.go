package app_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// post sends a form to an endpoint of applications, as the client app unless it says otherwise.
func (s *server) postForm(path string, form url.Values, edit ...func(*http.Request)) answer {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://dex.test"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if len(edit) == 0 {
		asApp(r)
	}
	for _, e := range edit {
		e(r)
	}
	return s.do(r)
}

// device begins a device login and returns the answer to the device.
func (s *server) device(pairs ...string) answer {
	s.t.Helper()
	f := form(append([]string{"scope", "openid email offline_access"}, pairs...)...)
	return s.postForm("/dex/device/code", f).wantStatus(http.StatusOK)
}

// typeCode types a user code and answers the question about the device.
func (b *browser) typeCode(userCode, decision string) answer {
	b.t.Helper()
	form := url.Values{"user_code": {userCode}}
	if page := b.post("/dex/device/auth/verify_code", form).wantStatus(http.StatusOK); !strings.Contains(page.body, `name="decision"`) {
		b.t.Fatalf("no question about the device: %s", page.body)
	}
	form.Set("decision", decision)
	return b.post("/dex/device/auth/verify_code", form)
}

var mockLink = regexp.MustCompile(`href="(/dex/auth/mock\?[^"]*)"`)

// viaMock signs in through the mock, which may have to be chosen, and returns the page at which the login for a device
// ends.
func (b *browser) viaMock(a answer) answer {
	b.t.Helper()
	if a.status == http.StatusOK {
		link := mockLink.FindStringSubmatch(a.body)
		if link == nil {
			b.t.Fatalf("no connectors to choose from: %s", a.body)
		}
		a = b.visit(strings.ReplaceAll(link[1], "&amp;", "&"))
	}
	a = b.visit(a.wantStatus(http.StatusFound).path()).wantStatus(http.StatusSeeOther)
	if strings.HasPrefix(a.path(), "/dex/approval") {
		a = b.post(a.path(), url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther)
	}
	return b.visit(a.path())
}

// approvedDevice returns the code of a device whose user has signed in.
func (s *server) approvedDevice(pairs ...string) string {
	s.t.Helper()
	begun := s.device(pairs...)
	b := s.browser()
	b.viaMock(b.typeCode(begun.text("user_code"), "continue")).wantStatus(http.StatusOK)
	return begun.text("device_code")
}

func pollForm(deviceCode string, pairs ...string) url.Values {
	return form(append([]string{"grant_type", deviceGrant, "device_code", deviceCode}, pairs...)...)
}

func TestDevice(t *testing.T) {
	for _, path := range []string{"/dex", ""} {
		t.Run("issuer path "+path, func(t *testing.T) {
			s := startWith(t, strings.Replace(configuration, "http://dex.test/dex", "http://dex.test"+path, 1))
			begun := s.postForm(path+"/device/code", form("scope", "openid email offline_access", "client_id", "cli"), noCredentials).
				wantStatus(http.StatusOK)
			if begun.header.Get("Cache-Control") != "no-store" || begun.json()["expires_in"] != 300.0 || begun.json()["interval"] != 5.0 {
				t.Errorf("answer %v %s", begun.header, begun.body)
			}
			page := "http://dex.test" + path + "/device"
			if begun.text("verification_uri") != page ||
				begun.text("verification_uri_complete") != page+"?user_code="+begun.text("user_code") {
				t.Errorf("answer %s", begun.body)
			}
			if !regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`).MatchString(begun.text("user_code")) {
				t.Errorf("user code %q", begun.text("user_code"))
			}
			poll := pollForm(begun.text("device_code"), "client_id", "cli")
			s.postForm(path+"/token", poll, noCredentials).wantError(400, "authorization_pending")

			b := s.browser()
			if page := b.visit(path + "/device?user_code=" + begun.text("user_code")).wantStatus(200); !strings.Contains(page.body, begun.text("user_code")) {
				t.Errorf("the form is not filled in: %s", page.body)
			}
			form := url.Values{"user_code": {begun.text("user_code")}, "decision": {"continue"}}
			choice := b.post(path+"/device/auth/verify_code", form).wantStatus(200)
			link := regexp.MustCompile(`href="(` + path + `/auth/mock\?req=[^"]*)"`).FindStringSubmatch(choice.body)
			if link == nil {
				t.Fatalf("no choice: %s", choice.body)
			}
			a := b.visit(b.visit(link[1]).wantStatus(302).path()).wantStatus(303)
			a = b.post(a.path(), url.Values{"approval": {"approve"}}).wantStatus(303)
			if end := b.visit(a.path()).wantStatus(200); !strings.Contains(end.body, "Command line") {
				t.Errorf("the end is %s", end.body)
			}
			got := s.postForm(path+"/token", poll, noCredentials).wantStatus(200)
			c := claims(t, got.text("id_token"))
			if c["email"] != "kilgore@kilgore.trout" || c["aud"] != "cli" || c["auth_time"] == nil || got.text("refresh_token") == "" {
				t.Errorf("answer %s, claims %v", got.body, c)
			}
			s.postForm(path+"/token", refreshForm(got.text("refresh_token"), "client_id", "cli"), noCredentials).wantStatus(200)
		})
	}
}

func TestDepartureDevice(t *testing.T) {
	s := start(t, "")
	t.Run("D-821 the client is checked", func(t *testing.T) {
		wrong := func(r *http.Request) { r.SetBasicAuth("app", "wrong") }
		s.postForm("/dex/device/code", form("scope", "openid"), wrong).wantError(401, "invalid_client")
		s.postForm("/dex/device/code", form("client_id", "nobody"), noCredentials).wantError(401, "invalid_client")
		strict := start(t, "oauth2: {compatibility: {clientChecks: strict}}\n")
		strict.postForm("/dex/device/code", form("client_id", "app"), noCredentials).wantError(401, "invalid_client")
		s.postForm("/dex/device/code", form("client_id", "app", "client_secret", "app-secret"), noCredentials).wantStatus(200)
	})
	t.Run("D-821 switched back, the secret may come later", func(t *testing.T) {
		upstream := start(t, "oauth2: {compatibility: {clientChecks: upstream}}\n")
		upstream.postForm("/dex/device/code", form("client_id", "app"), noCredentials).wantStatus(200)
		upstream.postForm("/dex/device/code", form("client_id", "app", "client_secret", "wrong"), noCredentials).wantError(401, "invalid_client")
		upstream.postForm("/dex/device/code", form("client_id", "nobody"), noCredentials).wantError(401, "invalid_client")
	})
	t.Run("D-822 a code belongs to its client", func(t *testing.T) {
		code := s.approvedDevice()
		other := func(r *http.Request) { r.SetBasicAuth("other", "o%2B%25ther+secret") }
		s.token(pollForm(code), other).wantError(400, "invalid_grant")
		s.token(pollForm(code, "client_id", "cli"), noCredentials).wantError(400, "invalid_grant")
		s.token(pollForm(code), noCredentials).wantError(401, "invalid_client")
		s.token(pollForm(code)).wantStatus(200)
		upstream := start(t, "oauth2: {compatibility: {clientChecks: upstream}}\n")
		upstream.token(pollForm(upstream.approvedDevice()), noCredentials).wantStatus(200)
		upstream.token(pollForm("unknown"), noCredentials).wantError(400, "invalid_grant")
	})
	t.Run("D-823 unknown codes", func(t *testing.T) {
		for _, code := range []string{"x", strings.Repeat("b", 59), "0" + s.device().text("device_code")[1:]} {
			s.token(pollForm(code)).wantError(400, "invalid_grant")
		}
		s.token(form("grant_type", deviceGrant)).wantError(400, "invalid_request")
	})
	t.Run("D-824 D-831 tokens once, and not cached", func(t *testing.T) {
		for _, scope := range []string{"openid", "openid offline_access"} {
			code := s.approvedDevice("scope", scope)
			a := s.token(pollForm(code)).wantStatus(200)
			if a.header.Get("Cache-Control") != "no-store" || a.json()["expires_in"] != 86400.0 {
				t.Errorf("%v %s", a.header, a.body)
			}
			s.token(pollForm(code)).wantError(400, "invalid_grant")
		}
	})
	t.Run("D-825 B-26 a refusal reaches the device", func(t *testing.T) {
		begun, b := s.device(), s.browser()
		if page := b.typeCode(begun.text("user_code"), "deny").wantStatus(200); !strings.Contains(page.body, "Device refused") {
			t.Errorf("page %s", page.body)
		}
		s.token(pollForm(begun.text("device_code"))).wantError(400, "access_denied")

		begun = s.device() // refused at the consent page
		choice := b.typeCode(begun.text("user_code"), "continue").wantStatus(200)
		trip := b.visit(mockLink.FindStringSubmatch(choice.body)[1]).wantStatus(302)
		page := b.visit(trip.path()).wantStatus(303)
		end := b.post(page.path(), url.Values{"approval": {"rejected"}}).wantStatus(303)
		if page := b.visit(end.path()).wantStatus(200); !strings.Contains(page.body, "Device refused") {
			t.Errorf("page %s", page.body)
		}
		s.token(pollForm(begun.text("device_code"))).wantError(400, "access_denied")
	})
	t.Run("D-827 scopes", func(t *testing.T) {
		s.postForm("/dex/device/code", form("scope", "email")).wantError(400, "invalid_scope")
		s.postForm("/dex/device/code", form("scope", "openid audience:server:client_id:strict")).wantError(400, "invalid_scope")
		s.postForm("/dex/device/code", form()).wantStatus(200)
	})
	t.Run("D-828 how a code is typed", func(t *testing.T) {
		for _, typed := range []func(string) string{
			strings.ToLower, func(c string) string { return strings.ReplaceAll(c, "-", "") },
			func(c string) string { return " " + strings.ReplaceAll(strings.ToLower(c), "-", "  ") + " " },
		} {
			begun, b := s.device(), s.browser()
			b.viaMock(b.typeCode(typed(begun.text("user_code")), "continue")).wantStatus(200)
			s.token(pollForm(begun.text("device_code"))).wantStatus(200)
		}
		for _, wrong := range []string{"", "XXXX-XXX", "AAAA-AAAA", "BBBB-BBBB", strings.Repeat("B", 9000)} {
			b := s.browser()
			a := b.post("/dex/device/auth/verify_code", url.Values{"user_code": {wrong}})
			if a.wantStatus(400); len(wrong) < 100 && !strings.Contains(a.body, `id="login-error"`) {
				t.Errorf("page for %q: %s", wrong, a.body)
			}
		}
	})
	t.Run("D-830 users are asked about the device", func(t *testing.T) {
		quick := start(t, "oauth2: {skipApprovalScreen: true}\n")
		begun, b := quick.device(), quick.browser()
		page := b.post("/dex/device/auth/verify_code", url.Values{"user_code": {begun.text("user_code")}}).wantStatus(200)
		for _, want := range []string{begun.text("user_code"), "<bdi>App</bdi> on a device", "See your email address"} {
			if !strings.Contains(page.body, want) {
				t.Errorf("the page lacks %q: %s", want, page.body)
			}
		}
		quick.token(pollForm(begun.text("device_code"))).wantError(400, "authorization_pending")
		r := httptest.NewRequest(http.MethodPost, "http://dex.test/dex/device/auth/verify_code",
			strings.NewReader(url.Values{"user_code": {begun.text("user_code")}, "decision": {"continue"}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		b.send(r).wantStatus(403)
		upstream := start(t, "oauth2: {skipApprovalScreen: true, compatibility: {deviceConfirm: upstream}}\n")
		begun, b = upstream.device(), upstream.browser()
		b.viaMock(b.post("/dex/device/auth/verify_code", url.Values{"user_code": {begun.text("user_code")}})).wantStatus(200)
		upstream.token(pollForm(begun.text("device_code"))).wantStatus(200)
	})
	t.Run("D-832 an unreadable form", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodPost, "http://dex.test/dex/device/code", strings.NewReader("scope=%zz"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		asApp(r)
		s.do(r).wantError(400, "invalid_request")
	})
	t.Run("D-833 a login completes its own device only", func(t *testing.T) {
		mine, theirs, b := s.device(), s.device(), s.browser()
		b.viaMock(b.typeCode(mine.text("user_code"), "continue")).wantStatus(200)
		b.visit("/dex/device/callback?code=x&state=" + theirs.text("user_code")).wantStatus(400)
		s.token(pollForm(theirs.text("device_code"))).wantError(400, "authorization_pending")
		s.token(pollForm(mine.text("device_code"))).wantStatus(200)
	})
	t.Run("D-304 B-03 proof keys", func(t *testing.T) {
		enforced := start(t, "oauth2: {pkce: {enforce: true, codeChallengeMethodsSupported: [S256]}}\n")
		verifier := strings.Repeat("v", 43)
		enforced.postForm("/dex/device/code", form()).wantError(400, "invalid_request")
		enforced.postForm("/dex/device/code", form("code_challenge", verifier)).wantError(400, "invalid_request")
		enforced.postForm("/dex/device/code", form("code_challenge", "x", "code_challenge_method", "S256")).wantError(400, "invalid_request")
		code := enforced.approvedDevice("code_challenge", s256(verifier), "code_challenge_method", "S256")
		enforced.token(pollForm(code)).wantError(400, "invalid_grant")
		enforced.token(pollForm(code, "code_verifier", strings.Repeat("w", 43))).wantError(400, "invalid_grant")
		enforced.token(pollForm(code, "code_verifier", verifier)).wantStatus(200)
	})
	t.Run("D-809 B-27 the grant may be off", func(t *testing.T) {
		off := start(t, "oauth2: {grantTypes: [authorization_code]}\n")
		off.postForm("/dex/device/code", form()).wantError(400, "unsupported_grant_type")
		if off.get("/dex/.well-known/openid-configuration").json()["device_authorization_endpoint"] != nil {
			t.Error("the endpoint is promised")
		}
		if got := s.get("/dex/.well-known/openid-configuration").text("device_authorization_endpoint"); got != issuer+"/device/code" {
			t.Errorf("the endpoint is %q", got)
		}
	})
	t.Run("B-15 other methods", func(t *testing.T) {
		s.get("/dex/device/code").wantError(405, "invalid_request")
		s.get("/dex/device/auth/verify_code").wantStatus(200)
		s.get("/dex/device?invalid=true").wantStatus(400)
	})
	t.Run("B-02 both of upstream's redirect URIs lead to the device's page", func(t *testing.T) {
		code := s.device().text("user_code")
		for _, uri := range []string{"/device/callback", "/dex/device/callback"} {
			for _, client := range []string{"app", "cli"} {
				for _, path := range []string{"/dex/auth?", "/dex/auth/mock?"} {
					a := s.get(path + request("client_id", client, "redirect_uri", uri, "state", code).Encode()).wantStatus(302)
					if a.path() != "/dex/device?user_code="+code {
						t.Errorf("%s leads to %s", uri, a.path())
					}
				}
			}
		}
	})
	t.Run("the alias of the token endpoint", func(t *testing.T) {
		s.postForm("/dex/device/token", refreshForm("x")).wantError(400, "invalid_grant")
		s.postForm("/dex/device/token", pollForm(s.approvedDevice())).wantStatus(200)
	})
	t.Run("another connector may be chosen", func(t *testing.T) {
		begun, b := s.device(), s.browser()
		choice := b.typeCode(begun.text("user_code"), "continue").wantStatus(200)
		local := regexp.MustCompile(`href="(/dex/auth/local\?[^"]*)"`).FindStringSubmatch(choice.body)
		form := b.visit(local[1]).wantStatus(302).path()
		back := regexp.MustCompile(`href="(/dex/auth\?[^"]*req=[^"]*)"`).FindStringSubmatch(b.visit(form).wantStatus(200).body)
		if back == nil {
			t.Fatal("no way back")
		}
		back[1] = html.UnescapeString(back[1])
		b.viaMock(b.visit(back[1])).wantStatus(200)
		s.token(pollForm(begun.text("device_code"))).wantStatus(200)
		s.browser().visit(back[1]).wantStatus(400) // is no other browser's
	})
}

func TestDepartureDeviceTime(t *testing.T) {
	t.Run("D-826 who asks too early waits longer for good", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, "")
			code := s.device().text("device_code")
			ask := func(after time.Duration, want string) {
				t.Helper()
				time.Sleep(after)
				s.token(pollForm(code)).wantError(400, want)
			}
			ask(0, "authorization_pending")
			ask(5*time.Second, "authorization_pending")
			ask(2*time.Second, "slow_down")
			ask(6*time.Second, "authorization_pending")
			ask(4*time.Second, "slow_down")
			ask(10*time.Second, "authorization_pending")
		})
	})
	t.Run("a device's time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, "expiry: {deviceRequests: 1m}\n")
			begun, late := s.device(), s.approvedDevice()
			b := s.browser()
			login := b.typeCode(begun.text("user_code"), "continue")
			time.Sleep(61 * time.Second)
			s.token(pollForm(begun.text("device_code"))).wantError(400, "expired_token")
			s.token(pollForm(late)).wantError(400, "expired_token")
			b.post("/dex/device/auth/verify_code", url.Values{"user_code": {begun.text("user_code")}}).wantStatus(400)
			trip := b.visit(mockLink.FindStringSubmatch(login.body)[1])
			page := b.visit(trip.wantStatus(302).path()).wantStatus(303)
			b.post(page.path(), url.Values{"approval": {"approve"}}).wantStatus(400)
			s.token(pollForm(begun.text("device_code"))).wantError(400, "expired_token")
		})
	})
}

// However many redeem a device code at once, one gets tokens.
func TestDeviceCodeIsRedeemedOnce(t *testing.T) {
	s := start(t, "")
	for _, scope := range []string{"openid", "openid offline_access"} {
		code := s.approvedDevice("scope", scope)
		var got sync.Map
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() { got.Store(i, s.token(pollForm(code)).status) })
		}
		all.Wait()
		succeeded := 0
		got.Range(func(_, status any) bool {
			if status == http.StatusOK {
				succeeded++
			}
			return true
		})
		if succeeded != 1 {
			t.Errorf("%s: %d of 8 got tokens", scope, succeeded)
		}
	}
}
