package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/identity"
	"dex/internal/store"
)

const acrMulti = "http://schemas.openid.net/pape/policies/2007/06/multi-factor"

// enterCode gives the code of an app at its page.
func (b *browser) enterCode(at, secret string, steps int64) answer {
	b.t.Helper()
	return b.post(at, url.Values{"totp": {oneTimeCode(b.t, secret, steps)}})
}

// How long a factor counts in a session is configured.
func TestRememberFor(t *testing.T) {
	t.Parallel()
	for section, test := range map[string]struct {
		counts  []time.Duration // after so long it still counts
		expires time.Duration   // and here no longer; zero for never
	}{
		"":                       {counts: []time.Duration{0, 30 * time.Minute, 5 * time.Hour}},
		"  rememberFor: 0s\n":    {expires: time.Second},
		"  rememberFor: 1h\n":    {counts: []time.Duration{0, 59 * time.Minute}, expires: 61 * time.Minute},
		"  rememberFor: 100ms\n": {expires: time.Second},
	} {
		t.Run(strings.TrimSpace(section), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := startCrowd(t, "otp", section, nil)
				secret, _ := s.newApp("shop", "ann")
				b := s.browser()
				began := time.Now()
				b.claimsOf("shop", b.enterCode(b.enter("shop", "ann").at("/mfa/totp?"), secret, 0))
				for _, later := range test.counts {
					for ; time.Since(began)+30*time.Minute <= later; time.Sleep(30 * time.Minute) { // or the session would end unused
						b.visit(to("till")).wantStatus(http.StatusSeeOther)
					}
					time.Sleep(later - time.Since(began))
					if c := b.claimsOf("shop", b.visit(to("shop"))); methodsOf(c) != `["pwd","otp","mfa"]` || c["acr"] != acrMulti {
						t.Errorf("after %s: amr %s, acr %v", later, methodsOf(c), c["acr"])
					}
				}
				if test.expires == 0 {
					return
				}
				time.Sleep(test.expires - time.Since(began))
				b.visit(to("shop", "prompt", "none")).wantRedirectError("interaction_required")
				if c := b.claimsOf("till", b.visit(to("till", "prompt", "none"))); methodsOf(c) != `["pwd"]` || c["acr"] != nil {
					t.Errorf("a factor that no longer counts is still told: amr %s, acr %v", methodsOf(c), c["acr"])
				}
				time.Sleep(time.Minute) // for a new code
				b.claimsOf("shop", b.enterCode(b.visit(to("shop")).at("/mfa/totp?"), secret, 0))
			})
		})
	}
}

// A source that asks for factors itself is asked anew when what it has asked for no longer counts; its users set up none of ours.
func TestSourcesAreAskedAgainForTheirFactors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		yaml := strings.Replace(fmt.Sprintf(inCrowd, "otp"), "name: Abroad", "name: Abroad, trustedMFA: [mfa]", 1) + "  rememberFor: 10m\n"
		s := openCrowd(t, yaml, nil, &crowd{}, &crowd{trips: true, methods: []string{"pwd", "mfa"}})
		b := s.browser()
		signIn := func() map[string]any {
			t.Helper()
			return b.claimsOf("shop", b.visit(b.visit(to("shop", "connector_id", "abroad")).wantStatus(http.StatusFound).path()))
		}
		if c := signIn(); methodsOf(c) != `["pwd","mfa"]` || c["acr"] != acrMulti {
			t.Errorf("amr %s, acr %v", methodsOf(c), c["acr"])
		}
		b.claimsOf("shop", b.visit(to("shop", "prompt", "none")))
		time.Sleep(11 * time.Minute)
		b.visit(to("shop", "prompt", "none")).wantRedirectError("interaction_required")
		if c := b.claimsOf("till", b.visit(to("till", "prompt", "none"))); methodsOf(c) != `["pwd"]` || c["acr"] != nil {
			t.Errorf("what the source asked for too long ago is still told: amr %s, acr %v", methodsOf(c), c["acr"])
		}
		if at := b.visit(to("shop")).wantStatus(http.StatusFound).header.Get("Location"); !strings.Contains(at, "/callback?") {
			t.Errorf("led to %s, not to the source", at)
		}
		signIn()
		b.claimsOf("shop", b.visit(to("shop", "prompt", "none")))
	})
}

// An application that has its user sign in again has them pass the factor again.
func TestSigningInAgainAsksForTheFactorAgain(t *testing.T) {
	t.Parallel()
	s := startCrowd(t, "otp", "", nil)
	secret, _ := s.newApp("shop", "ann")
	b := s.browser()
	b.claimsOf("shop", b.enterCode(b.enter("shop", "ann").at("/mfa/totp?"), secret, 0))
	for _, again := range [][]string{{"prompt", "login"}, {"max_age", "0"}} {
		at := b.enter("shop", "ann", again...).at("/mfa/totp?")
		b.enterCode(at, secret, 0).wantStatus(http.StatusUnauthorized) // used before
	}
	// What was not finished has not changed the session.
	b.claimsOf("shop", b.visit(to("shop", "prompt", "none")))
	// Nor does signing in again without the factor keep it.
	b.claimsOf("till", b.enter("till", "ann", "prompt", "login"))
	b.visit(to("shop", "prompt", "none")).wantRedirectError("interaction_required")
}

