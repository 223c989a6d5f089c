package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/app"
	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/factor"
)

// wrongCode is a code that an app doesn't show at about this time.
func wrongCode(t testing.TB, secret string, n int) string {
	t.Helper()
	for ; ; n++ {
		if code := fmt.Sprintf("%06d", n); !isShown(t, secret, code) {
			return code
		}
	}
}

// isShown reports whether an app shows a code at about this time.
func isShown(t testing.TB, secret, code string) bool {
	t.Helper()
	for step := int64(-3); step <= 3; step++ {
		if oneTimeCode(t, secret, step) == code {
			return true
		}
	}
	return false
}

// Rows about second factors.
func TestDepartureFactors(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"B-08 a password alone sets up nothing":   testPasswordAlone,
		"B-09 factors that there aren't":          testUnknownFactors,
		"B-10 codes of apps":                      testUnconfirmedApps,
		"B-16 what is asked of keys":              testKeySettings,
		"B-36 B-37 addresses of pages of factors": testFactorAddresses,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// A stored client that names a factor that there isn't lets nobody in, and a configured one doesn't start the server.
func testUnknownFactors(t *testing.T) {
	s := startCrowd(t, "otp", "", nil)
	secret, _ := s.newApp("shop", "ann")
	b := s.browser()
	tokens := b.redeem("shop", b.enterCode(b.enter("shop", "ann").at("/mfa/totp?"), secret, 0))
	put(t, s.store, client.Kind, "stored", client.Client{
		ID: "stored", Secret: "stored-secret", Name: "Stored", RedirectURIs: []string{"https://stored.test/cb"}, MFAChain: []string{"otp", "lost"},
	})
	s.browser().visit(to("stored", "connector_id", "crowd")).wantRedirectError("access_denied")
	b.visit(to("stored", "prompt", "none")).wantRedirectError("access_denied")
	s.token(refreshForm(tokens.text("refresh_token")), asShop).wantStatus(http.StatusOK)

	yaml := strings.Replace(fmt.Sprintf(inCrowd, "otp"), "mfaChain: [otp]", "mfaChain: [lost]", 1)
	if plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: environment}); plan != nil {
		t.Errorf("the server starts, with %s", app.Report(problems))
	}
}

// Each login shows a key of its own until one is confirmed, and none afterwards.
func testUnconfirmedApps(t *testing.T) {
	s := startCrowd(t, "otp", "", nil)
	first, second := s.browser(), s.browser()
	one, two := first.enter("shop", "ann").at("/mfa/totp?"), second.enter("shop", "ann").at("/mfa/totp?")
	shown := first.appKey(one)
	if again := first.appKey(one); again != shown {
		t.Error("a page that is loaded again shows another key")
	}
	if other := second.appKey(two); other == shown {
		t.Error("two logins show one key")
	}
	first.enterCode(one, shown, -1).at("/mfa/codes?")
	for b, at := range map[*browser]string{first: one, second: two} {
		if page := b.visit(at); shownSecret.MatchString(page.body) {
			t.Error("a key is shown to whoever has the password")
		}
	}
	second.enterCode(two, shown, 0).wantStatus(http.StatusSeeOther)
}

// What the configuration asks of keys, browsers are asked for.
func testKeySettings(t *testing.T) {
	yaml := strings.Replace(fmt.Sprintf(inCrowd, "key"), "{id: key, type: WebAuthn, config: {}}",
		"{id: key, type: WebAuthn, config: {userVerification: required, authenticatorAttachment: cross-platform}}", 1)
	s := openCrowd(t, yaml, nil, &crowd{}, &crowd{trips: true})
	b := s.browser()
	at := b.enter("shop", "ann").at("/mfa/webauthn?")
	begun := b.script(scriptAt(at, "register", "begin"), "{}").wantStatus(http.StatusOK).json()["publicKey"].(map[string]any)
	asked, _ := begun["authenticatorSelection"].(map[string]any)
	if asked["userVerification"] != "required" || asked["authenticatorAttachment"] != "cross-platform" {
		t.Errorf("browsers are asked for %v", asked)
	}
	careless := newKey()
	careless.UserVerified = false
	if a := b.register(at, careless); a.status != http.StatusUnauthorized || s.factorOf("ann").Any() {
		t.Errorf("a key that asks for no PIN is registered: %d %s", a.status, a.body)
	}
}

