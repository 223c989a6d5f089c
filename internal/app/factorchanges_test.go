package app_test

import (
	"net/http"
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
	first, key := s.browser(), newKey()
	shown := first.visit(first.register(first.enter("shop", "ann").at("/mfa/webauthn?"), key).text("redirect")).at("/mfa/codes?")
	codes := recoveryCode.FindAllStringSubmatch(first.visit(shown).body, -1)
	b := s.browser()
	at := strings.Replace(b.enter("shop", "ann").at("/mfa/webauthn?"), "/webauthn?", "/recovery?", 1)
	if c := b.claimsOf("shop", b.post(at, form("code", codes[0][1]))); c["acr"] != acrMulti {
		t.Errorf("acr is %v, amr %s", c["acr"], methodsOf(c))
	}
	b.visit(to("shop", "acr_values", "phr", "prompt", "none")).wantRedirectError("interaction_required")

	// Where the application wants the key itself, the user is asked for it: it may only have been left at home.
	at = b.visit(to("shop", "acr_values", "phr")).at("/mfa/webauthn?")
	b.post(strings.Replace(at, "/webauthn?", "/recovery?", 1), form("code", codes[1][1])).wantRedirectError("unmet_authentication_requirements")
	at = b.visit(to("shop", "acr_values", "phr")).at("/mfa/webauthn?")
	if c := b.claimsOf("shop", b.visit(b.assert(at, key).text("redirect"))); c["acr"] != "phr" {
		t.Errorf("with the key acr is %v, amr %s", c["acr"], methodsOf(c))
	}
}

// Who has used a key that may be copied, and has one in hardware too, is asked for that where the application wants it.
func TestStepUpToHardware(t *testing.T) {
	t.Parallel()
	s := startCrowd(t, "key", "", nil)
	b, synced, hard := s.browser(), newKey(), newKey()
	synced.BackupEligible = true
	b.claimsOf("shop", b.afterScript(b.register(b.enter("shop", "ann").at("/mfa/webauthn?"), synced)))
	b.visit(to("shop", "acr_values", "phrh")).wantRedirectError("unmet_authentication_requirements")
	other := s.browser()
	other.claimsOf("shop", other.visit(other.assert(other.enter("shop", "ann").at("/mfa/webauthn?"), synced).text("redirect")))
	other.addKey(hard).wantStatus(http.StatusOK)

	b.visit(to("shop", "acr_values", "phrh", "prompt", "none")).wantRedirectError("interaction_required")
	at := b.visit(to("shop", "acr_values", "phrh")).at("/mfa/webauthn?")
	b.visit(b.assert(at, synced).text("redirect")).wantRedirectError("unmet_authentication_requirements")
	at = b.visit(to("shop", "acr_values", "phrh")).at("/mfa/webauthn?")
	if c := b.claimsOf("shop", b.visit(b.assert(at, hard).text("redirect"))); c["acr"] != "phrh" {
		t.Errorf("acr is %v, amr %s", c["acr"], methodsOf(c))
	}
}