// A copy of the cookie from before a factor was passed has nothing of it, not even while it may still be used.
func TestCopiesOfTheCookieAreNotSteppedUp(t *testing.T) {
	t.Parallel()
	for _, between := range []time.Duration{0, 2 * time.Minute} { // the sign-in and the step-up
		t.Run(between.String(), func(t *testing.T) { testStepUpOfCopies(t, between) })
	}
}

func testStepUpOfCopies(t *testing.T, between time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		s := startCrowd(t, "otp", "", nil)
		secret, _ := s.newApp("shop", "ann")
		b := s.browser()
		sid := b.claimsOf("till", b.enter("till", "ann"))["sid"]
		time.Sleep(between)
		thief := b.copyOf()
		at := b.visit(to("shop")).at("/mfa/totp?")
		slow := b.copyOf()
		end := b.enterCode(at, secret, 0)
		if c := b.claimsOf("shop", end); c["sid"] != sid || methodsOf(c) != `["pwd","otp","mfa"]` {
			t.Errorf("another session than %v: %v", sid, c)
		}
		thief.visit(to("shop", "prompt", "none")).wantRedirectError("interaction_required")
		thief.visit(to("shop", "prompt", "none", "acr_values", acrMulti)).wantRedirectError("interaction_required")
		if c := thief.claimsOf("till", thief.visit(to("till", "prompt", "none"))); methodsOf(c) != `["pwd"]` || c["acr"] != nil {
			t.Errorf("the copy has amr %s and acr %v", methodsOf(c), c["acr"])
		}
		// The button pressed twice: the browser has dropped the first answer, with its cookie.
		if again := slow.enterCode(at, secret, 0); again.appCode() != end.appCode() {
			t.Errorf("the second press gives %s", again.header.Get("Location"))
		}
		time.Sleep(2 * time.Minute)
		thief.visit(to("till", "prompt", "none")).wantRedirectError("login_required")
		slow.claimsOf("shop", slow.visit(to("shop", "prompt", "none")))
	})
}

// What applications ask for by acr_values (RFC 9470).
func TestACRValues(t *testing.T) {
	t.Parallel()
	const levels = "  acrValues: [{value: low, chain: [otp]}, {value: high, chain: [otp, key]}, {value: far, chain: [foreign]}]\n"
	yaml := strings.Replace(strings.Replace(inCrowd, "%s", "", 1), "  - {id: either", "  - {id: foreign, type: TOTP, config: {}, connectorTypes: [ldap]}\n  - {id: either", 1)
	s := openCrowd(t, yaml+levels, nil, &crowd{}, &crowd{trips: true})
	b := s.browser()
	b.claimsOf("till", b.enter("till", "ann"))
	ask := func(values string, pairs ...string) answer {
		return b.visit(to("till", append(pairs, "acr_values", values)...))
	}

	for values, code := range map[string]string{
		"far": "unmet_authentication_requirements", "unknown far": "unmet_authentication_requirements",
		"low": "interaction_required", "far low": "interaction_required", "high": "interaction_required",
	} {
		t.Run(values, func(t *testing.T) { ask(values, "prompt", "none").wantRedirectError(code) })
	}
	ask("far").wantRedirectError("unmet_authentication_requirements")
	if c := b.claimsOf("till", ask("unknown")); c["acr"] != nil {
		t.Errorf("an unknown value gives acr %v", c["acr"])
	}

	at := ask("far low").at("/mfa/totp?")
	secret := b.appKey(at)
	codes := b.enterCode(at, secret, 0).at("/mfa/codes?")
	b.visit(codes).wantStatus(http.StatusOK)
	if c := b.claimsOf("till", b.post(codes, nil)); c["acr"] != "low" {
		t.Errorf("acr is %v", c["acr"])
	}
	ask("high", "prompt", "none").wantRedirectError("interaction_required")
	if c := b.claimsOf("till", ask("high low", "prompt", "none")); c["acr"] != "low" {
		t.Errorf("of two, one of which was reached, acr is %v", c["acr"])
	}
	high := ask("high").at("/mfa/webauthn?")
	if c := b.claimsOf("till", b.afterScript(b.register(high, newKey()))); c["acr"] != "high" || methodsOf(c) != `["pwd","hwk","otp","user","mfa"]` {
		t.Errorf("acr is %v, amr %s", c["acr"], methodsOf(c))
	}
	if c := b.claimsOf("till", ask("low high", "prompt", "none")); c["acr"] != "low" {
		t.Errorf("acr is %v, of two that were reached not the one that is liked best", c["acr"])
	}
	if c := b.claimsOf("till", b.visit(to("till", "prompt", "none"))); c["acr"] != "high" {
		t.Errorf("acr is %v where nothing is asked for", c["acr"])
	}
}

