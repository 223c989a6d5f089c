package e2e

import (
	"testing"

	"github.com/chromedp/chromedp"
)

func TestOwnAccountInABrowser(t *testing.T) {
	t.Parallel()
	eachOnItsOwn(t, map[string]func(*testing.T, *guarded, string){
		"own keys":     checkOwnKeys,
		"own app":      checkOwnApp,
		"own password": checkOwnPassword,
	})
}

// checkOwnKeys adds a second key on the account page, renames one, and removes one while a login in another tab waits for it.
func checkOwnKeys(t *testing.T, g *guarded, who string) {
	b := newBrowser(t)
	blue := b.plugIn(plainKey)
	b.logIn(g.key.at(), who, keyForm)
	b.register("Blue", newCodes)
	b.click(codesSaved, "#claims")

	b.open(g.issuer)
	b.follow("(key)", keyForm)
	b.nameKey("Blue again")
	b.do(chromedp.Click(chromedp.CSS(keyButton), chromedp.NodeVisible))
	b.wantText(keyProblem, "already registered")
	blue.unplug()
	red := b.plugIn(plainKey)
	b.register("Red", ownWays)
	b.wantText(done, "added")
	b.wantText("#key-0", "Blue")
	b.do(chromedp.Click(chromedp.CSS("details:has(#name-0) summary"), chromedp.NodeVisible))
	b.fill("#name-0", "Sky blue")
	b.click("form:has(#name-0) button", done)
	b.wantText("#key-0", "Sky blue")
	b.wantText("#key-1", "Red")

	waiting := b.another()
	third := waiting.plugIn(plainKey)
	waiting.logIn(g.key.at("prompt", "login"), who, keyProblem) // no key is there yet
	b.follow("Remove", confirm)                                 // the first
	b.wantText("h1", "Sky blue")
	b.click(confirm, done)
	third.keep(red.credential())
	waiting.click(keyButton, "#claims")
	b.wantText("#key-0", "Red")

	third.touch(false)
	waiting.logIn(g.key.at("prompt", "login"), who, "#webauthn-working")
	b.open(g.issuer)
	b.follow("Remove", confirm)
	b.wantText(".dex-notice", "nothing else")
	b.click(confirm, done)
	third.touch(true)
	waiting.see(keyProblem)
	waiting.click(keyButton, keyForm) // to be set up anew
}

// checkOwnApp sets up an authenticator app on the account page, makes new recovery codes, and removes the app.
func checkOwnApp(t *testing.T, g *guarded, who string) {
	b := newBrowser(t)
	b.ownAccount(g, who)
	b.follow("authenticator app", codeField)
	app := newAuthenticatorApp(b.text("#totp-secret"))
	b.fill(codeField, "000000")
	b.click(codeButton, wrongCode)
	b.fill(codeField, app.code(t))
	b.click(codeButton, newCodes)
	first := b.texts(newCodes + " code")
	b.click(codesSaved, ownWays)
	b.wantText(ownWays, "10 left")
	b.pass(g.app.at()) // it was passed in this session

	b.open(g.issuer)
	b.click("#recovery", confirm)
	b.click(confirm, newCodes)
	second := b.texts(newCodes + " code")
	b.click(codesSaved, ownWays)
	if len(second) != 10 || first[0] == second[0] {
		t.Errorf("new codes are %v", second)
	}
	b.logIn(g.app.at("prompt", "login"), who, codeField)
	b.follow("recovery code", "#recovery_code")
	b.fill("#recovery_code", first[0])
	b.click(codeButton, wrongCode)
	b.fill("#recovery_code", second[0])
	b.click(codeButton, "#claims")
	b.open(g.issuer)
	b.wantText(ownWays, "9 left")

	b.follow("Remove", confirm)
	b.click(confirm, done)
	b.logIn(g.app.at("prompt", "login"), who, "#totp-secret") // to be set up anew
}

// checkOwnPassword ends another session, and then all by a change of the password.
func checkOwnPassword(t *testing.T, g *guarded, who string) {
	here, there := newBrowser(t), newBrowser(t)
	here.ownAccount(g, who)
	there.logIn(g.plain.at(), who, "#claims")
	here.open(g.issuer)
	here.click("#end-others", done)
	there.wantAnswer(g.plain.at("prompt", "none"), "login_required")

	there.logIn(g.plain.at(), who, "#claims")
	here.open(g.issuer)
	here.click("#change-password", "#current")
	const password = "a longer one than before"
	here.changePassword("not the password", password, "#current-error")
	here.changePassword(adminPassword, "short", "#new-error")
	here.changePassword(adminPassword, password, done)
	here.see("#sessions")
	there.wantAnswer(g.plain.at("prompt", "none"), "login_required")
	there.logIn(g.plain.at(), who, wrongCode)
	there.enterPassword(who+"@example.org", password, "#claims")
}
