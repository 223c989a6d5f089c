package app_test

import (
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/factor"
)

// Tokens name the methods of the factors that count, and no others: not of those that were passed too long ago, nor of those that the user
// no longer has. A refresh tells what its login was.
func TestMethodsOfFactorsThatLapse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const levels = "  rememberFor: 1h\n  acrValues: [{value: low, chain: [otp]}, {value: high, chain: [key]}]\n"
		s := startCrowd(t, "otp", levels, nil)
		secret, _ := s.newApp("shop", "ann")
		b := s.browser()
		first := b.redeem("shop", b.enterCode(b.enter("shop", "ann").at("/mfa/totp?"), secret, 0))
		signedIn := claims(t, first.text("id_token"))["auth_time"]
		told := func(when, client, methods string, pairs ...string) {
			t.Helper()
			c := b.claimsOf(client, b.visit(to(client, append(pairs, "prompt", "none")...)))
			if methodsOf(c) != methods || c["auth_time"] != signedIn {
				t.Errorf("%s: amr %s, auth_time %v, want %s, %v", when, methodsOf(c), c["auth_time"], methods, signedIn)
			}
		}
		told("an app", "shop", `["pwd","otp","mfa"]`)

		time.Sleep(10 * time.Minute)
		at := b.visit(to("till", "acr_values", "high")).at("/mfa/webauthn?")
		b.claimsOf("till", b.afterScript(b.register(at, newKey())))
		told("an app and a key", "till", `["pwd","hwk","otp","user","mfa"]`)

		time.Sleep(25 * time.Minute)
		told("both are remembered", "till", `["pwd","hwk","otp","user","mfa"]`)
		time.Sleep(26 * time.Minute)
		told("the app was too long ago", "till", `["pwd","hwk","user","mfa"]`, "acr_values", "high")
		b.visit(to("shop", "prompt", "none")).wantRedirectError("interaction_required")
		again := s.token(refreshForm(first.text("refresh_token")), asShop).text("id_token")
		if c := claims(t, again); methodsOf(c) != `["pwd","otp","mfa"]` || c["auth_time"] != signedIn {
			t.Errorf("a refresh tells amr %s, auth_time %v", methodsOf(c), c["auth_time"])
		}

		s.edit("ann", func(r *factor.Record) { r.Credentials = nil })
		b.visit(to("till", "prompt", "none", "acr_values", "high")).wantRedirectError("interaction_required")
		told("the key is gone", "till", `["pwd"]`)
	})
}
