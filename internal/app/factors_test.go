package app_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/store/memory"
)

// withFactors has a client for which everybody needs the code of an app.
const withFactors = withSessions + `
sessions: {}
mfa:
  authenticators:
  - {id: otp, type: TOTP, config: {issuer: Example}}
  - {id: key, type: WebAuthn, config: {rpID: dex.test, passwordless: true}}
  - {id: either, type: AnyOf, config: {authenticators: [otp, key]}}
`

func startFactors(t *testing.T, mfa string) *server {
	t.Helper()
	yaml := strings.Replace(withFactors, "  refreshTokenLifetime: session\n", "  mfaChain: [otp]\n", 1)
	return startWith(t, yaml+mfa)
}

var shownSecret = regexp.MustCompile(`id="totp-secret"[^>]*>([A-Z2-7 ]+)<`)

// oneTimeCode returns what an app shows a number of steps from now. A code of the step before is given early in a step, as it ends with it.
func oneTimeCode(t testing.TB, secret string, steps int64) string {
	t.Helper()
	if left := 30*time.Second - time.Duration(time.Now().UnixNano()%int64(30*time.Second)); steps < 0 && left < 5*time.Second {
		time.Sleep(left)
	}
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(secret, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, time.Now().Unix()/30+steps)
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1_000_000)
}

// typePassword signs in with the password, and returns what follows.
func (b *browser) typePassword(client string, pairs ...string) answer {
	b.t.Helper()
	form := b.visit(to(client, append([]string{"connector_id", "local"}, pairs...)...)).wantStatus(http.StatusFound).path()
	return b.post(form, credentials()).wantStatus(http.StatusSeeOther)
}

// setUpApp sets up an authenticator app on the page that an answer leads to. It returns the app's key and what follows the recovery codes.
func (b *browser) setUpApp(a answer) (secret string, end answer, codes []string) {
	b.t.Helper()
	if !strings.HasPrefix(a.path(), "/dex/mfa/totp?") {
		b.t.Fatalf("no app is set up at %s", a.path())
	}
	page := b.visit(a.path()).wantStatus(http.StatusOK)
	found := shownSecret.FindStringSubmatch(page.body)
	if found == nil {
		b.t.Fatalf("no key on the page: %s", page.body)
	}
	a = b.post(a.path(), url.Values{"totp": {oneTimeCode(b.t, found[1], 0)}}).wantStatus(http.StatusSeeOther)
	if !strings.HasPrefix(a.path(), "/dex/mfa/codes?") {
		b.t.Fatalf("no recovery codes at %s", a.path())
	}
	shown := b.visit(a.path()).wantStatus(http.StatusOK)
	for _, code := range recoveryCode.FindAllStringSubmatch(shown.body, -1) {
		codes = append(codes, code[1])
	}
	return found[1], b.post(a.path(), nil).wantStatus(http.StatusSeeOther), codes
}

var recoveryCode = regexp.MustCompile(`>([a-zA-Z2-7]{4}(?: [a-zA-Z2-7]{4}){3})<`)

func TestCodeOfAnApp(t *testing.T) {
	t.Parallel()
	s := startFactors(t, "")
	first := s.browser()
	secret, end, codes := first.setUpApp(first.typePassword("shop"))
	if len(codes) != 10 {
		t.Errorf("%d recovery codes", len(codes))
	}
	got := claims(t, first.redeem("shop", end).text("id_token"))
	if amr := fmt.Sprint(got["amr"]); amr != "[pwd otp mfa]" || got["acr"] != "http://schemas.openid.net/pape/policies/2007/06/multi-factor" {
		t.Errorf("amr %s, acr %v", amr, got["acr"])
	}

	// The session remembers.
	again := first.visit(to("shop")).wantStatus(http.StatusSeeOther)
	if got := claims(t, first.redeem("shop", again).text("id_token")); fmt.Sprint(got["amr"]) != "[pwd otp mfa]" {
		t.Errorf("in the session: %v", got["amr"])
	}
	first.visit(to("shop", "prompt", "none")).wantStatus(http.StatusSeeOther)

	// Another browser is asked for a code, and not shown the key.
	second := s.browser()
	at := second.typePassword("shop").path()
	if page := second.visit(at).wantStatus(http.StatusOK); shownSecret.MatchString(page.body) {
		t.Error("the key is shown again")
	}
	second.post(at, url.Values{"totp": {oneTimeCode(t, secret, 0)}}).wantStatus(http.StatusUnauthorized) // it has been used
	second.post(at, url.Values{"totp": {"000000"}}).wantStatus(http.StatusUnauthorized)
	next := url.Values{"totp": {oneTimeCode(t, secret, 1)}}
	done := second.post(at, next).wantStatus(http.StatusSeeOther)
	code := done.location().Query().Get("code")
	if twice := second.post(at, next).wantStatus(http.StatusSeeOther).location().Query().Get("code"); code == "" || twice != code {
		t.Errorf("the button pressed twice gives %q and %q", code, twice)
	}

	// A recovery code is good once.
	third := s.browser()
	at = third.typePassword("shop").path()
	page := third.visit(at).wantStatus(http.StatusOK)
	link := regexp.MustCompile(`href="(/dex/mfa/recovery\?[^"]*)"`).FindStringSubmatch(page.body)
	if link == nil {
		t.Fatalf("no link to the recovery codes: %s", page.body)
	}
	recovery := strings.ReplaceAll(link[1], "&amp;", "&")
	third.visit(recovery).wantStatus(http.StatusOK)
	third.post(recovery, url.Values{"code": {"aaaa-aaaa-aaaa-aaaa"}}).wantStatus(http.StatusUnauthorized)
	third.redeem("shop", third.post(recovery, url.Values{"code": {codes[0]}}).wantStatus(http.StatusSeeOther))
	fourth := s.browser()
	recovery = strings.Replace(fourth.typePassword("shop").path(), "/mfa/totp", "/mfa/recovery", 1)
	fourth.post(recovery, url.Values{"code": {codes[0]}}).wantStatus(http.StatusUnauthorized)
}

