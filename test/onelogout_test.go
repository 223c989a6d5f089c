package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// TestOneLogoutForAllApplications logs people out at applications, which others are told of. No two requests in a row reach the
// same replica.
func TestOneLogoutForAllApplications(t *testing.T) {
	t.Parallel()
	e := startEstate(t, "gus", "hal", "ida", "joan", "kim", "lea", "max", "nell", "otto")
	for name, check := range map[string]func(*testing.T, *estate){
		"with a question":    checkLogoutAsked,
		"with a hint":        checkLogoutHinted,
		"by a form":          checkLogoutPosted,
		"a frame that hangs": checkLogoutHangs,
		"of all accounts":    checkLogoutOfAll,
		"without JavaScript": checkLogoutWithoutScripts,
		"stolen cookies":     checkStolenCookies,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, e)
		})
	}
}

// wantEnded checks that applications know of the end of the browser's only session, and that none can use it.
func (e *estate) wantEnded(b *tab, of idClaims) {
	b.t.Helper()
	e.wantTold(b.t, of)
	for _, p := range []*party{e.portal, e.wiki, e.files} {
		b.wantAnswer(p.at("prompt", "none"), "login_required")
	}
}

// wantTold checks that the portal and the wiki are told of the end of a session through both channels.
func (e *estate) wantTold(t *testing.T, of idClaims) {
	t.Helper()
	for _, p := range []*party{e.portal, e.wiki} {
		p.wantTold(t, e.issuer, of.Subject, of.Session)
		p.wantFrame(t, e.issuer, of.Session)
	}
}

// wantLoggedOut waits until the browser has come to the page that says so, with other pages on the way.
func (b *tab) wantLoggedOut() {
	b.t.Helper()
	eventually(b.t, patience, "the page that says that its user is logged out", func() bool {
		ctx, stop := context.WithTimeout(b.ctx, patience)
		defer stop()
		const there = `document.readyState === "complete" && (document.querySelector("h1")?.textContent ?? "").includes("logged out")`
		arrived, err := chromedp.Run(ctx, chromedp.Evaluate[bool](there))
		return err == nil && arrived
	})
}

// signInToAll signs somebody in to all applications, in one session.
func (e *estate) signInToAll(b *tab, name string) idClaims {
	b.t.Helper()
	b.signIn(e.files.at(), name)
	b.signIn(e.portal.at(), name)
	return b.agree(e.wiki.at())
}

func (e *estate) logoutAt(pairs ...string) string { return e.endpoint("/logout?" + query(pairs...)) }

func checkLogoutAsked(t *testing.T, e *estate) {
	b, another := newBrowser(t), newBrowser(t)
	of := e.signInToAll(b, "gus")
	another.passwordFormAt(e.portal.at())
	another.enterPassword("gus@example.org", adminPassword, "#claims")
	elsewhere := another.claims()

	b.open(e.logoutAt("client_id", "portal", "post_logout_redirect_uri", e.portal.URL+"/bye", "state", "the state"))
	b.wantText("main", "gus@example.org")
	if got := b.another().pass(e.wiki.at("prompt", "none")); got != of {
		t.Errorf("while the question is open, the wiki has %+v, want %+v", got, of)
	}
	b.click("#submit-logout", "#bye")
	b.wantText("#bye", "the state")
	e.wantEnded(b, of)

	if got := another.pass(e.portal.at("prompt", "none")); got != elsewhere {
		t.Errorf("in another browser, the portal has %+v, want %+v", got, elsewhere)
	}
	e.portal.wantNotTold(t, elsewhere.Session)
	b.open(e.logoutAt("client_id", "portal", "post_logout_redirect_uri", e.portal.URL+"/bye", "state", "again"))
	b.wantText("#bye", "again") // there is nobody to be asked
}

func checkLogoutHinted(t *testing.T, e *estate) {
	b := newBrowser(t)
	of := e.signInToAll(b, "hal")
	b.pass(e.portal.at())
	hint := b.text("#id-token")
	b.open(e.logoutAt("id_token_hint", hint, "post_logout_redirect_uri", e.wiki.URL+"/bye")) // which is another client's
	b.see("#still-open")
	if got := b.text("#still-open"); got != "Files" {
		t.Errorf("still open is %q, want the files alone", got)
	}
	b.wantLoggedOut()
	e.wantEnded(b, of)

	again := b.signIn(e.portal.at("scope", "openid email profile groups"), "hal")
	if again.Session == of.Session {
		t.Error("the session goes on")
	}
	b.open(e.logoutAt("id_token_hint", hint, "post_logout_redirect_uri", e.portal.URL+"/bye"))
	b.see("#submit-logout") // the hint is of a session that has ended
	if got := b.pass(e.portal.at("prompt", "none")); got.Session != again.Session {
		t.Errorf("an old hint has ended another session: %+v", got)
	}
}

