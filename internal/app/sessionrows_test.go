package app_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/app"
	"dex/internal/connector/local"
	"dex/internal/identity"
	"dex/internal/session"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// pawn is a client that is told of logouts through the browser; it goes with withSessions.
const pawn = `
- {id: pawn, secret: pawn-secret, name: Pawn, redirectURIs: ["https://pawn.test/cb"],
   frontchannelLogoutURI: "https://pawn.test/out?x=1", backchannelLogoutSessionRequired: true}
`

// A kept is a server with sessions, and its storage.
type kept struct {
	*server
	core  *app.Core
	store store.Store
}

// startKept runs the configuration with sessions; what the section says is added to it, and pairs of old and new text change it.
func startKept(t *testing.T, section string, changes ...string) kept {
	t.Helper()
	k := kept{}
	yaml := strings.NewReplacer(changes...).Replace(strings.Replace(withSessions, "\noauth2:", pawn+"oauth2:", 1))
	k.core = open(t, yaml+"sessions: {"+section+"}\n", func(inner store.Store) store.Store { k.store = inner; return inner })
	k.server = &server{t: t, handler: k.core.Handler()}
	return k
}

// withConsent has users asked for consent.
var withConsent = []string{"skipApprovalScreen: true, ", ""}

// block blocks all users who are known.
func (k kept) block(until time.Time) {
	k.t.Helper()
	table := store.In(k.store, identity.Kind)
	known, err := table.List(k.t.Context(), store.Query{Limit: 10})
	if err != nil || len(known) == 0 {
		k.t.Fatalf("%d users, %v", len(known), err)
	}
	for _, e := range known {
		if _, err := table.Update(k.t.Context(), e.Key, func(v *identity.Identity) error { v.BlockedUntil = until; return nil }); err != nil {
			k.t.Fatal(err)
		}
	}
}

// session returns the only session that there is.
func (k kept) session() session.Session {
	k.t.Helper()
	all, err := store.In(k.store, session.Kind).List(k.t.Context(), store.Query{Limit: 10})
	if err != nil || len(all) != 1 {
		k.t.Fatalf("%d sessions, %v", len(all), err)
	}
	return all[0].Value
}

// asShop authenticates the shop.
func asShop(r *http.Request) { r.SetBasicAuth("shop", "shop-secret") }

// wantSignedIn checks whether the shop's user needs no question.
func (b *browser) wantSignedIn(want bool) {
	b.t.Helper()
	a := b.visit(to("shop", "prompt", "none")).wantStatus(http.StatusSeeOther)
	if got := a.params(); got.Has("code") != want {
		b.t.Errorf("the application is told %v", got)
	}
}

// Rows about what sessions of browsers are good for.
func TestDepartureSessions(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"D-951 silent logins need a session":                testSilentRow,
		"D-952 silent logins without consent":               testSilentConsent,
		"D-954 B-19 auth_time is the browser's":             testBrowsersAuthTime,
		"D-966 select_account always asks":                  testSelectAccount,
		"B-07 refresh tokens of users who are not known":    testUnknownRefresh,
		"B-11 blocked users":                                testBlocked,
		"B-12 prompt=none with alwaysShowLoginScreen":       testAlwaysShow,
		"B-17 browsers are remembered":                      testRemember,
		"B-20 each sign-in has a new secret":                testNewSecret,
		"B-32 clients are noted when they get their answer": testNoted,
		"B-34 a user who is gone loses all sessions":        testGone,
		"B-35 openid alone needs no consent":                testOpenIDAlone,
		"D-706 refresh tokens of a session that has ended":  testBoundRefresh,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

func testSilentRow(t *testing.T) {
	k := startKept(t, "")
	b := k.browser()
	b.visit(to("shop", "prompt", "none")).wantRedirectError("login_required")
	b.shopLogin()
	b.wantSignedIn(true)
}

func testSilentConsent(t *testing.T) {
	b := startKept(t, "", withConsent...).browser()
	form := b.visit(to("shop", "connector_id", "local", "scope", "openid email")).wantStatus(http.StatusFound).path()
	page := b.post(form, credentials()).wantStatus(http.StatusSeeOther).path()
	b.redeem("shop", b.post(page, url.Values{"approval": {"approve"}}))
	b.redeem("shop", b.visit(to("shop", "prompt", "none", "scope", "openid email")))
	b.visit(to("shop", "prompt", "none", "scope", "openid email groups")).wantRedirectError("consent_required")
}

func testBrowsersAuthTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := startKept(t, "validIfNotUsedFor: 12h")
		first, second := k.browser(), k.browser()
		want := claims(t, first.shopLogin().text("id_token"))["auth_time"]
		time.Sleep(time.Hour)
		second.shopLogin()
		again := first.redeem("shop", first.visit(to("shop", "prompt", "none")))
		if got := claims(t, again.text("id_token"))["auth_time"]; got != want {
			t.Errorf("auth_time is %v, want %v", got, want)
		}
		const recent = "1800"
		first.visit(to("shop", "prompt", "none", "max_age", recent)).wantRedirectError("login_required")
		second.redeem("shop", second.visit(to("shop", "prompt", "none", "max_age", recent)))
	})
}

