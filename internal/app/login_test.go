package app_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoginThroughPasswordForm(t *testing.T) {
	s := start(t, "")
	b := s.browser()
	formPath := b.passwordForm()
	if page := b.visit(formPath).wantStatus(http.StatusOK); !strings.Contains(page.body, `name="password"`) {
		t.Fatalf("no password form:\n%s", page.body)
	}
	wrong := b.post(formPath, url.Values{"login": {"admin@example.com"}, "password": {"x"}}).wantStatus(http.StatusUnauthorized)
	if !strings.Contains(wrong.body, `value="admin@example.com"`) || !strings.Contains(wrong.body, `id="login-error"`) {
		t.Fatalf("the form does not keep the name or shows no error:\n%s", wrong.body)
	}
	consent := b.post(formPath, credentials()).wantStatus(http.StatusSeeOther).path()
	page := b.visit(consent).wantStatus(http.StatusOK)
	for _, want := range []string{"Grant Access", "Admin User", "admin@example.com", `name="req"`} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the consent page has no %q", want)
		}
	}
	answer := b.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther).location()
	if got := answer.Scheme + "://" + answer.Host + answer.Path; got != callback {
		t.Fatalf("the answer goes to %s, want %s", got, callback)
	}
	q := answer.Query()
	if q.Get("state") != "s &=%" || q.Get("iss") != issuer || q.Get("code") == "" {
		t.Fatalf("answer %v", q)
	}

	got := claims(t, s.token(codeForm(q.Get("code"))).wantStatus(http.StatusOK).text("id_token"))
	for name, want := range map[string]any{
		"iss": issuer, "aud": "app", "sub": "CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs",
		"nonce": "n", "email": "admin@example.com", "email_verified": true, "name": "Admin User",
	} {
		if got[name] != want {
			t.Errorf("claim %s is %v, want %v", name, got[name], want)
		}
	}
	for _, name := range []string{"exp", "iat", "auth_time", "jti", "at_hash", "c_hash", "groups"} {
		if got[name] == nil {
			t.Errorf("claim %s is missing", name)
		}
	}
}

func TestChoiceOfConnectors(t *testing.T) {
	s := start(t, "")
	page := s.get(authPath()).wantStatus(http.StatusOK)
	if len(page.header["Set-Cookie"]) > 0 {
		t.Error("the choice sets a cookie")
	}
	for _, want := range []string{"Log in with <bdi>Email</bdi>", "Log in with <bdi>Example</bdi>", "Log in with <bdi>Other</bdi>",
		`href="/dex/auth/odd%20id%2F%25?`} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Index(page.body, "with <bdi>Email") > strings.Index(page.body, "with <bdi>Example") {
		t.Error("the connectors are not sorted by name")
	}

	t.Run("one allowed connector is taken", func(t *testing.T) {
		to := s.get(authPath("client_id", "strict", "redirect_uri", "https://strict.test/cb")).wantStatus(http.StatusFound)
		if !strings.HasPrefix(to.path(), "/dex/auth/local/login?") {
			t.Errorf("sent to %s", to.path())
		}
	})
	t.Run("an id with odd characters works (B-01)", func(t *testing.T) {
		b := s.browser()
		to := b.visit("/dex/auth/odd%20id%2F%25?" + request().Encode()).wantStatus(http.StatusFound).path()
		b.visit(to).wantStatus(http.StatusOK)
		b.post(to, url.Values{"login": {"u"}, "password": {"p"}}).wantStatus(http.StatusSeeOther)
	})
	t.Run("connector_id", func(t *testing.T) {
		s.get(authPath("connector_id", "nobody")).wantRedirectError("invalid_request")
		s.get(authPath("client_id", "strict", "redirect_uri", "https://strict.test/cb", "connector_id", "mock")).
			wantRedirectError("invalid_request")
	})
	t.Run("a connector that the client may not use", func(t *testing.T) {
		s.get("/dex/auth/mock?" + request("client_id", "strict", "redirect_uri", "https://strict.test/cb").Encode()).
			wantStatus(http.StatusForbidden)
	})
	t.Run("an unknown connector", func(t *testing.T) {
		s.get("/dex/auth/nobody?" + request().Encode()).wantStatus(http.StatusBadRequest)
	})
	t.Run("alwaysShowLoginScreen", func(t *testing.T) {
		s := start(t, "oauth2: {alwaysShowLoginScreen: true}\n")
		s.get(authPath("client_id", "strict", "redirect_uri", "https://strict.test/cb")).wantStatus(http.StatusOK)
	})
	t.Run("login_hint fills the form, and it links back", func(t *testing.T) {
		b := s.browser()
		page := b.visit(b.passwordForm("login_hint", "me@example.com")).wantStatus(http.StatusOK)
		if !strings.Contains(page.body, `value="me@example.com"`) {
			t.Error("the hint is not in the form")
		}
		if !strings.Contains(page.body, `href="/dex/auth?`) {
			t.Error("there is no way back to the choice")
		}
	})
}

