package relyingparty_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

func TestExpiry(t *testing.T) {
	var kind, body string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write([]byte(body))
	}))
	defer s.Close()
	us := (&relyingparty.Client{ID: "dex"}).Over(s.Client())
	for _, c := range []struct {
		kind, body string
		life       time.Duration // 0 for no end
	}{
		{"application/json", `{"access_token": "a"}`, 0},
		{"application/json", `{"access_token": "a", "expires_in": 3600}`, time.Hour},
		{"application/json", `{"access_token": "a", "expires_in": "3600"}`, time.Hour},
		{"application/json", `{"access_token": "a", "expires_in": 0}`, 0},
		{"application/json", `{"access_token": "a", "expires_in": null}`, 0},
		{"application/json", `{"access_token": "a", "expires_in": -1}`, 0},
		{"application/json", `{"access_token": "a", "expires_in": "soon"}`, 0},
		{"application/json", `{"access_token": "a", "expires_in": {}}`, 0},
		{"application/json", `{"access_token": "a", "expires_in": 1e300}`, 1 << 31 * time.Second},
		{"application/x-www-form-urlencoded", "access_token=a&expires_in=3600", time.Hour},
		{"text/plain; charset=utf-8", "access_token=a", 0},
	} {
		kind, body = c.kind, c.body
		before := time.Now()
		given, err := us.Renew(t.Context(), relyingparty.Endpoint{URL: s.URL}, "r")
		if err != nil || given.Refresh != "r" {
			t.Errorf("%s: %+v, %v", c.body, given, err)
			continue
		}
		if c.life == 0 && !given.Expiry.IsZero() ||
			c.life > 0 && (given.Expiry.Before(before.Add(c.life)) || given.Expiry.After(time.Now().Add(c.life))) {
			t.Errorf("%s: the token ends at %v", c.body, given.Expiry)
		}
	}
}

func TestUsable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		given := &relyingparty.Tokens{Access: "a", Expiry: time.Now().Add(time.Minute)}
		if !given.Usable() || !(&relyingparty.Tokens{Access: "a"}).Usable() || (&relyingparty.Tokens{Refresh: "r"}).Usable() {
			t.Error("a token is taken for another")
		}
		time.Sleep(50 * time.Second)
		if given.Usable() {
			t.Error("a token that is about to end is shown")
		}
	})
}

func TestKept(t *testing.T) {
	given := &relyingparty.Tokens{Access: "a", Refresh: "r", ID: "i", Expiry: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	data, err := given.Keep()
	if err != nil || string(data) != `{"accessToken":"a","refreshToken":"r","expiry":"2030-01-01T00:00:00Z"}` {
		t.Errorf("%s, %v", data, err)
	}
	for text, want := range map[string]relyingparty.Tokens{
		string(data): {Access: "a", Type: "Bearer", Refresh: "r", Expiry: given.Expiry},
		`{"accessToken":"a","refreshToken":"","expiry":"0001-01-01T00:00:00Z"}`: {Access: "a", Type: "Bearer"},
		`{"AccessToken":"a"}`: {Access: "a", Type: "Bearer"},
	} {
		if got, err := relyingparty.Kept([]byte(text)); err != nil || !cmp.Equal(*got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "{}", "foobar", `{"accessToken":1}`} {
		if _, err := relyingparty.Kept([]byte(text)); !errors.Is(err, connector.ErrGone) {
			t.Errorf("%s: %v", text, err)
		}
	}
	given.Access = strings.Repeat("a", 1<<16)
	if _, err := given.Keep(); err == nil {
		t.Error("a token of any length is kept")
	}
}

// Errors go into the log, where a provider, or a browser that comes back, must not write pages.
func TestErrorsAreShort(t *testing.T) {
	const long = 1000 // bytes
	much := strings.Repeat("x", 10*long)
	for kind, body := range map[string]string{
		"application/json":                  `{"error": "` + much + `", "error_description": "` + much + `"}`,
		"application/x-www-form-urlencoded": "error=" + much + "&error_description=" + much,
	} {
		_, err := relyingparty.ReadTokens(&outbound.Answer{Status: 400, Header: http.Header{"Content-Type": {kind}}, Body: []byte(body)})
		if err == nil || len(err.Error()) > long {
			t.Errorf("%s: %.100v", kind, err)
		}
	}
	err := relyingparty.CheckAnswer(url.Values{"error": {much}, "error_description": {much}})
	if err == nil || len(err.Error()) > long {
		t.Errorf("%.100v", err)
	}
}
