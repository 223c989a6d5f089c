package e2e

import (
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Selectors that identify the pages.
const (
	approveButton = ".dex-btn.theme-btn--success"
	denyButton    = ".dex-choice .theme-btn-provider"
	passwordForm  = "#submit-login"
	loginChoice   = ".dex-providers"
)

// startPrograms starts the server and the example application, and returns the latter's address.
func startPrograms(t *testing.T) (d *dex, app string) {
	t.Helper()
	address := freeAddress(t)
	app = "http://" + address
	c := newConfiguration(t)
	c.with("staticClients", []section{
		{"id": clientID, "name": "Example App", "secret": clientSecret, "redirectURIs": []string{app + "/callback"}},
		{"id": publicClientID, "name": "Command Line", "public": true},
	})
	d = startDex(t, c)
	startApp(t, c, app)
	return d, app
}

// beginLogin goes from the application's first page to the password form.
func (b *tab) beginLogin(app string) {
	b.t.Helper()
	b.open(app)
	b.click("#login-button", loginChoice)
	b.follow("Log in with Email", passwordForm)
}

// enterPassword fills in the password form.
func (b *tab) enterPassword(login, password, then string) {
	b.t.Helper()
	b.fill("#login", login)
	b.fill("#password", password)
	b.click(passwordForm, then)
}

// wantSignedIn checks that the application shows the administrator's claims.
func (b *tab) wantSignedIn() {
	b.t.Helper()
	b.wantText("#signed-in-as", adminName)
	for _, want := range []string{adminEmail, `"email_verified": true`, adminName, clientID} {
		b.wantText("#claims", want)
	}
}

func TestBrowserLogin(t *testing.T) {
	t.Parallel()
	_, app := startPrograms(t)
	b := newBrowser(t)
	b.beginLogin(app)
	b.enterPassword(adminEmail, adminPassword, approveButton)
	b.wantText(approveButton, "Grant Access")
	b.wantText("main", "Example App")
	b.wantText("main", adminEmail)
	b.click(approveButton, "#claims")
	b.wantSignedIn()

	idToken, refreshToken := b.text("#id-token"), b.text("#refresh-token")
	b.click("#refresh-button", "#claims")
	b.wantSignedIn()
	if b.text("#id-token") == idToken || b.text("#refresh-token") == refreshToken {
		t.Error("the refresh changed nothing")
	}
	b.click("#userinfo-button", "#userinfo")
	b.wantText("#userinfo", adminEmail)

	b.click("#logout-link", "#login-button")
	if evaluate[bool](b, `document.querySelector("#signed-in-as") !== null`) {
		t.Error("the application still shows somebody as signed in")
	}
}

func TestBrowserLoginWithoutAForm(t *testing.T) {
	t.Parallel()
	_, app := startPrograms(t)
	b := newBrowser(t)
	b.open(app)
	b.click("#login-button", loginChoice)
	b.follow("Log in with Example", approveButton)
	b.click(approveButton, "#claims")
	b.wantText("#claims", "kilgore@kilgore.trout")
}

func TestWrongPasswordKeepsTheName(t *testing.T) {
	t.Parallel()
	_, app := startPrograms(t)
	b := newBrowser(t)
	b.beginLogin(app)
	b.enterPassword(adminEmail, "not the password", "#login-error")
	b.wantText("#login-error", "Login failed")
	if got := evaluate[string](b, `document.querySelector("#login").value`); got != adminEmail {
		t.Errorf("the name is %q, want %q", got, adminEmail)
	}
	if got := evaluate[string](b, `document.querySelector("#password").value`); got != "" {
		t.Error("the wrong password is still there")
	}
	if got := evaluate[string](b, `document.activeElement.id`); got != "password" {
		t.Errorf("the focus is on %q, want the password", got)
	}
	b.enterPassword(adminEmail, adminPassword, approveButton)
	b.click(approveButton, "#claims")
	b.wantSignedIn()
}

func TestDenyLeadsBackToTheApplication(t *testing.T) {
	t.Parallel()
	_, app := startPrograms(t)
	b := newBrowser(t)
	b.beginLogin(app)
	b.enterPassword(adminEmail, adminPassword, approveButton)
	b.click(denyButton, "#error")
	b.wantText("#error", "access_denied")
	if at := evaluate[string](b, `location.href`); !strings.HasPrefix(at, app) {
		t.Errorf("the browser is at %s", at)
	}
}

func TestTwoTabsAtOnceBothFinish(t *testing.T) {
	t.Parallel()
	_, app := startPrograms(t)
	first := newBrowser(t)
	first.beginLogin(app)
	second := first.another()
	second.beginLogin(app)
	first.enterPassword(adminEmail, adminPassword, approveButton)
	second.enterPassword(adminEmail, adminPassword, approveButton)
	second.click(approveButton, "#claims")
	second.wantSignedIn()
	first.click(approveButton, "#claims")
	first.wantSignedIn()
}

func TestLoginWithoutJavaScript(t *testing.T) {
	t.Parallel()
	_, app := startPrograms(t)
	b := newBrowser(t)
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.open("data:text/html,<noscript>scripts are off</noscript><script>document.write('on')</script>")
	b.wantText("body", "scripts are off")
	b.beginLogin(app)
	b.enterPassword(adminEmail, "not the password", "#login-error")
	b.enterPassword(adminEmail, adminPassword, approveButton)
	b.click(approveButton, "#claims")
	b.wantSignedIn()
	b.click("#refresh-button", "#claims")
	b.wantSignedIn()
}

func TestLoginWithTheKeyboardOnly(t *testing.T) {
	t.Parallel()
	_, app := startPrograms(t)
	b := newBrowser(t)
	b.open(app)
	b.tabTo("#login-button")
	b.press(kb.Enter, loginChoice)
	b.tabTo(`a[href*="/auth/local"]`)
	b.press(kb.Enter, passwordForm)
	// The first field has the focus already.
	b.do(chromedp.KeyEvent(adminEmail))
	b.tabTo("#password")
	b.do(chromedp.KeyEvent(adminPassword))
	b.press(kb.Enter, approveButton)
	b.tabTo(approveButton)
	b.press(kb.Enter, "#claims")
	b.wantSignedIn()
}

// tabTo presses Tab until an element has the focus, which must be visible.
func (b *tab) tabTo(selector string) {
	b.t.Helper()
	quoted := "`" + selector + "`"
	for range 40 {
		b.do(chromedp.KeyEvent(kb.Tab))
		if !evaluate[bool](b, `document.activeElement.matches(`+quoted+`)`) {
			continue
		}
		visible := evaluate[bool](b, `(() => {
			const style = getComputedStyle(document.activeElement);
			return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== "none";
		})()`)
		if !visible {
			b.t.Errorf("%s has the focus, which nothing shows", selector)
		}
		return
	}
	b.t.Fatalf("Tab never comes to %s", selector)
}

// oobRequest is an authorization request of a command line program whose user types in the code.
func oobRequest(d *dex) string {
	return d.authURL("/auth/mock", url.Values{
		"client_id": {publicClientID}, "redirect_uri": {"urn:ietf:wg:oauth:2.0:oob"},
	})
}
