package authproxy_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

// The connector trusted the headers at other spellings of the path that the proxy guards.
var _ = faulttest.Add("R7", func(t *testing.T) {
	for _, test := range []struct{ id, path string }{
		{"proxy", "/dex/callback/proxy"},
		{"proxy", "/dex/callback/%70roxy"},
		{"proxy", "/dex/callback/prox%79"},
		{"the proxy/ü", "/dex/callback/the%20proxy%2F%C3%BC"},
		{"the proxy/ü", "/dex/callback/the%20proxy%2f%C3%BC"},
		{"the proxy/ü", "/dex/callback/the%20proxy%2F%c3%bc"},
		{"pro(x)y", "/dex/callback/pro%28x%29y"},
		{"pro(x)y", "/dex/callback/pro(x)y"},
		{"proxy", "/dex/callback"},
	} {
		c, _ := decode(t, nil)
		instance, err := c.Open(t.Context(), connector.Env{ID: test.id, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		source := instance.(connector.Callback)
		r := httptest.NewRequest(http.MethodGet, "https://dex.test"+test.path+"?state=s", nil)
		r.Header.Set("X-Remote-User", "jane")
		r.SetPathValue("connector", test.id)
		to, err := source.Begin(t.Context(), connector.LoginRequest{CallbackURL: "https://dex.test/dex/callback", State: "s"})
		if err != nil {
			t.Fatal(err)
		}
		guarded := strings.HasPrefix(to.URL, "https://dex.test"+test.path+"?")
		_, err = source.HandleCallback(t.Context(), connector.Return{State: "s", Request: r})
		if (err == nil) != guarded {
			t.Errorf("%s: %s: %v", test.id, test.path, err)
		}
	}
})
