package e2e

import (
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Selectors of the account page, and of the form with passkeys.
const (
	withPasskey    = "#submit-passkey"
	passkeyProblem = "#passkey-error"
	ownWays        = "#ways"
	homeLogin      = "#login"
	confirm        = "#submit"
	done           = "#done"
)

// ownAccount signs somebody in on the account page by their password.
func (b *tab) ownAccount(g *guarded, who string) {
	b.t.Helper()
	b.open(g.issuer)
	b.click(homeLogin, passwordForm)
	b.enterPassword(who+"@example.org", adminPassword, ownWays)
}

// signOut ends the session of the browser.
func (b *tab) signOut(g *guarded) {
	b.t.Helper()
	b.open(g.endpoint("/logout"))
	b.click("#submit-logout", "h1")
}

// addPasskey adds a passkey on the account page. It is the user's first.
func (b *tab) addPasskey(g *guarded, who, name string) {
	b.t.Helper()
	b.ownAccount(g, who)
	b.follow("(passkey)", keyForm)
	b.register(name, confirm)
	b.click(confirm, newCodes)
	b.click(codesSaved, ownWays)
	b.wantText(ownWays, name)
}

func TestPasskeysInABrowser(t *testing.T) {
	t.Parallel()
	eachOnItsOwn(t, map[string]func(*testing.T, *guarded, string){
		"passkey by the button":    checkPasskeyButton,
		"passkey among the fields": checkPasskeyAutofill,
		"passkey of nobody":        checkPasskeyOfNobody,
	})
}

// checkPasskeyButton signs in with a passkey alone, by the button, after the user has turned back.
func checkPasskeyButton(t *testing.T, g *guarded, who string) {
	b := newBrowser(t)
	k := b.plugIn(laptop)
	b.addPasskey(g, who, "Laptop")
	b.signOut(g)

	k.touch(false) // or the page would offer it at once
	b.open(g.plain.at())
	b.see(withPasskey)
	k.touch(true)
	k.recognize(false)
	b.do(chromedp.Click(chromedp.CSS(withPasskey), chromedp.NodeVisible))
	b.wantText(passkeyProblem, "No passkey was used")
	k.recognize(true)
	b.click(withPasskey, "#claims")
	b.wantMethods("mfa", "swk", "user")
	b.wantAnswer(g.key.at("prompt", "none"), "interaction_required") // that is another factor
}

// checkPasskeyAutofill signs in with what the browser offers beside the field of the name.
func checkPasskeyAutofill(t *testing.T, g *guarded, who string) {
	b := newBrowser(t)
	b.plugIn(laptop)
	b.addPasskey(g, who, "Laptop")
	b.signOut(g)
	b.leave(chromedp.Navigate(g.plain.at()), "#claims")
	b.wantMethods("mfa", "swk", "user")
	if got := b.claims(); got.Email != who+"@example.org" {
		t.Errorf("signed in is %+v", got)
	}
}

// checkPasskeyOfNobody signs in with passkeys that lead to nobody: another site's on the same host, and a user's who is gone.
func checkPasskeyOfNobody(t *testing.T, g *guarded, who string) {
	b := newBrowser(t)
	k := b.plugIn(laptop)
	b.addPasskey(g, who, "Laptop")
	b.signOut(g)

	b.withoutAutofill()
	theirs := k.credential()
	k.lose(theirs)
	foreign := *theirs
	foreign.CredentialID, foreign.UserHandle = []byte("of another program on localhost"), []byte("somebody")
	k.keep(&foreign)
	b.refusedPasskey(g)

	k.lose(&foreign)
	k.keep(theirs)
	g.manage(t, "DeletePassword", section{"email": who + "@example.org"})
	b.refusedPasskey(g)
}

// refusedPasskey signs in with a passkey that isn't accepted. The user can still log in otherwise.
func (b *tab) refusedPasskey(g *guarded) {
	b.t.Helper()
	b.open(g.plain.at())
	b.click(withPasskey, wrongCode)
	b.wantText(wrongCode, "can’t be used here")
	b.see("#password")
}

// withoutAutofill has the pages that are loaded next meet a browser that offers passkeys by the button only. A virtual authenticator would
// choose one at once.
func (b *tab) withoutAutofill() {
	b.t.Helper()
	call(b, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{
		Source: `PublicKeyCredential.isConditionalMediationAvailable = async () => false`,
	})
}
