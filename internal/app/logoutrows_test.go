package app_test

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/store"
)

// logout asks for a logout, with pairs of parameters.
func (b *browser) logout(pairs ...string) answer {
	b.t.Helper()
	return b.visit("/dex/logout?" + form(pairs...).Encode())
}

// answer posts the question of a page of ours.
func (b *browser) answer(page answer) answer {
	b.t.Helper()
	fields := url.Values{}
	for _, field := range hidden.FindAllStringSubmatch(page.wantStatus(http.StatusOK).body, -1) {
		fields.Set(field[1], html.UnescapeString(field[2]))
	}
	return b.post("/dex/logout", fields)
}

// wantAsked checks that a page asks whether to log out.
func (a answer) wantAsked() answer {
	a.t.Helper()
	if !strings.Contains(a.wantStatus(http.StatusOK).body, "submit-logout") {
		a.t.Fatalf("nobody is asked: %s", a.body)
	}
	return a
}

// told returns the clients that have yet to be told of a logout.
func (k kept) told() string {
	k.t.Helper()
	queued, err := k.store.List(k.t.Context(), "logouttoken", store.Query{Limit: 10})
	if err != nil {
		k.t.Fatal(err)
	}
	var clients []string
	for _, record := range queued {
		var d struct{ ClientID, SessionID string }
		if err := json.Unmarshal(record.Data, &d); err != nil || d.SessionID == "" {
			k.t.Fatalf("%s: %v", record.Data, err)
		}
		clients = append(clients, d.ClientID)
	}
	return strings.Join(clients, " ")
}

// Rows about logout.
func TestDepartureLogout(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"D-980 logout knows client_id":                    testLogoutClient,
		"D-981 the question keeps address and state":      testLogoutQuestion,
		"D-982 sessions that are replaced or time out":    testAnnounced,
		"D-983 hints of old keys":                         testOldHint,
		"D-984 addresses that are not registered":         testUnregistered,
		"D-985 front-channel logout":                      testFrontChannel,
		"D-986 session management":                        testSessionManagement,
		"D-902 D-987 logout tokens have a type and a sid": testLogoutToken,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

const bye = "https://shop.test/bye"

func testLogoutClient(t *testing.T) {
	k := startKept(t, "")
	b := k.browser()
	target := []string{"client_id", "shop", "post_logout_redirect_uri", bye}
	if got := b.logout(target...).wantStatus(http.StatusFound).location().String(); got != bye {
		t.Errorf("leads to %s", got)
	}
	if page := b.logout("client_id", "shop").wantStatus(http.StatusOK); !strings.Contains(page.body, `id="back" href="`+bye+`"`) {
		t.Errorf("whoever wasn't logged in isn't led back to the application: %s", page.body)
	}
	hint := b.shopLogin().text("id_token")
	b.logout("id_token_hint", k.browser().shopLogin().text("id_token")).wantAsked() // of the same user's other browser
	b.logout("client_id", "till", "id_token_hint", hint).wantStatus(http.StatusBadRequest)
	b.wantSignedIn(true)
	page := b.logout(append(target, "ui_locales", "de")...).wantAsked()
	if !strings.Contains(page.body, `lang="de"`) {
		t.Errorf("the page is %s", page.body)
	}
	if got := b.answer(page).wantStatus(http.StatusFound).location().String(); got != bye {
		t.Errorf("leads to %s", got)
	}
	b.wantSignedIn(false)
}

func testLogoutQuestion(t *testing.T) {
	b := startKept(t, "").browser()
	b.shopLogin()
	page := b.logout("client_id", "shop", "post_logout_redirect_uri", bye, "state", "s 1").wantAsked()
	if got := b.answer(page).wantStatus(http.StatusFound).location().String(); got != bye+"?state=s+1" {
		t.Errorf("leads to %s", got)
	}
}

// toldOf has the shop told of logouts.
var toldOf = []string{"ssoSharedWith: [till, app]", "ssoSharedWith: [till, app]\n  backchannelLogoutURI: https://shop.test/out"}

func testAnnounced(t *testing.T) {
	k := startKept(t, "maxAccounts: 1", toldOf...)
	b := k.browser()
	b.shopLogin()
	b.throughMock("prompt", "login").wantStatus(http.StatusSeeOther)
	if got := k.told(); got != "shop" {
		t.Errorf("of a session that was replaced, %q are told", got)
	}
	for section, want := range map[string]string{"": "shop", "notifyExpired: false": ""} {
		synctest.Test(t, func(t *testing.T) {
			k := startKept(t, section, toldOf...)
			k.browser().shopLogin()
			time.Sleep(25 * time.Hour)
			if err := k.core.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := k.told(); got != want {
				t.Errorf("{%s}: of a session that timed out, %q are told", section, got)
			}
		})
	}
}

func testOldHint(t *testing.T) {
	k := startKept(t, "")
	b := k.browser()
	hint := b.shopLogin().text("id_token")
	parts := strings.Split(hint, ".")
	old := signWith(t, generate(t), claims(t, hint))
	forged := parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 256))
	for _, useless := range []string{old, forged, "none"} {
		b.logout("id_token_hint", useless, "client_id", "shop", "post_logout_redirect_uri", bye).wantAsked()
	}
	b.wantSignedIn(true)
}

