package app_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/connector/connectortest"
)

// A hosted is a server whose only connector is to a provider.
type hosted struct {
	*server
	connectortest.Stage
}

func startHosted(t *testing.T, c connectortest.Case) hosted {
	t.Helper()
	stage := c.New(t)
	stage.RedirectURI, stage.Rotates, stage.Life = issuer+"/callback/source", true, time.Hour
	stage.Settings["redirectURI"] = stage.RedirectURI
	settings, err := json.Marshal(stage.Settings)
	if err != nil {
		t.Fatal(err)
	}
	return hosted{startWith(t, `
issuer: http://dex.test/dex
storage: {type: memory}
web: {http: 127.0.0.1:0}
oauth2: {skipApprovalScreen: true}
expiry: {refreshTokens: {reuseInterval: 0s}}
connectors: [{type: `+c.Type+`, id: source, name: Source, config: `+string(settings)+`}]
staticClients:
- {id: app, secret: app-secret, name: App, redirectURIs: ["`+callback+`"]}
`), stage}
}

// signIn leads a browser to the provider and back, and returns the server's answer to what the provider says.
func (h hosted) signIn(t *testing.T, scope string) answer {
	t.Helper()
	b := h.browser()
	to := b.visit(authPath("scope", scope)).wantStatus(http.StatusFound).location()
	return b.visit(h.atProvider(t, to).RequestURI())
}

// atProvider goes to the provider's login page, and returns where that sends the browser.
func (h hosted) atProvider(t *testing.T, to *url.URL) *url.URL {
	t.Helper()
	provider := *h.Client()
	provider.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := provider.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = shown.Body.Close()
	back, err := shown.Location()
	if err != nil {
		t.Fatalf("the provider answers %d: %v", shown.StatusCode, err)
	}
	return back
}

func (h hosted) change(f func()) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	f()
}

const everything = "openid email profile groups offline_access"

func TestHostedProviders(t *testing.T) {
	for _, c := range connectortest.Cases() {
		t.Run("S2-04 "+c.Type, func(t *testing.T) {
			t.Parallel()
			h := startHosted(t, c)
			tokens := testMember(t, h)
			if h.Leave != nil {
				testLeaves(t, h, tokens)
			}
			testRenewed(t, startHosted(t, c))
			testMany(t, startHosted(t, c))
			testTrouble(t, startHosted(t, c))
		})
	}
}

// testMember signs a member in.
func testMember(t *testing.T, h hosted) answer {
	t.Helper()
	h.Calls()
	back := h.signIn(t, everything)
	if calls := h.Calls(); len(calls) > h.MaxCalls {
		t.Errorf("%d calls, want %d at most: %v", len(calls), h.MaxCalls, calls)
	}
	code := back.wantStatus(http.StatusSeeOther).params().Get("code")
	tokens := h.token(codeForm(code)).wantStatus(http.StatusOK)
	said := claims(t, tokens.text("id_token"))
	if got := texts(said["groups"]); !slices.Equal(got, h.Groups) {
		t.Errorf("groups are %q, want %q", got, h.Groups)
	}
	if said["name"] == nil || said["email"] == nil {
		t.Errorf("the ID token says %v", said)
	}
	for range 2 {
		tokens = h.token(refreshForm(tokens.text("refresh_token"))).wantStatus(http.StatusOK)
		again := claims(t, tokens.text("id_token"))
		if again["sub"] != said["sub"] || !slices.Equal(texts(again["groups"]), h.Groups) {
			t.Errorf("after a refresh the ID token says %v", again)
		}
	}
	return tokens
}

// testLeaves takes the user out of what lets them in: neither a refresh nor a login gets through, whatever is asked for.
func testLeaves(t *testing.T, h hosted, tokens answer) {
	t.Helper()
	h.change(h.Leave)
	h.Expire() // what the provider has said in an ID token counts until its tokens are renewed
	h.token(refreshForm(tokens.text("refresh_token"))).wantError(http.StatusBadRequest, "invalid_grant")
	for _, scope := range []string{everything, "openid"} {
		a := h.signIn(t, scope).wantStatus(http.StatusForbidden)
		if strings.Contains(a.header.Get("Location"), "code=") || !strings.Contains(a.body, "may log in here") {
			t.Errorf("the page says %s", a.body)
		}
	}
}

// testRenewed refreshes after the provider's access token has ended, while its API is down, and after the grant was revoked.
func testRenewed(t *testing.T, h hosted) {
	t.Helper()
	code := h.signIn(t, everything).wantStatus(http.StatusSeeOther).params().Get("code")
	token := h.token(codeForm(code)).wantStatus(http.StatusOK).text("refresh_token")
	renews := h.Refreshes != nil
	if renews {
		for range 2 {
			h.Expire()
			token = h.token(refreshForm(token)).wantStatus(http.StatusOK).text("refresh_token")
		}
	}
	h.change(func() { h.Down = true })
	h.token(refreshForm(token)).wantError(http.StatusServiceUnavailable, "temporarily_unavailable")
	h.change(func() { h.Down = false })
	token = h.token(refreshForm(token)).wantStatus(http.StatusOK).text("refresh_token")
	h.Revoke(h.User)
	h.token(refreshForm(token)).wantError(http.StatusBadRequest, "invalid_grant")
}

// testMany signs in a member of a thousand groups.
func testMany(t *testing.T, h hosted) {
	t.Helper()
	if h.Many == nil {
		return
	}
	h.change(func() { h.Many(1000) })
	code := h.signIn(t, everything).wantStatus(http.StatusSeeOther).params().Get("code")
	if got := texts(claims(t, h.token(codeForm(code)).wantStatus(http.StatusOK).text("id_token"))["groups"]); len(got) != 1000 {
		t.Errorf("%d groups", len(got))
	}
}

// testTrouble brings the browser back with errors.
func testTrouble(t *testing.T, h hosted) {
	t.Helper()
	h.change(func() { h.Deny = "access_denied" })
	h.signIn(t, everything).wantRedirectError("access_denied")
	h.change(func() { h.Deny, h.Down = "", true })
	h.signIn(t, everything).wantRedirectError("temporarily_unavailable")
}

// texts returns a claim that is a list of texts.
func texts(claim any) []string {
	list, _ := claim.([]any)
	var all []string
	for _, item := range list {
		text, _ := item.(string)
		all = append(all, text)
	}
	return all
}
