package app_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Whatever a stranger asks the authorization endpoint, the browser is sent to registered addresses only, and nothing is
// our fault.
func FuzzAuthorize(f *testing.F) {
	s := startWith(f, configuration)
	f.Add("/dex/auth", request().Encode())
	f.Add("/dex/auth/local", request("prompt", "none").Encode())
	f.Add("/dex/auth/odd%20id%2F%25", request("code_challenge", "x", "max_age", "1").Encode())
	f.Add("/dex/auth", request("redirect_uri", "https://app.test/callback\r\nX: y", "state", "\x00").Encode())
	f.Add("/dex/auth/..", "client_id=cli&redirect_uri=http://localhost\\@evil/&response_type=code&scope=openid")
	f.Fuzz(func(t *testing.T, path, query string) {
		u := &url.URL{Path: path, RawQuery: query}
		r, err := http.NewRequest(http.MethodGet, "http://dex.test"+u.String(), nil)
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		if to := w.Header().Get("Location"); to != "" && !expected(to) {
			t.Fatalf("the browser is sent to %q", to)
		}
	})
}

// expected reports whether a redirect stays here or goes to a registered application.
func expected(to string) bool {
	u, err := url.Parse(to)
	if err != nil {
		return false
	}
	switch u.Host {
	case "":
		return strings.HasPrefix(to, "/dex") && !strings.HasPrefix(to, "//")
	case "dex.test", "app.test", "other.test", "strict.test":
		return true
	}
	return u.Scheme == "http" && (u.Hostname() == "localhost" || u.Hostname() == "::1" || strings.HasPrefix(u.Hostname(), "127."))
}

// Whatever a stranger sends to the token endpoint, there is no token and it is not our fault.
func FuzzToken(f *testing.F) {
	s := startWith(f, configuration)
	f.Add(codeForm("x").Encode(), "")
	f.Add(refreshForm("CgR0ZXN0EgNiYXI").Encode(), "Basic YXBwOmFwcC1zZWNyZXQ=")
	f.Add("grant_type=refresh_token&refresh_token=%00&client_id=cli", "")
	f.Add("grant_type=authorization_code&grant_type=x", "Basic !")
	f.Fuzz(func(t *testing.T, body, authorization string) {
		r := httptest.NewRequest(http.MethodPost, "http://dex.test/dex/token", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code < 400 || w.Code >= 500 {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
	})
}