// With the password alone nobody sets up a factor for somebody who has one, in whatever order and at whatever address.
func testPasswordAlone(t *testing.T) {
	for _, owns := range []string{"otp", "key"} {
		t.Run(owns, func(t *testing.T) {
			t.Parallel()
			s := startCrowd(t, "either", "", nil)
			early := s.browser() // has the pages from before the owner had anything
			pages := early.visit(early.enter("shop", "ann").at("/mfa/choose?")).links()
			stolen := early.appKey(pages[0])
			challenge := early.script(scriptAt(pages[1], "register", "begin"), "{}").wantStatus(http.StatusOK)
			made, err := newKey().Create([]byte(challenge.body))
			if err != nil {
				t.Fatal(err)
			}

			owner := s.browser()
			choice := owner.visit(owner.enter("shop", "ann").at("/mfa/choose?")).links()
			var end answer
			if owns == "otp" {
				end = owner.enterCode(choice[0], owner.appKey(choice[0]), -1)
			} else {
				end = owner.visit(owner.register(choice[1], newKey()).text("redirect"))
			}
			end.at("/mfa/codes?")

			late := s.browser()
			asked := late.enter("till", "ann", "acr_values", map[string]string{"otp": "phr", "key": acrMulti}[owns]).at("/mfa/")
			session := s.browser()
			session.claimsOf("till", session.enter("till", "ann"))
			inSession := session.visit(to("till", "acr_values", "phr")).at("/mfa/")
			before, _ := json.Marshal(s.factorOf("ann"))
			tries := map[*browser][]string{early: pages, late: {asked}, session: {inSession}}
			for b, addresses := range tries {
				for _, address := range addresses {
					for _, path := range allFactorPages(address) {
						bodies := []string{"totp=" + oneTimeCode(t, stolen, 0)}
						if isForScripts(path) {
							bodies = []string{string(made)}
						}
						for _, body := range bodies {
							if a := b.sendAny(path, body); a.appCode() != "" || a.status == http.StatusOK && strings.Contains(a.body, "publicKey") &&
								strings.Contains(path, "/register/") {
								t.Errorf("%s with %.20s: %d %s", path, body, a.status, a.body)
							}
						}
					}
				}
			}
			r := s.factorOf("ann")
			r.Guesses = factor.Guesses{} // wrong codes are counted
			if after, _ := json.Marshal(r); string(after) != string(before) {
				t.Errorf("what the owner has set up is now %s, and was %s", after, before)
			}
		})
	}
}

// allFactorPages are all addresses that can be made of one, as it is and for each authenticator.
func allFactorPages(address string) []string {
	_, query, _ := strings.Cut(address, "?")
	values, _ := url.ParseQuery(query)
	var all []string
	for _, path := range factorPaths {
		all = append(all, path+"?"+query)
		for _, id := range []string{"otp", "key", "either", ""} {
			values.Set("authenticator", id)
			all = append(all, path+"?"+values.Encode())
		}
		values.Del("authenticator")
		all = append(all, path+"?"+values.Encode())
	}
	return all
}

// factorPaths are all paths of second factors; those of scripts are below webauthn.
var factorPaths = []string{
	"/dex/mfa", "/dex/mfa/choose", "/dex/mfa/totp", "/dex/mfa/recovery", "/dex/mfa/codes", "/dex/mfa/webauthn",
	"/dex/mfa/webauthn/register/begin", "/dex/mfa/webauthn/register/finish", "/dex/mfa/webauthn/login/begin", "/dex/mfa/webauthn/login/finish",
}

func isForScripts(path string) bool { return strings.HasPrefix(path, "/dex/mfa/webauthn/") }

