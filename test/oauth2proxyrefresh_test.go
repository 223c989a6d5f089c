package e2e

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// refreshing are the flags of a proxy that keeps its sessions fresh, each second instead of each hour.
var refreshing = []string{
	"--scope=openid profile email groups offline_access", "--cookie-refresh=1s", "--set-authorization-header",
	"--approval-prompt=auto",
}

// TestOAuth2ProxyRefreshes shows what becomes of a session when oauth2-proxy refreshes it.
func TestOAuth2ProxyRefreshes(t *testing.T) {
	t.Parallel()
	s := startGuardedSite(t, nil)
	p := s.startProxy(t, refreshing...)
	t.Run("many requests of one browser", func(t *testing.T) { s.checkAtOnce(t, p) })
	t.Run("no refresh token", s.checkNoRefreshToken)
	t.Run("errors", func(t *testing.T) { s.checkRefreshErrors(t, p) })
}

// TestOAuth2ProxySessionsEnd shows when sessions end, with lifetimes of seconds instead of hours.
func TestOAuth2ProxySessionsEnd(t *testing.T) {
	t.Parallel()
	s := startGuardedSite(t, func(c *configuration) {
		c.with("expiry", section{"idTokens": "4s"}).withReuseInterval("500ms")
	})
	p := s.startProxy(t, refreshing...)
	t.Run("rotation", func(t *testing.T) { s.checkRotation(t, p) })
	t.Run("a cookie that is too old", func(t *testing.T) { s.checkOldCookie(t, p) })
	t.Run("Dex is away until the tokens expire", func(t *testing.T) { s.checkAway(t, p) })
	t.Run("sessions that are never refreshed", s.checkNeverRefreshed)
}

// refreshed asks the proxy until it has refreshed the session, and returns its answer.
func (s *guardedSite) refreshed(t *testing.T, p *authProxy, a *arrival) (answer *page) {
	t.Helper()
	before := len(s.gate.requests("refresh_token"))
	eventually(t, patience, "oauth2-proxy refreshes the session", func() bool {
		answer = a.ask(t, p.url+"/oauth2/auth")
		return len(s.gate.requests("refresh_token")) > before
	})
	return answer
}

func (s *guardedSite) checkRotation(t *testing.T, p *authProxy) {
	a := p.mustEnter(t)
	tokens := map[string]bool{}
	for range 3 {
		answer := s.refreshed(t, p, a)
		if answer.status != http.StatusAccepted || len(answer.header.Values("Set-Cookie")) == 0 {
			t.Fatalf("a refresh gives %d and the cookies %v", answer.status, answer.header.Values("Set-Cookie"))
		}
		requests := s.gate.requests("refresh_token")
		tokens[requests[len(requests)-1].form.Get("refresh_token")] = true
	}
	if len(tokens) != 3 {
		t.Errorf("three refreshes used %d tokens", len(tokens))
	}
}