// checkLogoutPosted has an application of another site post its request, which browsers send without cookies.
func checkLogoutPosted(t *testing.T, e *estate) {
	b := newBrowser(t)
	of := b.signIn(e.files.at(), "nell")
	form := func(fields string) {
		page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = fmt.Fprintf(w, `<!DOCTYPE html><link rel=icon href="data:,"><form method=post action=%q>%s<button>`, e.endpoint("/logout"),
				fields+fmt.Sprintf(`<input name=post_logout_redirect_uri value=%q><input name=state value="from afar">`, e.files.URL+"/bye"))
		}))
		defer page.Close()
		b.open(strings.Replace(page.URL, "127.0.0.1", "localhost", 1))
		b.do(chromedp.Click(chromedp.CSS("button")))
		b.see("#bye, #submit-logout")
	}
	form("<input name=client_id value=files>")
	b.wantText("main", "nell@example.org")
	if got := b.another().pass(e.files.at("prompt", "none")); got != of {
		t.Errorf("while the question is open, the files have %+v, want %+v", got, of)
	}
	b.click("#submit-logout", "#bye") // no application has a frame on the way
	b.wantText("#bye", "from afar")
	b.wantAnswer(e.files.at("prompt", "none"), "login_required")

	again := b.signIn(e.portal.at(), "nell")
	b.passwordFormAt(e.files.at())
	b.enterPassword("nell@example.org", adminPassword, "#id-token")
	if got := b.claims(); got.Session != again.Session {
		t.Errorf("the files have %+v, want the session of %+v", got, again)
	}
	hint := b.text("#id-token")
	form("<input name=id_token_hint value=" + hint + ">")
	b.wantText("#bye", "from afar")
	e.portal.wantTold(t, e.issuer, again.Subject, again.Session)
	e.portal.wantFrame(t, e.issuer, again.Session)
}

// checkLogoutHangs has an application never answer in its frame.
func checkLogoutHangs(t *testing.T, e *estate) {
	b := newBrowser(t)
	of := b.signIn(e.portal.at(), "otto")
	hint := b.text("#id-token")
	e.portal.mu.Lock()
	e.portal.hangs = of.Session
	e.portal.mu.Unlock()
	begun := time.Now()
	b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf("void (location = %q)",
		e.logoutAt("id_token_hint", hint, "post_logout_redirect_uri", e.portal.URL+"/bye", "state", "in the end"))))
	b.wantText("#bye", "in the end")
	if took := time.Since(begun); took < 3*time.Second || took > 15*time.Second {
		t.Errorf("the browser goes on after %v, want 3 s and a little", took)
	}
	e.portal.wantTold(t, e.issuer, of.Subject, of.Session)
	e.portal.wantFrame(t, e.issuer, of.Session)
}

func checkLogoutOfAll(t *testing.T, e *estate) {
	b := newBrowser(t)
	ida := e.signInToAll(b, "ida")
	joan := b.signIn(e.portal.at("prompt", "login"), "joan")
	b.open(e.issuer)
	b.wantText(".dex-identity", "joan@example.org")
	b.wantText("#accounts", "ida@example.org")
	b.follow("Log out", "#submit-logout")
	b.wantText("main", "joan@example.org")
	b.wantText("main", "ida@example.org")
	b.click("#submit-logout", "h1")
	b.see("#back, .dex-list")
	b.wantText("main", "ida@example.org")
	e.portal.wantTold(t, e.issuer, joan.Subject, joan.Session)
	e.wiki.wantNotTold(t, joan.Session)
	if got := b.pass(e.wiki.at("prompt", "none")); got != ida {
		t.Errorf("after the logout of the other account, the wiki has %+v, want %+v", got, ida)
	}
	joan = b.signIn(e.portal.at("prompt", "login", "scope", "openid email profile groups"), "joan")
	b.open(e.endpoint("/logout"))
	b.click("#submit-logout-all", "#still-open")
	e.wantEnded(b, ida)
	b.open(e.issuer)
	b.wantText("h1", "Login service")
	e.portal.wantTold(t, e.issuer, joan.Subject, joan.Session)
	e.portal.wantFrame(t, e.issuer, joan.Session)
}