// sendAny posts a body, as a script where it is JSON and as a form else, or gets a page that takes none.
func (b *browser) sendAny(path, body string) answer {
	b.t.Helper()
	if takes := strings.SplitN(path, "?", 2)[0]; slices.Contains([]string{"/dex/mfa", "/dex/mfa/choose", "/dex/mfa/webauthn"}, takes) {
		return b.visit(path)
	}
	r := httptest.NewRequest(http.MethodPost, "http://dex.test"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.elsewhere(r)
}

// The list of paths is all that there are.
func TestFactorPathsAreAll(t *testing.T) {
	for _, pattern := range startCrowd(t, "otp", "", nil).core.Patterns() {
		if strings.HasPrefix(pattern, "/mfa") && !slices.Contains(factorPaths, "/dex"+pattern) {
			t.Errorf("%s is tried by no test", pattern)
		}
	}
}

// What other sites send, and what is too large, is looked at no further.
func TestFactorFormsFromElsewhere(t *testing.T) {
	t.Parallel()
	s := startCrowd(t, "either", "", nil)
	secret := func() string {
		b := s.browser()
		page := b.visit(b.enter("shop", "ann").at("/mfa/choose?")).links()[0]
		secret := b.appKey(page)
		b.enterCode(page, secret, -1).at("/mfa/codes?")
		return secret
	}()
	b := s.browser()
	at := b.enter("shop", "ann").at("/mfa/totp?")
	c := s.browser()
	key := c.visit(c.enter("shop", "carl").at("/mfa/choose?")).links()[1]
	right := url.Values{"totp": {oneTimeCode(t, secret, 0)}}
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.test"},
	} {
		for path, from := range map[string]*browser{
			at: b, strings.Replace(at, "totp", "recovery", 1): b, scriptAt(key, "register", "begin"): c, scriptAt(key, "register", "finish"): c,
		} {
			a := from.postFrom(path, right, headers...)
			if a.status != http.StatusForbidden || a.appCode() != "" {
				t.Errorf("%s from %v: %d", path, headers, a.status)
			}
			a.wantForm(path)
		}
	}
	large := strings.Repeat("x", 1<<20)
	for path, from := range map[string]*browser{at: b, scriptAt(key, "register", "finish"): c} {
		a := from.sendAny(path, "totp="+large)
		if a.status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: a body of a megabyte gets %d", path, a.status)
		}
		a.wantForm(path)
	}
	if end := b.post(at, right); end.appCode() == "" {
		t.Errorf("the code was used up: %d", end.status)
	}
}

// Somebody who is blocked gets no further on any page, and uses up and sets up nothing.
func TestBlockedUsersAtFactors(t *testing.T) {
	t.Parallel()
	s := startCrowd(t, "either", "", nil)
	setting := s.browser()
	pages := setting.visit(setting.enter("shop", "ann").at("/mfa/choose?")).links()
	secret := setting.appKey(pages[0])
	begun := setting.script(scriptAt(pages[1], "register", "begin"), "{}").wantStatus(http.StatusOK)
	made, err := newKey().Create([]byte(begun.body))
	if err != nil {
		t.Fatal(err)
	}
	known := s.browser()
	known.claimsOf("till", known.enter("till", "ann"))
	s.block("ann", time.Now().Add(time.Hour))
	a := setting.script(scriptAt(pages[1], "register", "finish"), string(made))
	if a.text("redirect") == "" {
		t.Fatalf("the script is told %d %s", a.status, a.body)
	}
	if page := setting.visit(a.text("redirect")).wantStatus(http.StatusForbidden); !strings.Contains(page.body, "blocked") {
		t.Errorf("the user is told %s", page.body)
	}
	for _, path := range allFactorPages(pages[0]) {
		for _, body := range []string{"totp=" + oneTimeCode(t, secret, 0), string(made)} {
			if a := setting.sendAny(path, body); a.appCode() != "" || a.status < 300 && !isForScripts(path) {
				t.Errorf("%s: %d %s", path, a.status, a.header.Get("Location"))
			}
		}
	}
	if s.factorOf("ann").Any() {
		t.Error("a factor was set up")
	}
	known.visit(to("shop")).wantStatus(http.StatusForbidden)
	s.block("ann", time.Time{})
	after := s.browser()
	after.visit(after.enter("shop", "ann").at("/mfa/choose?")).wantStatus(http.StatusOK)
}

// Somebody else's hundred wrong codes lock the codes until an operator unlocks them, and not a moment before.
func TestCodesAreLocked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startCrowd(t, "otp", "", nil)
		secret, _ := s.newApp("shop", "ann")
		var b *browser
		at := ""
		for n := 0; n < 100; n++ {
			if n%20 == 0 { // before the login expires
				b = s.browser()
				at = b.enter("shop", "ann").at("/mfa/totp?")
			}
			b.post(at, url.Values{"totp": {wrongCode(t, secret, n)}}).wantStatus(http.StatusUnauthorized)
			if n < 99 {
				time.Sleep(max(0, time.Until(s.factorOf("ann").Guesses.Until)))
				if n%3 == 2 {
					b = s.browser()
					at = b.enter("shop", "ann").at("/mfa/totp?")
				}
			}
		}
		for range 2 {
			b = s.browser()
			at = b.enter("shop", "ann").at("/mfa/totp?")
			b.enterCode(at, secret, 0).wantStatus(http.StatusForbidden)
			time.Sleep(48 * time.Hour)
		}
		s.edit("ann", func(r *factor.Record) { r.Guesses = factor.Guesses{} })
		b = s.browser()
		b.claimsOf("shop", b.enterCode(b.enter("shop", "ann").at("/mfa/totp?"), secret, 0))
	})
}
