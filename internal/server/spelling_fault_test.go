package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dex/internal/faulttest"
	"dex/internal/server"
)

// A needless escape in a path's variable got around the rule of a proxy that compares paths without decoding them.
var _ = faulttest.Add("R7", func(t *testing.T) {
	base := start(t, options("/dex"),
		server.Route{Pattern: "/callback/{connector}", Handler: show("")},
		server.Route{Pattern: "/auth/{connector}/login", Handler: show("")},
		server.Route{Pattern: "/static/{file...}", Handler: show("")},
	)
	for _, pattern := range []string{"/callback/*", "/auth/*/login", "/static/*"} {
		for char := range 128 {
			// The character as url.PathEscape writes it, and escaped whether it must be or not.
			usual := url.PathEscape(string(rune(char)))
			for _, escaped := range []string{fmt.Sprintf("%%%02X", char), fmt.Sprintf("%%%02x", char)} {
				unreserved := strings.Trim(string(rune(char)), "-._~abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
				want := http.StatusOK
				if unreserved {
					want = http.StatusNotFound
				}
				target := "/dex" + strings.Replace(pattern, "*", "a"+escaped+"b", 1)
				if status, _, _ := ask(t, base, "GET", target); status != want {
					t.Errorf("%s: %d, want %d", target, status, want)
				}
			}
			target := "/dex" + strings.Replace(pattern, "*", "a"+usual+"b", 1)
			if status, _, _ := ask(t, base, "GET", target); status != http.StatusOK {
				t.Errorf("%s: %d", target, status)
			}
		}
	}
})
