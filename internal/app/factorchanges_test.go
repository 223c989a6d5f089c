package app_test

import (
	"strings"
	"testing"

	"dex/internal/store/memory"
)

// Users whose authenticators have another id now set them up anew, as they do who never had one.
func TestAuthenticatorsWithAnotherID(t *testing.T) {
	t.Parallel()
	kept := memory.New()
	startCrowd(t, "otp", "", kept).newApp("shop", "ann")
	renamed := strings.NewReplacer("id: otp", "id: app", "[otp, key]", "[app, key]").Replace(inCrowd)
	s := openCrowd(t, strings.Replace(renamed, "%s", "app", 1), kept, &crowd{}, &crowd{trips: true})
	b := s.browser()
	at := b.enter("shop", "ann").at("/mfa/totp?")
	if end := b.pass(b.enterCode(at, b.appKey(at), 0), nil); end.appCode() == "" {
		t.Errorf("led to %s", end.header.Get("Location"))
	}
}

// A recovery code stands for a lost key in the chain. It is no key.
func TestRecoveryCodesAreNoKeys(t *testing.T) {
	t.Parallel()
	s := openCrowd(t, strings.Replace(inCrowd, "%s", "key", 1), nil, &crowd{methods: []string{"pwd", "hwk"}}, &crowd{trips: true})
	first := s.browser()
	shown := first.visit(first.register(first.enter("shop", "ann").at("/mfa/webauthn?"), newKey()).text("redirect")).at("/mfa/codes?")
	code := recoveryCode.FindStringSubmatch(first.visit(shown).body)
	b := s.browser()
	at := strings.Replace(b.enter("shop", "ann").at("/mfa/webauthn?"), "/webauthn?", "/recovery?", 1)
	if c := b.claimsOf("shop", b.post(at, form("code", code[1]))); c["acr"] != acrMulti {
		t.Errorf("acr is %v, amr %s", c["acr"], methodsOf(c))
	}
	b.visit(to("shop", "acr_values", "phr", "prompt", "none")).wantRedirectError("unmet_authentication_requirements")
}