// auth sends the session's cookies as they were, and returns the answer.
func (p *authProxy) auth(t *testing.T, cookies []*http.Cookie) *page {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/oauth2/auth", nil)
	if err != nil {
		t.Error(err)
		return &page{}
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	answer, err := newVisitor(newTransport(nil)).visit(r)
	if err != nil {
		t.Error(err)
		return &page{}
	}
	return answer
}

// cookies returns the browser's cookies for the proxy.
func (a *arrival) cookies(t *testing.T, p *authProxy) []*http.Cookie {
	t.Helper()
	return a.visitor.http.Jar.Cookies(p.location(t))
}

func (p *authProxy) location(t *testing.T) *url.URL {
	t.Helper()
	u, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A page of an application has many files. Each request for one refreshes the session, and all have the same refresh token.
func (s *guardedSite) checkAtOnce(t *testing.T, p *authProxy) {
	const files = 20
	cookies := p.mustEnter(t).cookies(t, p)
	before := len(s.gate.requests("refresh_token"))
	var answers []*page
	eventually(t, patience, "several requests refresh one session", func() bool {
		answers = make([]*page, files)
		var browser sync.WaitGroup
		for i := range answers {
			browser.Go(func() { answers[i] = p.auth(t, cookies) })
		}
		browser.Wait()
		for _, answer := range answers {
			if answer.status != http.StatusAccepted {
				t.Fatalf("one of %d requests gets %d:\n%s", files, answer.status, p.log)
			}
		}
		return len(s.gate.requests("refresh_token")) > before+1
	})
	// Whichever answer the browser has read last, the session goes on.
	for _, answer := range answers {
		fresh := (&http.Response{Header: answer.header}).Cookies()
		if len(fresh) == 0 {
			continue
		}
		a := &arrival{visitor: newVisitor(newTransport(nil))}
		a.visitor.http.Jar.SetCookies(p.location(t), fresh)
		if got := s.refreshed(t, p, a); got.status != http.StatusAccepted || len(got.header.Values("Set-Cookie")) == 0 {
			t.Errorf("the next refresh gives %d and the cookies %v", got.status, got.header.Values("Set-Cookie"))
		}
		return
	}
	t.Error("no answer has a new session")
}

func (s *guardedSite) checkNoRefreshToken(t *testing.T) {
	p := s.startProxy(t, "--cookie-refresh=1s", "--approval-prompt=auto")
	a := p.mustEnter(t)
	p.wantLog(t, "refresh_token:false")
	entered := time.Now()
	eventually(t, patience, "a refresh is due", func() bool { return time.Since(entered) > 1500*time.Millisecond })
	if got := a.ask(t, p.url+"/oauth2/auth"); got.status != http.StatusAccepted {
		t.Errorf("without a refresh token, a second later, the visitor gets %d", got.status)
	}
}

// oauthError answers with an error of OAuth.
func oauthError(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"error":"`+code+`","error_description":"For a test."}`)
	}
}

func (s *guardedSite) checkRefreshErrors(t *testing.T, p *authProxy) {
	for name, test := range map[string]struct {
		instead http.HandlerFunc
		ends    bool // the session
		says    string
	}{
		"invalid_grant":           {oauthError(http.StatusBadRequest, "invalid_grant"), true, `"invalid_grant" "For a test."`},
		"invalid_client":          {oauthError(http.StatusUnauthorized, "invalid_client"), true, `"invalid_client" "For a test."`},
		"temporarily_unavailable": {oauthError(http.StatusServiceUnavailable, "temporarily_unavailable"), false, `"temporarily_unavailable"`},
		"too many requests":       {oauthError(http.StatusTooManyRequests, "temporarily_unavailable"), false, `"temporarily_unavailable"`},
		"server_error":            {oauthError(http.StatusInternalServerError, "server_error"), false, `"server_error"`},
		"a page instead":          {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, false, "502 Bad Gateway"},
		"the connection breaks":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			a := p.mustEnter(t)
			s.gate.answer(test.instead)
			defer s.gate.answer(nil)
			was := s.refreshed(t, p, a)
			p.wantLog(t, "Unable to refresh session: ")
			p.wantLog(t, test.says)
			want := http.StatusAccepted
			if test.ends {
				want = http.StatusUnauthorized
			}
			if was.status != want {
				t.Errorf("the visitor gets %d, want %d", was.status, want)
			}
			s.gate.answer(nil)
			if test.ends {
				if hasSession(a.cookies(t, p)) {
					t.Error("the cookie of the session is left")
				}
				return
			}
			if got := s.refreshed(t, p, a); got.status != http.StatusAccepted || len(got.header.Values("Set-Cookie")) == 0 {
				t.Errorf("afterwards a refresh gives %d and the cookies %v", got.status, got.header.Values("Set-Cookie"))
			}
		})
	}
}

// hasSession reports whether one of the cookies is oauth2-proxy's session.
func hasSession(cookies []*http.Cookie) bool {
	for _, c := range cookies {
		if c.Name == "_oauth2_proxy" || strings.HasPrefix(c.Name, "_oauth2_proxy_0") {
			return true
		}
	}
	return false
}

// An answer with a new session that doesn't reach the browser can be had again for the reuse interval. After that, the refresh
// token in the old cookie counts as stolen, and the user signs in again.
func (s *guardedSite) checkOldCookie(t *testing.T, p *authProxy) {
	a := p.mustEnter(t)
	old := a.cookies(t, p)
	if got := s.refreshed(t, p, a); got.status != http.StatusAccepted {
		t.Fatalf("the first refresh gives %d", got.status)
	}
	eventually(t, patience, "the old cookie is refused", func() bool {
		return p.auth(t, old).status == http.StatusUnauthorized
	})
	eventually(t, patience, "the new one is refused as well", func() bool {
		return a.ask(t, p.url+"/oauth2/auth").status == http.StatusUnauthorized
	})
	a.comeBack(t, p)
	a.wantIn(t, p)
}

func (s *guardedSite) checkAway(t *testing.T, p *authProxy) {
	a := p.mustEnter(t)
	s.gate.answer(oauthError(http.StatusServiceUnavailable, "temporarily_unavailable"))
	defer s.gate.answer(nil)
	if got := s.refreshed(t, p, a); got.status != http.StatusAccepted {
		t.Errorf("while Dex is away the visitor gets %d", got.status)
	}
	eventually(t, patience, "the session ends with its tokens", func() bool {
		return a.ask(t, p.url+"/oauth2/auth").status == http.StatusUnauthorized
	})
	if hasSession(a.cookies(t, p)) {
		t.Error("the cookie of the session is left")
	}
}

func (s *guardedSite) checkNeverRefreshed(t *testing.T) {
	p := s.startProxy(t, "--set-authorization-header", "--approval-prompt=auto")
	a := p.mustEnter(t)
	passed := func() (expires time.Time, status int) {
		answer := a.ask(t, p.url+"/oauth2/auth")
		_, token, _ := strings.Cut(answer.header.Get("Authorization"), "Bearer ")
		seconds, ok := payloadOf(t, token)["exp"].(float64)
		if !ok {
			t.Fatal("the token has no exp")
		}
		return time.Unix(int64(seconds), 0), answer.status
	}
	expires, _ := passed()
	eventually(t, patience, "the token expires", func() bool { return time.Now().After(expires) })
	// Until --cookie-expire: a week.
	if later, status := passed(); status != http.StatusAccepted || !later.Equal(expires) {
		t.Errorf("afterwards the visitor gets %d and a token that expires at %v, not %v", status, later, expires)
	}
}