func checkLogoutWithoutScripts(t *testing.T, e *estate) {
	b := newBrowser(t)
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	kim := e.signInToAll(b, "kim")
	b.signIn(e.portal.at("prompt", "login"), "lea")
	b.open(e.portal.at())
	b.see("#accounts")
	b.follow("kim@example.org", "#claims")
	if got := b.claims(); got.Subject != kim.Subject || got.Session != kim.Session {
		t.Fatalf("chosen is %+v, want %+v", got, kim)
	}
	hint := b.text("#id-token")
	begun := time.Now()
	b.open(e.logoutAt("id_token_hint", hint, "post_logout_redirect_uri", e.portal.URL+"/bye", "state", "slow"))
	b.see("#bye") // without a click
	b.wantText("#bye", "slow")
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the browser goes on after %v only", took)
	}
	e.wantTold(t, kim)
	b.wantAnswer(e.portal.at("prompt", "none", "id_token_hint", hint), "login_required")
	b.open(e.endpoint("/logout"))
	b.wantText("main", "lea@example.org")
	b.click("#submit-logout", "#next")
	b.click("#next", "h1")
	b.wantLoggedOut()
}

// sessionCookie returns the browser's cookie for its sessions.
func (b *tab) sessionCookie(d *dex) *network.Cookie {
	b.t.Helper()
	all := call(b, network.GetCookies, network.GetCookiesParams{URLs: []string{d.endpoint("/auth")}}).Cookies
	i := slices.IndexFunc(all, func(c *network.Cookie) bool { return c.Name == "dex_session" })
	if i < 0 {
		b.t.Fatalf("the browser has no session among %d cookies", len(all))
	}
	return all[i]
}

// plant gives the browser a cookie for sessions, as a neighbour could.
func (b *tab) plant(path, value string) {
	b.t.Helper()
	call(b, network.SetCookie, network.SetCookieParams{Name: "dex_session", Value: value, Domain: "127.0.0.1", Path: path})
}

// checkStolenCookies shows cookies that aren't the browser's own.
func checkStolenCookies(t *testing.T, e *estate) {
	owner, thief := newBrowser(t), newBrowser(t)
	of := owner.signIn(e.portal.at(), "max")
	cookie := owner.sessionCookie(e.dex)
	if !cookie.HTTPOnly || cookie.SameSite != network.CookieSameSiteLax {
		t.Errorf("the cookie is %+v", cookie)
	}
	forged := []byte(cookie.Value)
	forged[len(forged)/2] ^= 1
	for name, value := range map[string]string{"forged": string(forged), "cut off": cookie.Value[:40], "another's": foreignCookie(t)} {
		thief.plant(cookie.Path, value)
		thief.open(e.portal.at("prompt", "none"))
		if got := thief.text("#error"); got != "login_required" {
			t.Errorf("%s: %s", name, got)
		}
	}
	// A neighbour's nonsense keeps nobody out, and another's session is not mistaken for one's own.
	owner.plant("/", string(forged))
	if got := owner.pass(e.portal.at("prompt", "none")); got != of {
		t.Errorf("beside a forged cookie, the portal has %+v, want %+v", got, of)
	}
	thief.signIn(e.wiki.at("prompt", "login"), "lea")
	owner.plant("/", thief.sessionCookie(e.dex).Value)
	owner.wantAnswer(e.portal.at("prompt", "none"), "login_required")
	owner.wantAnswer(e.wiki.at("prompt", "none"), "login_required")
	owner.plant("/", string(forged))

	owner.open(e.logoutAt("client_id", "portal"))
	owner.click("#submit-logout", "h1")
	thief.plant(cookie.Path, cookie.Value)
	thief.wantAnswer(e.portal.at("prompt", "none"), "login_required")
	e.portal.wantTold(t, e.issuer, of.Subject, of.Session)
}

// foreignCookie returns a good cookie of another server on the same host.
func foreignCookie(t *testing.T) string {
	t.Helper()
	app := startParty(t, "portal")
	c := newConfiguration(t).with("sessions", section{}).with("staticPasswords", []section{resident("max")})
	d := startDex(t, c.withIssuer(c.issuer+"2").with("staticClients", []section{app.client(nil)}))
	app.of(t, d)
	b := newBrowser(t)
	b.signIn(app.at(), "max")
	return b.sessionCookie(d).Value
}