func testSelectAccount(t *testing.T) {
	b := startKept(t, "").browser()
	b.shopLogin()
	page := b.visit(to("shop", "prompt", "select_account")).wantStatus(http.StatusOK)
	link := regexp.MustCompile(`href="([^"]*dex_account=[^"]*)"`).FindStringSubmatch(page.body)
	if link == nil {
		t.Fatalf("no account to choose: %s", page.body)
	}
	b.redeem("shop", b.visit(html.UnescapeString(link[1])))
	if a := b.visit(to("shop", "prompt", "select_account", "connector_id", "local")); a.status == http.StatusSeeOther {
		t.Errorf("the session is used unasked: %s", a.location())
	}
	b.visit(to("shop", "prompt", "select_account none")).wantRedirectError("invalid_request")
}

func testUnknownRefresh(t *testing.T) {
	inner := memory.New()
	on := func(store.Store) store.Store { return inner }
	before := startOn(t, configuration, on).tokens()
	k := startOn(t, configuration+"oauth2: {grantTypes: [refresh_token, password], passwordConnector: local}\nsessions: {}\n", on)
	owned := k.token(form("grant_type", "password", "username", "admin@example.com", "password", "password", "scope", "openid offline_access"))
	for _, tokens := range []answer{before, owned.wantStatus(http.StatusOK)} {
		k.token(refreshForm(tokens.text("refresh_token"))).wantStatus(http.StatusOK)
	}
}

func testBlocked(t *testing.T) {
	k := startKept(t, "", "grantTypes: [", "passwordConnector: local, grantTypes: [password, "+exchangeGrant+", ",
		"refreshTokenLifetime: session", "")
	b, other := k.browser(), k.browser()
	tokens := b.shopLogin()
	other.redeem("shop", other.throughMock("client_id", "shop", "redirect_uri", "https://shop.test/cb"))
	owner := form("grant_type", "password", "username", "admin@example.com", "password", "password", "scope", "openid")
	exchange := form("grant_type", exchangeGrant, "connector_id", "mock", "scope", "openid", "subject_token", "any",
		"subject_token_type", "urn:ietf:params:oauth:token-type:access_token")
	k.token(owner, asShop).wantStatus(http.StatusOK)
	k.token(exchange, asShop).wantStatus(http.StatusOK)

	k.block(time.Now().Add(time.Hour))
	b.visit(to("shop")).wantStatus(http.StatusForbidden)
	b.visit(to("shop", "prompt", "none")).wantRedirectError("access_denied")
	stranger := k.browser()
	form := stranger.visit(to("shop", "connector_id", "local")).wantStatus(http.StatusFound).path()
	stranger.post(form, credentials()).wantStatus(http.StatusForbidden)
	for _, f := range []url.Values{refreshForm(tokens.text("refresh_token")), owner, exchange} {
		k.token(f, asShop).wantError(http.StatusBadRequest, "invalid_grant")
	}

	k.block(time.Now())
	b.wantSignedIn(true)
	for _, f := range []url.Values{refreshForm(tokens.text("refresh_token")), owner, exchange} {
		k.token(f, asShop).wantStatus(http.StatusOK)
	}
}

func testAlwaysShow(t *testing.T) {
	b := startKept(t, "", "oauth2: {", "oauth2: {alwaysShowLoginScreen: true, ").browser()
	b.wantSignedIn(false)
	b.shopLogin()
	b.visit(to("shop")).wantStatus(http.StatusOK) // the choice of connectors
	b.wantSignedIn(true)
}