// A password alone gets nobody around the factors that its owner has.
func TestFactorIsNotSetUpTwice(t *testing.T) {
	t.Parallel()
	s := startFactors(t, "  defaultMFAChain: [key]\n")
	owner := s.browser()
	owner.setUpApp(owner.typePassword("shop"))

	thief := s.browser()
	a := thief.typePassword("till") // which asks for the key, of which there is none yet
	if !strings.HasPrefix(a.path(), "/dex/mfa/totp?authenticator=otp") {
		t.Fatalf("the thief is led to %s", a.path())
	}
	key := strings.Replace(a.path(), "/mfa/totp", "/mfa/webauthn/register/begin", 1)
	if begun := thief.script(key, "{}"); begun.status != http.StatusOK || begun.json()["publicKey"] != nil {
		t.Errorf("the thief may register a key: %d %s", begun.status, begun.body)
	}
	other := url.Values{}
	parsed, _ := url.Parse(a.path())
	for name, values := range parsed.Query() {
		other[name] = values
	}
	other.Set("authenticator", "key")
	if begun := thief.script("/dex/mfa/webauthn/register/begin?"+other.Encode(), "{}"); begun.status != http.StatusUnauthorized || begun.json()["error"] == nil {
		t.Errorf("with an address of their own: %d %s", begun.status, begun.body)
	}
}

// script sends JSON as a script of one of our pages does.
func (b *browser) script(path, body string) answer {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://dex.test"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.send(r)
}

// What an application asks for by acr_values is asked of users whose session has less (RFC 9470).
func TestStepUp(t *testing.T) {
	t.Parallel()
	s := startFactors(t, "")
	b := s.browser()
	plain := claims(t, b.redeem("till", b.typePassword("till")).text("id_token"))
	if plain["acr"] != nil {
		t.Errorf("acr is %v", plain["acr"])
	}
	const multi = "http://schemas.openid.net/pape/policies/2007/06/multi-factor"
	b.visit(to("till", "acr_values", multi, "prompt", "none")).wantRedirectError("interaction_required")
	choice := b.visit(to("till", "acr_values", multi)).wantStatus(http.StatusSeeOther).path()
	if !strings.HasPrefix(choice, "/dex/mfa/choose?") {
		t.Fatalf("led to %s", choice)
	}
	page := b.visit(choice).wantStatus(http.StatusOK)
	link := regexp.MustCompile(`href="(/dex/mfa/totp\?[^"]*)"`).FindStringSubmatch(page.body)
	if link == nil {
		t.Fatalf("no app to choose: %s", page.body)
	}
	_, end, _ := b.setUpApp(answer{t: t, header: http.Header{"Location": {strings.ReplaceAll(link[1], "&amp;", "&")}}})
	up := b.redeem("till", end)
	for name, token := range map[string]string{"ID": up.text("id_token"), "access": up.text("access_token")} {
		got := claims(t, token)
		amr, _ := got["amr"].([]any)
		if got["acr"] != multi || !slices.Contains(amr, any("mfa")) || got["sid"] != plain["sid"] {
			t.Errorf("%s token: %v", name, got)
		}
	}
	b.visit(to("till", "acr_values", multi, "prompt", "none")).wantStatus(http.StatusSeeOther)
	b.visit(to("till", "acr_values", "phr")).wantStatus(http.StatusSeeOther)
	b.visit(to("till", "acr_values", "of-somebody-else", "prompt", "none")).wantStatus(http.StatusSeeOther)
}

// Factors that are needed from now on are needed for what was given out before.
func TestRefreshNeedsTheFactorsOfToday(t *testing.T) {
	t.Parallel()
	kept := memory.New()
	on := func(store.Store) store.Store { return kept }
	before := startOn(t, withSessions+"sessions: {}\n", on)
	b := before.browser()
	tokens := b.redeem("till", b.post(b.visit(to("till", "connector_id", "local", "scope", "openid offline_access")).wantStatus(http.StatusFound).path(),
		credentials()).wantStatus(http.StatusSeeOther))
	after := startOn(t, withFactors+"  defaultMFAChain: [otp]\n", on)
	refreshing := form("grant_type", "refresh_token", "refresh_token", tokens.text("refresh_token"))
	asTill := func(r *http.Request) { r.SetBasicAuth("till", "till-secret") }
	after.token(refreshing, asTill).wantError(400, "invalid_grant")
	before.token(refreshing, asTill).wantStatus(http.StatusOK) // nothing was used up
}
