package e2e

import "testing"

// TestSecondFactorsAtReplicas sets up and uses factors where no two requests in a row reach the same replica.
func TestSecondFactorsAtReplicas(t *testing.T) {
	t.Parallel()
	c := newConfiguration(t).withFactors().withStorage(t, "postgres").with("staticPasswords", []section{resident("ann"), resident("ben")})
	g := guard(t, c)
	g.of(t, c.startBalanced(t, "localhost"))
	t.Run("app", func(t *testing.T) {
		t.Parallel()
		b := newBrowser(t)
		b.logIn(g.app.at(), "ann", codeField)
		app := b.scan()
		b.enterCode("000000", wrongCode)
		b.enterCode(app.code(t), newCodes)
		codes := b.texts(newCodes + " code")
		b.click(codesSaved, "#claims")
		b.logIn(g.app.at("prompt", "login"), "ann", codeField)
		b.enterCode(app.code(t), "#claims")
		b.logIn(g.app.at("prompt", "login"), "ann", codeField)
		b.follow("recovery code", "#recovery_code")
		b.fill("#recovery_code", codes[0])
		b.click(codeButton, "#claims")
		b.open(g.issuer)
		b.wantText(ownWays, "9 left")
	})
	t.Run("keys", func(t *testing.T) {
		t.Parallel()
		b := newBrowser(t)
		k := b.plugIn(laptop)
		b.withoutAutofill()
		b.addPasskey(g, "ben", "Laptop")
		b.follow("(device)", keyForm)
		b.register("Laptop", done)
		b.pass(g.device.at())
		b.signOut(g)
		for range 3 { // an odd number of requests each, so that they begin at either replica
			b.open(g.plain.at())
			b.see(withPasskey)
			b.click(withPasskey, "#claims")
			b.signOut(g)
		}
		if n := len(k.credentials()); n != 2 {
			t.Errorf("the device keeps %d credentials, want 2", n)
		}
		b.logIn(g.device.at(), "ben", "#claims")
		b.wantMethods("mfa", "pwd", "swk", "user")
	})
}
