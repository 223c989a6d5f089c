package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// localLogin is the link to the password form.
const localLogin = `a[href*="/auth/local"]`

// TestEveryFlowFits goes through all flows in all windows, with scripts and without, in light and dark, from left to right and from
// right to left.
func TestEveryFlowFits(t *testing.T) {
	t.Parallel()
	languages := openGallery(t, nil).three(t)
	code := pageChecks(t)
	for i, language := range slices.Compact([]string{"en", languages[len(languages)-1]}) {
		for j, scripts := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, scripts %t", language, scripts), func(t *testing.T) {
				t.Parallel()
				d, app := startPrograms(t)
				v := &view{tab: newBrowser(t), code: code}
				v.media(map[string]string{"prefers-color-scheme": []string{"light", "dark"}[(i+j)%2]})
				v.speak(language)
				call(v.tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts})
				v.loginFits(app)
				v.deviceFits(t, d)
				for name, address := range map[string]string{
					"home": d.issuer, "not found": d.endpoint("/no/such/page"), "unknown client": d.endpoint("/auth?client_id=nobody"),
					"lost": d.endpoint("/auth/local/login?state=raaaaaaaaaaaaaaaaaaaaaaaa"),
				} {
					v.open(address)
					v.shows(name, "h1")
				}
				v.open(oobRequest(d))
				v.click(approveButton, "#code")
				v.shows("code to copy", "#code")
			})
		}
	}
}

func (v *view) loginFits(app string) {
	v.t.Helper()
	v.open(app)
	v.click("#login-button", loginChoice)
	v.shows("choice", localLogin)
	v.click(localLogin, passwordForm)
	v.shows("password", passwordForm)
	v.enterPassword(adminEmail, "not the password", "#login-error")
	v.shows("wrong password", "#login-error")
	v.enterPassword(adminEmail, adminPassword, approveButton)
	v.shows("consent", approveButton)
	v.click(approveButton, "#claims")
	v.wantSignedIn()
}

func (v *view) deviceFits(t *testing.T, d *dex) {
	t.Helper()
	userCode, _ := beginDevice(t, d)
	v.open(d.endpoint("/device"))
	v.shows("device", "#user_code")
	v.fill("#user_code", "BBBB-BBBB")
	v.click(passwordForm, "#login-error")
	v.shows("device, wrong code", "#login-error")
	v.fill("#user_code", userCode)
	v.click(passwordForm, ".dex-user-code")
	v.shows("device, question", ".dex-user-code")
	v.click(passwordForm, loginChoice)
	v.click(localLogin, passwordForm)
	v.enterPassword(adminEmail, adminPassword, approveButton)
	v.shows("device, consent", approveButton)
	v.click(approveButton, ".theme-heading")
	v.shows("device, connected", ".theme-heading")

	userCode, _ = beginDevice(t, d)
	v.open(d.endpoint("/device?user_code=" + userCode))
	v.click(passwordForm, ".dex-user-code")
	v.click(denyButton, ".theme-heading")
	v.shows("device, refused", ".theme-heading")
}

// speak makes a language the one that the browser wishes for.
func (b *tab) speak(language string) {
	b.t.Helper()
	call(b, network.Enable, network.EnableParams{})
	call(b, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": language}})
}

// shows checks the page that has an element.
func (v *view) shows(name, selector string) {
	v.t.Helper()
	v.see(selector)
	v.bring()
	v.name = name
	for _, size := range [][2]int64{{narrow, 640}, {768, 1024}, {1280, 800}} {
		v.fit(size[0], size[1])
	}
	v.check("", "headings()", "fields()")
}

// TestEveryFlowByKeyboard goes through all flows with Tab, Enter and Space.
func TestEveryFlowByKeyboard(t *testing.T) {
	t.Parallel()
	d, app := startPrograms(t)
	b := newBrowser(t)
	b.open(app)
	b.tabTo("#login-button")
	b.press(kb.Enter, loginChoice)
	b.tabTo(localLogin)
	b.press(kb.Enter, passwordForm)
	b.wantFocus("#login")
	b.do(chromedp.KeyEvent(adminEmail))
	b.tabTo("#password")
	b.do(chromedp.KeyEvent("not the password"))
	b.press(kb.Enter, "#login-error")
	b.wantFocus("#password") // the name is there still
	b.do(chromedp.KeyEvent(adminPassword))
	b.tabTo(".dex-field button")
	b.do(chromedp.KeyEvent(" "))
	if shown := evaluate[string](b, `document.querySelector("#password").type`); shown != "text" {
		t.Errorf("the password can't be shown: its field is of the type %s", shown)
	}
	b.tabTo(passwordForm)
	b.press(" ", approveButton)
	b.tabTo(denyButton)
	b.press(" ", "#error")

	// At a device.
	userCode, _ := beginDevice(t, d)
	b.open(d.endpoint("/device"))
	b.wantFocus("#user_code")
	b.do(chromedp.KeyEvent(userCode))
	b.press(kb.Enter, ".dex-user-code")
	b.tabTo(passwordForm)
	b.press(" ", loginChoice)
	b.tabTo(`a[href*="/auth/mock"]`)
	b.press(kb.Enter, approveButton)
	b.tabTo(approveButton)
	b.press(kb.Enter, ".theme-heading")
	b.wantText("main", "connected")

	userCode, _ = beginDevice(t, d)
	b.open(d.endpoint("/device?user_code=" + userCode))
	b.tabTo(passwordForm)
	b.press(kb.Enter, ".dex-user-code")
	b.tabTo(denyButton)
	b.press(" ", ".theme-heading")
	b.wantText("main", "refused")
}

// wantFocus waits until what is typed next comes to an element.
func (b *tab) wantFocus(selector string) {
	b.t.Helper()
	eventually(b.t, patience, selector+" has the focus", func() bool {
		return evaluate[bool](b, "document.activeElement.matches(`"+selector+"`)")
	})
}