// A key that may be copied to other devices doesn't reach what asks for hardware.
func TestSyncedKeysAreNoHardware(t *testing.T) {
	t.Parallel()
	s := startCrowd(t, "key", "", nil)
	b, key := s.browser(), newKey()
	key.BackupEligible = true
	c := b.claimsOf("shop", b.afterScript(b.register(b.enter("shop", "ann").at("/mfa/webauthn?"), key)))
	if methodsOf(c) != `["pwd","swk","user","mfa"]` || c["acr"] != "phr" {
		t.Errorf("amr %s, acr %v", methodsOf(c), c["acr"])
	}
	for _, prompt := range []string{"none", "-"} {
		b.visit(to("shop", "acr_values", "phrh", "prompt", prompt)).wantRedirectError("unmet_authentication_requirements")
	}
}

// Whoever checks a token learns how strongly, how and when its user has signed in (RFC 9470, section 6).
func TestTokensTellHowTheirUserHasSignedIn(t *testing.T) {
	t.Parallel()
	s := startCrowd(t, "otp", "", nil)
	secret, _ := s.newApp("shop", "ann")
	b := s.browser()
	first := b.redeem("shop", b.enterCode(b.enter("shop", "ann").at("/mfa/totp?"), secret, 0))
	again := s.token(refreshForm(first.text("refresh_token")), asShop).wantStatus(http.StatusOK)
	authTime := claims(t, first.text("id_token"))["auth_time"]
	if authTime == nil {
		t.Error("there is no auth_time")
	}
	for name, token := range map[string]string{
		"access token": first.text("access_token"), "refreshed access token": again.text("access_token"),
	} {
		told := claims(t, token)
		introspected := s.postForm("/dex/token/introspect", form("token", token), asShop).wantStatus(http.StatusOK).json()
		for from, got := range map[string]map[string]any{"the token": told, "introspection": introspected} {
			if got["acr"] != acrMulti || methodsOf(got) != `["pwd","otp","mfa"]` || got["auth_time"] != authTime {
				t.Errorf("%s, %s: acr %v, amr %s, auth_time %v", name, from, got["acr"], methodsOf(got), got["auth_time"])
			}
		}
	}
	refresh := s.postForm("/dex/token/introspect", form("token", again.text("refresh_token")), asShop).wantStatus(http.StatusOK).json()
	if refresh["active"] != true || refresh["acr"] != acrMulti || refresh["auth_time"] != authTime {
		t.Errorf("of the refresh token introspection tells %v", refresh)
	}
}

// Factors are set up only by somebody who has just signed in.
func TestFactorsAreSetUpOnlyAfterAFreshLogin(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before, open time.Duration // since the login, and since the page was opened
		fresh        bool
	}{
		"at once":                 {fresh: true},
		"in a young session":      {before: 14 * time.Minute, fresh: true},
		"in an old session":       {before: 16 * time.Minute},
		"on a page left open":     {before: 10 * time.Minute, open: 10 * time.Minute},
		"on a page of this login": {open: 16 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := startCrowd(t, "either", "", nil)
				b := s.browser()
				var a answer
				if test.before > 0 {
					b.claimsOf("till", b.enter("till", "ann"))
					time.Sleep(test.before)
					a = b.visit(to("shop"))
				} else {
					a = b.enter("shop", "ann")
				}
				if strings.HasPrefix(a.header.Get("Location"), "/dex/auth/crowd") && !test.fresh {
					return
				}
				pages := b.visit(a.at("/mfa/choose?")).wantStatus(http.StatusOK).links()
				if len(pages) != 2 {
					t.Fatalf("the choice has %v", pages)
				}
				secret := b.appKey(pages[0])
				begun := b.script(scriptAt(pages[1], "register", "begin"), "{}").wantStatus(http.StatusOK)
				made, err := newKey().Create([]byte(begun.body))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(test.open)
				finished := b.script(scriptAt(pages[1], "register", "finish"), string(made))
				if has := s.factorOf("ann").Any(); has != (test.fresh && test.open == 0) {
					t.Errorf("a key is registered: %t, by %d %s", has, finished.status, finished.body)
				}
				if test.fresh {
					return
				}
				if finished.text("redirect") == "" {
					t.Errorf("the script is told %d %s", finished.status, finished.body)
				}
				stale := b.enterCode(pages[0], secret, 0)
				if s.factorOf("ann").Any() || stale.appCode() != "" {
					t.Errorf("an app is set up: %d %s", stale.status, stale.header.Get("Location"))
				}
				// The user can go on.
				form := b.visit(finished.text("redirect")).wantStatus(http.StatusFound).path()
				choice := b.post(form, url.Values{"login": {"ann"}, "password": {"p"}}).at("/mfa/choose?")
				at := b.visit(choice).links()[0]
				b.enterCode(at, b.appKey(at), 0).at("/mfa/codes?")
			})
		})
	}
}

// block blocks one of the crowd, or lets them in again.
func (s *crowded) block(name string, until time.Time) {
	s.t.Helper()
	table := store.In(s.store, identity.Kind)
	if _, err := table.Update(s.t.Context(), identity.Key(name, "crowd"), func(v *identity.Identity) error {
		v.BlockedUntil = until
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
}
