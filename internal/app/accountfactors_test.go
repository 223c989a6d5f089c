package app_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"dex/internal/factor/factortest"
	"dex/internal/session"
	"dex/internal/store"
)

var (
	hiddenField  = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
	linkToRemove = regexp.MustCompile(`href="(/dex/account/remove\?[^"]*)"`)
)

// fields returns the hidden fields of a page, and others.
func (a answer) fields(more ...string) url.Values {
	found := form(more...)
	for _, f := range hiddenField.FindAllStringSubmatch(a.body, -1) {
		if f[1] != "back" {
			found.Set(f[1], html.UnescapeString(f[2]))
		}
	}
	return found
}

// addApp sets up an authenticator app on the page of the account, and returns its key and the page that follows.
func (b *browser) addApp() (secret string, next answer) {
	b.t.Helper()
	page := b.visit("/dex/account/totp?authenticator=otp").wantStatus(http.StatusOK)
	found := shownSecret.FindStringSubmatch(page.body)
	if found == nil {
		b.t.Fatalf("no key on the page: %s", page.body)
	}
	wrong := b.post("/dex/account/totp", page.fields("totp", "000000")).wantStatus(http.StatusUnauthorized)
	if again := shownSecret.FindStringSubmatch(wrong.body); again == nil || again[1] != found[1] {
		b.t.Error("after a wrong code the key is another one")
	}
	return found[1], b.post("/dex/account/totp", page.fields("totp", oneTimeCode(b.t, found[1], 0)))
}

func startOwnedFactors(t *testing.T) *owned {
	t.Helper()
	o := &owned{}
	o.server = startOn(t, withFactors, func(s store.Store) store.Store {
		o.store = s
		return s
	})
	return o
}

func TestAccountApp(t *testing.T) {
	t.Parallel()
	o := startOwnedFactors(t)
	b := o.browser()
	b.shopLogin()
	if body := b.visit("/dex").body; !strings.Contains(body, "/dex/account/totp?") || !strings.Contains(body, "/dex/account/passkey?") || strings.Contains(body, `id="recovery"`) {
		t.Errorf("the home page:\n%s", body)
	}
	secret, codes := b.addApp()
	if codes.wantStatus(http.StatusOK); len(recoveryCode.FindAllString(codes.body, -1)) != 10 {
		t.Errorf("no recovery codes:\n%s", codes.body)
	}
	o.age(16 * time.Minute) // somebody has put them into a safe
	saved, _ := codes.posted()
	if at := b.post(saved, nil).wantStatus(http.StatusSeeOther).location().String(); at != "/dex" {
		t.Errorf("saved codes lead to %s", at)
	}
	o.age(-16 * time.Minute)
	body := b.visit("/dex").body
	if !strings.Contains(body, `id="app-0"`) || strings.Contains(body, "/dex/account/totp?") || !strings.Contains(body, "10 left") {
		t.Errorf("the home page:\n%s", body)
	}

	// What was just set up counts as passed, for a while.
	b.visit("/dex/account/recovery").wantStatus(http.StatusOK)
	o.age(16 * time.Minute)
	login := b.visit("/dex/account/recovery").wantStatus(http.StatusFound)
	factor := b.post(login.path(), credentials()).wantStatus(http.StatusSeeOther).path()
	if !strings.HasPrefix(factor, "/dex/mfa/totp?") {
		t.Fatalf("no code is asked for at %s", factor)
	}
	back := b.post(factor, url.Values{"totp": {oneTimeCode(t, secret, 1)}}).wantStatus(http.StatusSeeOther).location().String()
	page := b.visit(back).wantStatus(http.StatusOK)
	if !strings.Contains(page.body, "The 10 codes that you have left stop working.") {
		t.Errorf("the page of the codes:\n%s", page.body)
	}
	again := b.post("/dex/account/recovery", page.fields()).wantStatus(http.StatusOK)
	if first := recoveryCode.FindString(codes.body); first == "" || strings.Contains(again.body, first) {
		t.Error("the new codes are the old ones")
	}

	remove := html.UnescapeString(linkToRemove.FindStringSubmatch(b.visit("/dex").body)[1])
	page = b.visit(remove).wantStatus(http.StatusOK)
	if !strings.Contains(page.body, "You have nothing else to prove that it’s you.") {
		t.Errorf("removing the last factor:\n%s", page.body)
	}
	if at := b.post("/dex/account/remove", page.fields()).wantStatus(http.StatusSeeOther).location().String(); at != "/dex?done=factor-removed" {
		t.Errorf("leads to %s", at)
	}
	if at := b.post("/dex/account/remove", page.fields()).wantStatus(http.StatusSeeOther).location().String(); at != "/dex?done=gone" {
		t.Errorf("removed twice: %s", at)
	}
}

// A setup belongs to its user and session.
func TestAccountSetupIsBound(t *testing.T) {
	t.Parallel()
	s := startWith(t, withFactors)
	b, other := s.browser(), s.browser()
	b.shopLogin()
	other.shopLogin()
	page := b.visit("/dex/account/totp?authenticator=otp").wantStatus(http.StatusOK)
	code := oneTimeCode(t, shownSecret.FindStringSubmatch(page.body)[1], 0)
	stolen := page.fields("totp", code)
	stolen.Del("account")
	other.post("/dex/account/totp", stolen).wantStatus(http.StatusBadRequest)
	for _, path := range []string{"totp?authenticator=key", "totp?authenticator=none", "passkey?authenticator=otp", "totp", "totp?authenticator=either"} {
		b.visit("/dex/account/" + path).wantStatus(http.StatusNotFound)
	}
	b.post("/dex/account/totp", page.fields("totp", code)).wantStatus(http.StatusOK)
}

