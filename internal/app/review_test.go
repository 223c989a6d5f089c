package app_test

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/client"
	"dex/internal/store"
	"dex/internal/store/memory"
)

var (
	localLink   = regexp.MustCompile(`href="(/dex/auth/local\?[^"]*)"`)
	otherLink   = regexp.MustCompile(`href="([^"]*)">Use another account`)
	sendsSecret = form("client_id", "app", "client_secret", "app-secret")
)

// follow returns where the first link of a form on a page leads.
func (a answer) follow(link *regexp.Regexp) string {
	a.t.Helper()
	found := link.FindStringSubmatch(a.wantStatus(http.StatusOK).body)
	if found == nil {
		a.t.Fatalf("no link %s in %s", link, a.body)
	}
	return strings.ReplaceAll(found[1], "&amp;", "&")
}

// Who began a device's login anew, with another account, is the one whom the device gets.
func TestDeviceLoginWithAnotherAccount(t *testing.T) {
	s := start(t, "")
	begun, b := s.device(), s.browser()
	choice := b.typeCode(begun.text("user_code"), "continue")
	form := b.visit(choice.follow(localLink)).wantStatus(http.StatusFound).path()
	page := b.post(form, credentials()).wantStatus(http.StatusSeeOther).path()

	choice = b.visit(b.visit(page).follow(otherLink))
	trip := b.visit(choice.follow(mockLink)).wantStatus(http.StatusFound).path()
	page = b.visit(trip).wantStatus(http.StatusSeeOther).path()
	if asked := b.visit(page).wantStatus(http.StatusOK).body; !strings.Contains(asked, "kilgore@kilgore.trout") {
		t.Fatalf("who signed in last is not asked: %s", asked)
	}
	b.post(page, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther)
	got := s.token(pollForm(begun.text("device_code"))).wantStatus(http.StatusOK)
	if email := claims(t, got.text("id_token"))["email"]; email != "kilgore@kilgore.trout" {
		t.Errorf("the device got %v", email)
	}
}

// Each trip to a source has a state of its own: the answer of one source never goes to another one.
func TestDeviceLoginInTwoTabs(t *testing.T) {
	s := start(t, "")
	begun, b := s.device(), s.browser()
	choice := b.typeCode(begun.text("user_code"), "continue")
	trip := b.visit(choice.follow(mockLink)).wantStatus(http.StatusFound)
	form := b.visit(choice.follow(localLink)).wantStatus(http.StatusFound)
	if trip.location().Query().Get("state") == form.location().Query().Get("state") {
		t.Error("both tabs have one state")
	}
	b.visit(form.path()).wantStatus(http.StatusOK)
	page := b.visit(trip.path()).wantStatus(http.StatusSeeOther).path()
	b.post(page, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther)
	s.token(pollForm(begun.text("device_code"))).wantStatus(http.StatusOK)
}

// A user code may be another device's later: a login completes the device for which it was begun.
func TestDeviceLoginIsForOneDevice(t *testing.T) {
	s, stored := startStored(t, configuration)
	begun, b := s.device(), s.browser()
	code := begun.text("user_code")
	choice := b.typeCode(code, "continue")

	later := s.device()
	r, err := stored.Get(t.Context(), "device", later.text("user_code"))
	if err != nil {
		t.Fatal(err)
	}
	if err := stored.Delete(t.Context(), "device", code, ""); err != nil {
		t.Fatal(err)
	}
	r.Key, r.Revision = code, ""
	if _, err := stored.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	trip := b.visit(choice.follow(mockLink)).wantStatus(http.StatusFound).path()
	page := b.visit(trip).wantStatus(http.StatusSeeOther).path()
	b.post(page, url.Values{"approval": {"approve"}}).wantStatus(http.StatusBadRequest)
}

// A cookie that gets shorter leaves nothing behind that spoils it.
func TestLoginCookieShrinks(t *testing.T) {
	s := start(t, "")
	parts := func(length int) int {
		a := s.get(authPath("connector_id", "mock", "state", scrambled(length)))
		return len(a.wantStatus(http.StatusFound).header.Values("Set-Cookie"))
	}
	two := 2000 // the shortest state that needs two cookies
	for parts(two) < 2 {
		two++
	}
	for length := two - 2; length < two+4; length++ {
		b := s.browser()
		page := b.consent("state", scrambled(length))
		if got := b.post(page, url.Values{"approval": {"approve"}}); got.status != http.StatusSeeOther {
			t.Errorf("state of %d bytes: status %d %s", length, got.status, got.body)
		}
	}
}

// A client may leave out its secret in one of the two requests of a device, as upstream has it, but not in both.
func TestDeviceSecretIsShownOnce(t *testing.T) {
	s := start(t, "oauth2: {skipApprovalScreen: true, compatibility: {clientChecks: upstream}}\n")
	approved := func(form url.Values) string {
		begun, b := s.postForm("/dex/device/code", form, noCredentials).wantStatus(http.StatusOK), s.browser()
		b.viaMock(b.typeCode(begun.text("user_code"), "continue")).wantStatus(http.StatusOK)
		return begun.text("device_code")
	}
	never := approved(form("client_id", "app"))
	s.token(pollForm(never), noCredentials).wantError(401, "invalid_client")
	s.token(pollForm(never, "client_id", "app"), noCredentials).wantError(401, "invalid_client")
	s.token(pollForm(never, "client_id", "cli"), noCredentials).wantError(400, "invalid_grant")
	s.token(pollForm(never)).wantStatus(http.StatusOK)

	s.token(pollForm(approved(sendsSecret)), noCredentials).wantStatus(http.StatusOK)
	s.token(pollForm(approved(sendsSecret), "client_id", "app"), noCredentials).wantStatus(http.StatusOK)
	s.token(pollForm(approved(sendsSecret), "client_id", "other"), noCredentials).wantError(401, "invalid_client")
	s.token(pollForm(approved(form("client_id", "cli"))), noCredentials).wantStatus(http.StatusOK)
	s.token(pollForm(approved(form("client_id", "cli")), "client_id", "cli"), noCredentials).wantStatus(http.StatusOK)
}