func TestSkipApproval(t *testing.T) {
	s := start(t, "oauth2: {skipApprovalScreen: true}\n")
	b := s.browser()
	trip := b.visit(authPath("connector_id", "mock")).wantStatus(http.StatusFound)
	if q := b.visit(trip.path()).wantStatus(http.StatusSeeOther).location().Query(); q.Get("code") == "" {
		t.Fatalf("no code: %v", q)
	}
	for _, force := range [][]string{{"approval_prompt", "force"}, {"prompt", "consent"}} {
		if to := s.browser().consent(force...); !strings.HasPrefix(to, "/dex/approval?") {
			t.Errorf("%v: sent to %s", force, to)
		}
	}
}

func TestOutOfBand(t *testing.T) {
	s := start(t, "")
	b := s.browser()
	consent := b.consent("client_id", "cli", "redirect_uri", "urn:ietf:wg:oauth:2.0:oob")
	page := b.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusOK)
	if got := page.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q", got)
	}
	if !strings.Contains(page.body, "readonly") {
		t.Errorf("no code to copy:\n%s", page.body)
	}
}

func TestStrangersLeaveNothing(t *testing.T) {
	s := start(t, "")
	for range 3 {
		b := s.browser()
		form := b.passwordForm()
		b.visit(form).wantStatus(http.StatusOK)
		b.post(form, url.Values{"login": {"x"}, "password": {"y"}}).wantStatus(http.StatusUnauthorized)
	}
	// What they were told is worth nothing without their cookies.
	form := s.browser().passwordForm()
	s.browser().visit(form).wantStatus(http.StatusBadRequest)
	s.browser().post(form, credentials()).wantStatus(http.StatusBadRequest)
}

