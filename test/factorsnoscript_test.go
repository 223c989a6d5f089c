package e2e

import (
	"testing"

	"github.com/chromedp/cdproto/emulation"
)

// checkNoScripts does without JavaScript all that can be done without it.
func checkNoScripts(t *testing.T, g *guarded, who string) {
	b := newBrowser(t)
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.ownAccount(g, who)
	b.follow("authenticator app", codeField)
	app := b.scan()
	b.enterCode(app.code(t), newCodes)
	b.click(codesSaved, ownWays)
	b.follow("(key)", "h1")
	b.wantText("main", "need JavaScript")
	b.logIn(g.app.at("prompt", "login"), who, codeField)
	b.enterCode("000000", wrongCode)
	b.enterCode(app.code(t), "#claims")

	b.open(g.issuer)
	b.follow("Remove", confirm)
	b.click(confirm, done)
	b.logIn(g.either.at("prompt", "login"), who, choices)
	b.follow("Security key", "h1")
	b.wantText("main", "need JavaScript")
	b.follow("Use another way", choices)
	b.follow("Authenticator app", codeField)
	b.enterCode(b.scan().code(t), newCodes)
	codes := b.texts(newCodes + " code")
	b.click(codesSaved, "#claims")
	b.logIn(g.app.at("prompt", "login"), who, codeField)
	b.follow("recovery code", "#recovery_code")
	b.fill("#recovery_code", codes[0])
	b.click(codeButton, "#claims")

	other := newBrowser(t)
	other.logIn(g.plain.at(), who, "#claims")
	b.open(g.issuer)
	b.click("#sessions form:not(:has(#end-others)) button", done)
	other.wantAnswer(g.plain.at("prompt", "none"), "login_required")
	b.click("#change-password", "#current")
	b.changePassword(adminPassword, "a longer one than before", done)
	b.enterAgain(g, who, "a longer one than before")
}

// enterCode types the code of an app.
func (b *tab) enterCode(code, then string) {
	b.t.Helper()
	b.fill(codeField, code)
	b.click(codeButton, then)
}

// changePassword fills in the form for another password.
func (b *tab) changePassword(current, password, then string) {
	b.t.Helper()
	b.fill("#current", current)
	b.fill("#new", password)
	b.fill("#again", password)
	b.click(confirm, then)
}

// enterAgain logs in anew with a password.
func (b *tab) enterAgain(g *guarded, who, password string) {
	b.t.Helper()
	b.open(g.plain.at("prompt", "login"))
	b.see(passwordForm)
	b.enterPassword(who+"@example.org", password, "#claims")
}
