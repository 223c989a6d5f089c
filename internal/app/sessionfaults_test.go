package app_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"dex/internal/store"
)

// sessionVisits use a browser's session.
var sessionVisits = map[string]visit{
	"home": func(b *browser) func(*browser) answer {
		b.quickLogin()
		return func(there *browser) answer { return there.visit("/dex") }
	},
	"silent": func(b *browser) func(*browser) answer {
		b.quickLogin()
		return func(there *browser) answer { return there.visit(to("shop", "prompt", "none")) }
	},
	"another client": func(b *browser) func(*browser) answer {
		b.quickLogin()
		return func(there *browser) answer { return there.visit(to("till")) }
	},
	"choice of accounts": func(b *browser) func(*browser) answer {
		b.quickLogin()
		return func(there *browser) answer { return there.visit(to("shop", "prompt", "select_account")) }
	},
	"first sign-in": func(b *browser) func(*browser) answer {
		trip := b.visit(to("shop", "connector_id", "mock")).wantStatus(http.StatusFound).path()
		return func(there *browser) answer { return there.visit(trip) }
	},
	"sign-in again": func(b *browser) func(*browser) answer {
		b.quickLogin()
		trip := b.visit(to("shop", "connector_id", "mock", "prompt", "login")).wantStatus(http.StatusFound).path()
		return func(there *browser) answer { return there.visit(trip) }
	},
	"one account too many": func(b *browser) func(*browser) answer {
		b.quickLogin()
		form := b.visit(to("shop", "connector_id", "odd id/%")).wantStatus(http.StatusFound).path()
		return func(there *browser) answer { return there.post(form, url.Values{"login": {"u"}, "password": {"p"}}) }
	},
	"refresh": func(b *browser) func(*browser) answer {
		token := b.quickLogin().text("refresh_token")
		return func(there *browser) answer { return there.token(refreshForm(token), asShop) }
	},
	"question": func(b *browser) func(*browser) answer {
		b.quickLogin()
		return func(there *browser) answer { return there.logout("client_id", "shop") }
	},
}

// quickLogin signs in to the shop without a password, whose check takes long, and returns the tokens.
func (b *browser) quickLogin() answer {
	b.t.Helper()
	trip := b.visit(to("shop", "connector_id", "mock")).wantStatus(http.StatusFound).path()
	return b.redeem("shop", b.visit(trip).wantStatus(http.StatusSeeOther))
}

// A storage that fails at any one operation signs nobody in by a session, and no page claims what isn't so.
func TestFaultsOfSessions(t *testing.T) {
	yaml := withSessions + "sessions: {maxAccounts: 1}\n"
	for name, visit := range sessionVisits {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s late=%t", name, late), func(t *testing.T) {
				t.Parallel()
				for n := 1; faultyVisit(t, yaml, visit, n, late); n++ {
				}
			})
		}
	}
}

// logouts end the session of the shop's user.
var logouts = map[string]visit{
	"by hint": func(b *browser) func(*browser) answer {
		hint := b.quickLogin().text("id_token")
		return func(there *browser) answer { return there.logout("id_token_hint", hint) }
	},
	"by an answer": func(b *browser) func(*browser) answer {
		b.quickLogin()
		page := b.logout().wantAsked()
		return func(there *browser) answer { return there.answer(page) }
	},
	"through frames": func(b *browser) func(*browser) answer {
		hint := b.quickLogin().text("id_token")
		b.redeem("pawn", b.visit(to("pawn")).wantStatus(http.StatusSeeOther))
		return func(there *browser) answer { return there.logout("id_token_hint", hint) }
	},
	"after frames": func(b *browser) func(*browser) answer {
		hint := b.quickLogin().text("id_token")
		b.redeem("pawn", b.visit(to("pawn")).wantStatus(http.StatusSeeOther))
		page := b.logout("id_token_hint", hint)
		next := regexp.MustCompile(`id="next" href="([^"]*)"`).FindStringSubmatch(page.wantStatus(http.StatusOK).body)
		return func(there *browser) answer { return there.visit(html.UnescapeString(next[1])) }
	},
}

// Nobody is told that they are logged out while their session lives, whatever operation of the storage fails, nor before their
// applications are sure to be told. After a failure, the same once more ends it.
func TestFaultsOfLogout(t *testing.T) {
	yaml := strings.NewReplacer(toldOf[0], "ssoSharedWith: [till, app, pawn]\n  backchannelLogoutURI: https://shop.test/out").
		Replace(strings.Replace(withSessions, "\noauth2:", pawn+"oauth2:", 1)) + "sessions: {}\n"
	for name, visit := range logouts {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s late=%t", name, late), func(t *testing.T) {
				t.Parallel()
				for n := 1; faultyLogout(t, yaml, visit, n, late); n++ {
				}
			})
		}
	}
}

// faultyLogout logs out while the nth operation fails. It reports whether there were so many.
func faultyLogout(t *testing.T, yaml string, visit visit, n int, late bool) bool {
	t.Helper()
	k := kept{}
	k.server = startOn(t, yaml, func(inner store.Store) store.Store { k.store = inner; return inner })
	ready := k.browser()
	call := visit(ready)
	at, err := url.Parse(issuer)
	if err != nil {
		t.Fatal(err)
	}
	before := k.browser()
	before.jar.SetCookies(at, ready.jar.Cookies(at))
	again := *before
	f := &faulty{Store: k.store, late: late}
	there := &browser{server: startOn(t, yaml, func(store.Store) store.Store { return f }), jar: ready.jar}
	f.failAt = n
	a := call(there)
	if f.failed && a.status >= http.StatusBadRequest {
		if a.status < http.StatusInternalServerError {
			t.Errorf("operation %d failed, and the answer is %d %s", n, a.status, a.body)
		}
		a = call(&again)
	}
	if a.status >= http.StatusBadRequest {
		t.Errorf("after operation %d: %d %s", n, a.status, a.body)
	}
	before.wantSignedIn(false)
	if told := k.told(); told != "shop" {
		t.Errorf("operation %d failed, and %q are told", n, told)
	}
	return f.failed
}
