package login_test

import (
	"log/slog"
	"net/url"
	"testing"

	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/login"
)

// The source that an e-mail address leads to is told the address, and no parameter of ours; the application gets back its own.
func TestSourceIsToldTheEmailAddress(t *testing.T) {
	s, other := &source{}, &source{}
	h := newFlow(t, s, func(cfg *login.Config) {
		pool := federation.NewPool(cfg.Store, cfg.IssuerURL, slog.New(slog.DiscardHandler), event.Discard)
		cfg.Connectors = pool.Registry([]*federation.Definition{
			{ID: "src", Name: "Source", Config: s, Domains: []string{"example.com"}}, {ID: "other", Name: "Other", Config: other},
		})
	})
	for name, more := range map[string]url.Values{
		"typed":                    {"dex_email": {"jane@example.com"}},
		"typed instead of hint":    {"dex_email": {"jane@example.com"}, "login_hint": {"joe@example.org"}},
		"typed at the choice":      {"dex_email": {"jane@example.com"}, "dex_choose": {"1"}, "prompt": {"select_account"}},
		"known to the application": {"login_hint": {"jane@example.com"}},
	} {
		s.told.LoginHint = ""
		if answer := signIn(t, h, more); answer.Get("code") == "" || len(answer) != 2 { // and iss
			t.Errorf("%s: the application is told %v", name, answer)
		}
		if s.told.LoginHint != "jane@example.com" || other.told.State != "" {
			t.Errorf("%s: the source is told %q", name, s.told.LoginHint)
		}
	}
}