func TestStepsAreBoundToTheBrowser(t *testing.T) {
	s := start(t, "")
	mine, other := s.browser(), s.browser()
	consent := mine.consent()

	t.Run("D-973 another browser can't approve", func(t *testing.T) {
		other.visit(consent).wantStatus(http.StatusBadRequest)
		other.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusBadRequest)
	})
	t.Run("D-973 another browser can't use the callback", func(t *testing.T) {
		trip := mine.visit(authPath("connector_id", "mock")).wantStatus(http.StatusFound).path()
		other.visit(trip).wantStatus(http.StatusBadRequest)
	})
	t.Run("a changed hmac is refused", func(t *testing.T) {
		u, err := url.Parse(consent)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		for _, hmac := range []string{"", "AAAA", q.Get("hmac") + "A"} {
			q.Set("hmac", hmac)
			mine.visit("/dex/approval?" + q.Encode()).wantStatus(http.StatusUnauthorized)
		}
	})
	t.Run("a form of another site is refused", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodPost, "http://dex.test"+consent, strings.NewReader("approval=approve"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		mine.send(r).wantStatus(http.StatusForbidden)
	})
	t.Run("a form without Sec-Fetch-Site behind a proxy that rewrites the host", func(t *testing.T) {
		b := s.browser()
		page := b.consent()
		r := httptest.NewRequest(http.MethodPost, "http://dex.test"+page, strings.NewReader("approval=approve"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://dex.test")
		r.Host = "10.0.0.1:5556"
		b.send(r).wantStatus(http.StatusSeeOther)
	})
	t.Run("the answer counts once", func(t *testing.T) {
		first := mine.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther)
		second := mine.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther)
		if first.location().String() != second.location().String() {
			t.Errorf("a second click leads to %s, the first led to %s", second.location(), first.location())
		}
		mine.post(consent, url.Values{"approval": {"rejected"}}).wantStatus(http.StatusBadRequest)
		mine.visit(consent).wantStatus(http.StatusBadRequest)
	})
	t.Run("D-974 the callback does not work again", func(t *testing.T) {
		b := s.browser()
		trip := b.visit(authPath("connector_id", "mock")).path()
		consent := b.visit(trip).wantStatus(http.StatusSeeOther).path()
		b.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther)
		b.visit(trip).wantStatus(http.StatusBadRequest)
	})
	t.Run("the connector of the path must be the request's", func(t *testing.T) {
		b := s.browser()
		form := b.passwordForm()
		b.visit(strings.Replace(form, "/local/", "/mock/", 1)).wantStatus(http.StatusBadRequest)
		trip := b.visit(authPath("connector_id", "mock")).path()
		b.visit(strings.Replace(trip, "/callback", "/callback/local", 1)).wantStatus(http.StatusBadRequest)
		b.visit(strings.Replace(trip, "/callback", "/callback/mock", 1)).wantStatus(http.StatusSeeOther)
	})
}

func TestManyTabs(t *testing.T) {
	s := start(t, "")
	b := s.browser()
	var forms []string
	for range 12 {
		forms = append(forms, b.passwordForm())
	}
	open := 0
	for _, form := range forms {
		if b.visit(form).status == http.StatusOK {
			open++
		}
	}
	if open != 9 { // more would make a longer header than proxies take
		t.Errorf("%d of 12 logins are open, want the newest 9", open)
	}
	b.visit(forms[len(forms)-1]).wantStatus(http.StatusOK)
}

func TestLongRequest(t *testing.T) {
	s := start(t, "")
	b := s.browser()
	state := scrambled(6000)
	form := b.passwordForm("state", state) // over several cookies
	consent := b.post(form, credentials()).wantStatus(http.StatusSeeOther).path()
	answer := b.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther).location()
	if answer.Query().Get("state") != state {
		t.Error("the state is not what was sent")
	}
	q := s.get(authPath("connector_id", "local", "state", strings.Repeat("x", 20_000))).wantRedirectError("invalid_request")
	if len(q.Get("state")) != 20_000 {
		t.Error("the state is missing from the error")
	}
}

func TestLoginExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, "expiry: {authRequests: 10m}\n")
		b := s.browser()
		form := b.passwordForm()
		time.Sleep(9 * time.Minute)
		consent := b.post(form, credentials()).wantStatus(http.StatusSeeOther).path()
		time.Sleep(2 * time.Minute)
		b.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusBadRequest) // B-25
	})
}

func TestCookieAttributes(t *testing.T) {
	for scheme, secure := range map[string]bool{"http": false, "https": true} {
		s := start(t, "")
		if secure {
			s = startWith(t, strings.Replace(configuration, "issuer: http:", "issuer: https:", 1))
		}
		cookie := s.get(authPath("connector_id", "local")).header.Get("Set-Cookie")
		for _, want := range []string{"Path=/dex", "HttpOnly", "SameSite=Lax", "Max-Age=89999"} {
			if !strings.Contains(cookie, want) {
				t.Errorf("%s: cookie %q has no %s", scheme, cookie, want)
			}
		}
		if strings.Contains(cookie, "Secure") != secure {
			t.Errorf("%s: cookie is %q", scheme, cookie)
		}
	}
}
