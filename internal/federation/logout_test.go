package federation_test

import (
	"log/slog"
	"net/url"
	"testing"

	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/store/memory"
)

// Connectors learn where sources meet users who sign out, if users can sign out.
func TestWhereUsersSignOut(t *testing.T) {
	for name, c := range map[string]struct {
		logout      bool
		shared, own string
	}{
		"without sessions": {},
		"with sessions":    {true, "https://dex.test/dex/logout/callback", "https://dex.test/dex/logout/a%2Fb"},
	} {
		issuer := &url.URL{Scheme: "https", Host: "dex.test", Path: "/dex"}
		pool := federation.NewPool(memory.New(), issuer, slog.New(slog.DiscardHandler), event.Discard).WithLogout(c.logout)
		connector := &told{}
		r := pool.Registry([]*federation.Definition{{ID: "a/b", Config: connector}})
		if _, err := r.Open(t.Context(), "a/b"); err != nil {
			t.Fatal(err)
		}
		if env := connector.env; env.LogoutURL != c.shared || env.OwnLogoutURL != c.own {
			t.Errorf("%s: %q and %q", name, env.LogoutURL, env.OwnLogoutURL)
		}
		if c.logout && r.LogoutURL("a/b") != c.own {
			t.Errorf("%s: the registry says %q", name, r.LogoutURL("a/b"))
		}
	}
}