func testRemember(t *testing.T) {
	for section, want := range map[string]bool{"": true, "rememberMeCheckedByDefault: false": false} {
		b := startKept(t, section).browser()
		a := b.throughMock("client_id", "shop", "redirect_uri", "https://shop.test/cb").wantStatus(http.StatusSeeOther)
		for _, c := range (&http.Response{Header: a.header}).Cookies() {
			if outlives := c.MaxAge > 0; c.Name == "dex_session" && outlives != want {
				t.Errorf("{%s}: the cookie is %v", section, c)
			}
		}
		form := b.visit(b.visit(to("till", "connector_id", "local", "prompt", "login")).path()).wantStatus(http.StatusOK)
		if _, box, _ := strings.Cut(form.body, `id="remember_me"`); strings.Contains(strings.SplitN(box, ">", 2)[0], "checked") != want {
			t.Errorf("{%s}: the box is %.100s", section, box)
		}
	}
}

func testNewSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := startKept(t, "absoluteLifetime: 10h, validIfNotUsedFor: 10h")
		b, thief := k.browser(), k.browser()
		sid := claims(t, b.shopLogin().text("id_token"))["sid"]
		at, _ := url.Parse(issuer)
		thief.jar.SetCookies(at, b.jar.Cookies(at))
		thief.wantSignedIn(true)
		time.Sleep(6 * time.Hour)
		if again := claims(t, b.shopLogin("prompt", "login").text("id_token"))["sid"]; again != sid {
			t.Errorf("the session is another: %v, not %v", again, sid)
		}
		time.Sleep(6 * time.Hour) // longer than a session lives from the first sign-in on
		b.wantSignedIn(true)
		thief.wantSignedIn(false)
	})
}

func testNoted(t *testing.T) {
	k := startKept(t, "", withConsent...)
	b := k.browser()
	form := b.visit(to("shop", "connector_id", "local")).wantStatus(http.StatusFound).path()
	page := b.post(form, credentials()).wantStatus(http.StatusSeeOther).path()
	b.redeem("shop", b.post(page, url.Values{"approval": {"approve"}}))
	page = b.visit(to("till")).wantStatus(http.StatusSeeOther).path()
	b.visit(to("till", "prompt", "none")).wantRedirectError("consent_required")
	if took := k.session().Clients; len(took) != 1 {
		t.Errorf("the session counts %v", took)
	}
	b.redeem("till", b.post(page, url.Values{"approval": {"approve"}}))
	if took := k.session().Clients; len(took) != 2 || !took["till"].ViaSSO {
		t.Errorf("the session counts %v", took)
	}
}

func testOpenIDAlone(t *testing.T) {
	for section, asked := range map[string]bool{"": false, "rememberConsent: false": true} {
		b := startKept(t, section, withConsent...).browser()
		form := b.visit(to("shop", "connector_id", "local", "scope", "openid")).wantStatus(http.StatusFound).path()
		if a := b.post(form, credentials()).wantStatus(http.StatusSeeOther); (a.location().Query().Get("code") == "") != asked {
			t.Errorf("{%s}: leads to %s", section, a.location())
		}
	}
}

func testGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := startKept(t, "", "refreshTokenLifetime: session", "")
		hash, err := bcrypt.GenerateFromPassword([]byte("geheim"), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		put(t, k.store, local.Kind, "ann@example.com", local.User{Email: "ann@example.com", Hash: hash, UserID: "1", Username: "ann"})
		ann := url.Values{"login": {"ann@example.com"}, "password": {"geheim"}}
		first, second := k.browser(), k.browser()
		var tokens answer
		for _, b := range []*browser{first, second} {
			form := b.visit(to("shop", "connector_id", "local")).wantStatus(http.StatusFound).path()
			tokens = b.redeem("shop", b.post(form, ann))
			b.wantSignedIn(true)
		}
		if err := k.store.Delete(t.Context(), local.Kind.Name(), "ann@example.com", ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // users are kept in memory for some seconds
		k.token(refreshForm(tokens.text("refresh_token")), asShop).wantError(http.StatusBadRequest, "invalid_grant")
		first.wantSignedIn(false)
		second.wantSignedIn(false)
	})
}

func testBoundRefresh(t *testing.T) {
	k := startKept(t, "")
	b := k.browser()
	tokens := b.shopLogin()
	k.introspect(tokens.text("refresh_token"), asShop).wantActive(nil)
	b.logout("id_token_hint", tokens.text("id_token")).wantStatus(http.StatusOK)
	k.introspect(tokens.text("refresh_token"), asShop).wantInactive()
	k.token(refreshForm(tokens.text("refresh_token")), asShop).wantError(http.StatusBadRequest, "invalid_grant")
}