// Strangers who know the id of a client can't fill the storage in its name.
func TestDeviceRequestsWithoutSecretAreLimited(t *testing.T) {
	s := start(t, "oauth2: {compatibility: {clientChecks: upstream}}\n")
	last := http.StatusOK
	for range 100 {
		last = s.postForm("/dex/device/code", form("client_id", "app"), noCredentials).status
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the hundredth request at once gets %d", last)
	}
	s.postForm("/dex/device/code", sendsSecret, noCredentials).wantStatus(http.StatusOK)
}

// A device code gives tokens once, however long it is good, and also after these have been revoked.
func TestDeviceCodeStaysUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, "expiry: {deviceRequests: 12h}\n")
		code := s.approvedDevice()
		token := s.token(pollForm(code)).wantStatus(http.StatusOK).text("refresh_token")
		s.postForm("/dex/token/revoke", form("token", token)).wantStatus(http.StatusOK)
		for range 4 {
			time.Sleep(time.Hour)
			if a := s.token(pollForm(code)); a.status != http.StatusBadRequest {
				t.Fatalf("the code gives %d %s", a.status, a.body)
			}
		}
	})
}

// failingClients is a storage that can't read clients.
type failingClients struct{ store.Store }

func (f failingClients) Get(ctx context.Context, kind, key string) (store.Record, error) {
	if kind == client.Kind.Name() {
		return store.Record{}, errFault
	}
	return f.Store.Get(ctx, kind, key)
}

// A storage that fails is not mistaken for a client that is gone: it is our fault, and operators see it.
func TestClientThatCannotBeReadIsNotGone(t *testing.T) {
	s, stored := startStored(t, configuration)
	put(t, stored, client.Kind, "stored", client.Client{
		ID: "stored", Public: true, RedirectURIs: []string{"https://app.test/callback"},
	})
	failing := startOn(t, configuration, func(store.Store) store.Store { return failingClients{stored} })
	begun := s.postForm("/dex/device/code", form("client_id", "stored"), noCredentials).wantStatus(http.StatusOK)
	b := s.browser()
	choice := b.typeCode(begun.text("user_code"), "continue")
	loginPage, consentPage := b.passwordForm("client_id", "stored"), b.consent("client_id", "stored")

	b.server = failing // another replica
	for name, a := range map[string]answer{
		"the code":      b.post("/dex/device/auth/verify_code", url.Values{"user_code": {begun.text("user_code")}}),
		"the choice":    b.visit(choice.follow(mockLink)),
		"the password":  b.visit(loginPage),
		"the consent":   b.visit(consentPage),
		"the beginning": b.visit(authPath("client_id", "stored")),
	} {
		if a.status != http.StatusInternalServerError {
			t.Errorf("%s: status %d", name, a.status)
		}
	}
}

// An answer of the authorization endpoint is the same each time.
func TestRefusalOfGrantsIsSteady(t *testing.T) {
	s := startWith(t, configuration+
		"- {id: one, secret: s, name: One, redirectURIs: [\"https://app.test/callback\"], grantTypes: [implicit]}\n"+
		"oauth2: {responseTypes: [code, id_token], grantTypes: [authorization_code], compatibility: {endpointGrants: strict}}\n")
	for range 50 {
		s.get(authPath("client_id", "one", "response_type", "id_token code")).wantRedirectError("unauthorized_client")
	}
}

// Who is refused, and did not refuse, is told why; and so is the device.
func TestRefusedUserOfDeviceIsToldWhy(t *testing.T) {
	kept := memory.New()
	put(t, kept, client.Kind, "tv", client.Client{
		ID: "tv", Public: true, Name: "Television", MFAChain: []string{"none"}, AllowedConnectors: []string{"mock"},
	})
	s := startOn(t, configuration, func(store.Store) store.Store { return kept })
	begun := s.postForm("/dex/device/code", form("scope", "openid", "client_id", "tv"), noCredentials)
	b := s.browser()
	page := b.typeCode(begun.text("user_code"), "continue").wantStatus(http.StatusForbidden)
	if !strings.Contains(page.body, "second factor") {
		t.Errorf("the page is %s", page.body)
	}
	s.token(pollForm(begun.text("device_code"), "client_id", "tv"), noCredentials).wantError(400, "access_denied")
}

// Who has tried too often is told to wait, and nothing else.
func TestResultOfDeviceIsLimited(t *testing.T) {
	s := start(t, "")
	for range 10 {
		s.get("/dex/device/callback?state=BBBB-BBBB").wantStatus(http.StatusBadRequest)
	}
	a := s.get("/dex/device/callback?state=BBBB-BBBB").wantStatus(http.StatusTooManyRequests)
	if a.header.Get("Retry-After") == "" || strings.Contains(a.body, "Start again") {
		t.Errorf("%v %s", a.header, a.body)
	}
}

// A page that carries an error to the application doesn't say that all went well.
func TestFormPostOfAnError(t *testing.T) {
	a := start(t, "").get(authPath("response_mode", "form_post", "scope", "email"))
	if _, fields := a.posted(); fields.Get("error") != "invalid_scope" || strings.Contains(a.body, "logged in") {
		t.Errorf("the page is %s", a.body)
	}
}