func TestAccountPasskey(t *testing.T) {
	t.Parallel()
	o := startOwnedFactors(t)
	b := o.browser()
	b.shopLogin()
	const query = "?authenticator=key"
	b.visit("/dex/account/passkey" + query).wantStatus(http.StatusOK)
	key := &factortest.Authenticator{Origin: "http://dex.test", UserVerified: true}
	add := func(name string) answer {
		options := b.script("/dex/account/passkey/register/begin"+query, "{}").wantStatus(http.StatusOK)
		made, err := key.Create([]byte(options.body))
		if err != nil {
			t.Fatal(err)
		}
		var named map[string]any
		if err := json.Unmarshal(made, &named); err != nil {
			t.Fatal(err)
		}
		named["name"] = name
		body, err := json.Marshal(named)
		if err != nil {
			t.Fatal(err)
		}
		return b.script("/dex/account/passkey/register/finish"+query, string(body))
	}
	first := add("Yellow key").wantStatus(http.StatusOK).text("redirect")
	if !strings.HasPrefix(first, "/dex/account/recovery?") {
		t.Errorf("leads to %s", first)
	}
	if page := b.visit(first).wantStatus(http.StatusOK); !strings.Contains(page.body, "Make recovery codes") {
		t.Errorf("no way to codes:\n%s", page.body)
	}
	body := b.visit("/dex").body
	if !strings.Contains(body, "Yellow key") {
		t.Errorf("the key is not on the page:\n%s", body)
	}
	_, id, _ := strings.Cut(body, `name="id" value="`)
	id, _, _ = strings.Cut(id, `"`)
	if done := b.own("passkey/rename", "id", id, "name", "Blue <key>"); done != "key-renamed" {
		t.Errorf("done: %q", done)
	}
	if body := b.visit("/dex").body; !strings.Contains(body, "Blue &lt;key&gt;") {
		t.Errorf("not renamed:\n%s", body)
	}
	if done := b.own("passkey/rename", "id", "AAAA", "name", "x"); done != "gone" {
		t.Errorf("another key: %q", done)
	}

	page := b.visit(html.UnescapeString(linkToRemove.FindStringSubmatch(b.visit("/dex").body)[1])).wantStatus(http.StatusOK)
	o.age(16 * time.Minute)
	again := b.post("/dex/account/remove", page.fields()).wantStatus(http.StatusSeeOther).location().String()
	if !strings.HasPrefix(again, "/dex/account/remove?") {
		t.Errorf("an old login removes a key: %s", again)
	}
	b.script("/dex/account/passkey/register/begin"+query, "{}").wantStatus(http.StatusForbidden)
	login := b.visit(again).wantStatus(http.StatusFound)
	if factor := b.post(login.path(), credentials()).wantStatus(http.StatusSeeOther).path(); !strings.HasPrefix(factor, "/dex/mfa/webauthn?") {
		t.Errorf("the key isn't asked for: %s", factor)
	}
}

// A factor that was passed long ago is asked for again, although the password is fresh.
func TestAccountWantsFreshFactor(t *testing.T) {
	t.Parallel()
	o := startOwnedFactors(t)
	b := o.browser()
	b.shopLogin()
	b.addApp()
	table := store.In(o.store, session.Kind)
	all, err := table.All(t.Context())
	if err != nil || len(all) != 1 || len(all[0].Value.Factors) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	_, err = table.UpdateEntry(t.Context(), all[0], func(s *session.Session) error {
		s.Factors = map[string]time.Time{"otp": time.Now().Add(-16 * time.Minute), "@source": time.Now()}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.visit("/dex/account/recovery").wantStatus(http.StatusFound)
}

// addKey registers a key on the page of the account, and returns what its script is told.
func (b *browser) addKey(key *factortest.Authenticator) answer {
	b.t.Helper()
	const query = "?authenticator=key"
	options := b.script("/dex/account/passkey/register/begin"+query, "{}").wantStatus(http.StatusOK)
	made, err := key.Create([]byte(options.body))
	if err != nil {
		b.t.Fatal(err)
	}
	return b.script("/dex/account/passkey/register/finish"+query, string(made))
}

// Whoever has the password alone adds no factor while the user sets up their first one, at the same moment.
func TestAccountAddsOneFirstFactor(t *testing.T) {
	t.Parallel()
	for _, second := range []string{"otp", "key"} {
		t.Run(second, func(t *testing.T) {
			t.Parallel()
			racing := &meanwhile{}
			s := startOn(t, withFactors, func(s store.Store) store.Store {
				racing.Store = s
				return racing
			})
			owner, thief := s.browser(), s.browser()
			owner.shopLogin()
			thief.shopLogin()
			if second == "key" {
				racing.do = func() { owner.addApp() }
				thief.addKey(newKey()).wantStatus(http.StatusForbidden)
				return
			}
			racing.do = func() { owner.addKey(newKey()).wantStatus(http.StatusOK) }
			_, next := thief.addApp()
			login := thief.visit(next.wantStatus(http.StatusSeeOther).path()).wantStatus(http.StatusFound)
			thief.post(login.path(), credentials()).at("/mfa/webauthn?")
		})
	}
}