func testUnregistered(t *testing.T) {
	const elsewhere = "https://evil.test/"
	b := startKept(t, "").browser()
	a := b.logout("id_token_hint", b.shopLogin().text("id_token"), "post_logout_redirect_uri", elsewhere).wantStatus(http.StatusOK)
	if strings.Contains(a.body, elsewhere) {
		t.Errorf("the page leads there: %s", a.body)
	}
	b.wantSignedIn(false)

	b = startKept(t, "", "oauth2: {", "oauth2: {compatibility: {errorRedirects: upstream}, ").browser()
	b.logout("id_token_hint", b.shopLogin().text("id_token"), "post_logout_redirect_uri", elsewhere).wantStatus(http.StatusBadRequest)
	b.wantSignedIn(true)
}

func testFrontChannel(t *testing.T) {
	k := startKept(t, "")
	if document := k.get("/dex/.well-known/openid-configuration").json(); document["frontchannel_logout_supported"] != true ||
		document["frontchannel_logout_session_supported"] != true {
		t.Errorf("discovery says %v", document)
	}
	b := k.browser()
	form := b.visit(to("pawn", "connector_id", "local")).wantStatus(http.StatusFound).path()
	hint := b.redeem("pawn", b.post(form, credentials())).text("id_token")
	page := b.logout("id_token_hint", hint).wantStatus(http.StatusOK).body
	frame := regexp.MustCompile(`<iframe src="([^"]*)"`).FindStringSubmatch(page)
	if frame == nil {
		t.Fatalf("no frame in %s", page)
	}
	sid, _ := claims(t, hint)["sid"].(string)
	u, err := url.Parse(html.UnescapeString(frame[1]))
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); u.Host != "pawn.test" || q.Get("x") != "1" || q.Get("iss") != issuer || q.Get("sid") != sid || sid == "" {
		t.Errorf("the frame is %s", u)
	}
}

func testSessionManagement(t *testing.T) {
	off := startKept(t, "")
	if document := off.get("/dex/.well-known/openid-configuration").json(); document["check_session_iframe"] != nil {
		t.Errorf("discovery says %v", document)
	}
	off.get("/dex/session/check").wantStatus(http.StatusNotFound)

	k := startKept(t, "checkSessionIframe: true")
	at, _ := k.get("/dex/.well-known/openid-configuration").json()["check_session_iframe"].(string)
	if at != issuer+"/session/check" {
		t.Fatalf("the frame is at %q", at)
	}
	k.get("/dex/session/check").wantStatus(http.StatusOK)
	b := k.browser()
	b.shopLogin()
	if state := b.visit(to("shop")).params().Get("session_state"); state == "" {
		t.Error("no session_state")
	}
}

func testLogoutToken(t *testing.T) {
	received := make(chan string, 1)
	shop := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { received <- r.PostFormValue("logout_token") }))
	t.Cleanup(shop.Close)
	k := startKept(t, "", toldOf[0], "backchannelLogoutSessionRequired: true\n  backchannelLogoutURI: "+shop.URL)
	if document := k.get("/dex/.well-known/openid-configuration").json(); document["backchannel_logout_supported"] != true ||
		document["backchannel_logout_session_supported"] != true {
		t.Errorf("discovery says %v", document)
	}
	go k.core.DeliverLogoutTokens(t.Context())
	b := k.browser()
	hint := b.shopLogin().text("id_token")
	b.logout("id_token_hint", hint).wantStatus(http.StatusOK)
	var token string
	select {
	case token = <-received:
	case <-time.After(30 * time.Second):
		t.Fatal("the shop isn't told")
	}
	head, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if err != nil || !strings.Contains(string(head), `"typ":"logout+jwt"`) {
		t.Errorf("the header is %s, %v", head, err)
	}
	if got, want := claims(t, token), claims(t, hint); got["sid"] != want["sid"] || got["sub"] != want["sub"] || got["nonce"] != nil {
		t.Errorf("the token says %v", got)
	}
}
