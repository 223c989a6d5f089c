package app_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/faulttest"
)

// Parameters without a value counted as given where it was asked whether they are there.
var _ = faulttest.Add("P5", func(t *testing.T) {
	s := allGrants(t, "")
	for _, name := range []string{
		"request", "request_uri", "registration", "state", "nonce", "response_mode", "prompt", "max_age", "id_token_hint",
		"code_challenge", "code_challenge_method", "connector_id", "login_hint", "approval_prompt",
	} {
		s.get(authPath(name, "")).wantStatus(http.StatusOK)
	}
	if q := s.browser().visit(authPath("connector_id", "mock", "state", "")).location().Query(); q.Get("error") != "" {
		t.Errorf("an empty state leads to %v", q)
	}
	for _, name := range []string{"audience", "resource", "actor_token", "actor_token_type", "requested_token_type", "scope", "client_id"} {
		s.token(exchangeForm(name, "")).wantStatus(http.StatusOK)
	}
	s.token(ownerForm("client_secret", "", "client_id", "")).wantStatus(http.StatusOK)
	s.postForm("/dex/device/code", form("client_id", "", "client_secret", "", "code_challenge", "", "code_challenge_method", "")).
		wantStatus(http.StatusOK)
})

// A redirect URI was parsed and printed anew, and lost what was not written as it would have been.
var _ = faulttest.Add("P8", func(t *testing.T) {
	uris := map[string]string{
		"https://app.test/cb?a=1;b=2": "&", "myapp://": "?", "https://app.test/cb?": "", "https://app.test/cb?x=%2f&": "",
		"https://app.test/c%2Fb?q=a+b": "&", "com.example.app:/cb": "?", "https://App.test": "?",
	}
	quoted := `"` + strings.Join(slices.Collect(func(yield func(string) bool) {
		for uri := range uris {
			if !yield(uri) {
				return
			}
		}
	}), `", "`) + `"`
	s := start(t, `- {id: many, secret: s, name: Many, redirectURIs: [`+quoted+`, "https://app.test/#/cb"]}`+"\noauth2: {skipApprovalScreen: true, responseTypes: [code, id_token]}\n")
	answer := func(uri string, pairs ...string) string {
		b := s.browser()
		trip := b.visit(authPath(append(pairs, "client_id", "many", "redirect_uri", uri, "connector_id", "mock")...)).wantStatus(http.StatusFound)
		return b.visit(trip.path()).wantStatus(http.StatusSeeOther).header.Get("Location")
	}
	for uri, separator := range uris {
		if got := answer(uri); !strings.HasPrefix(got, uri+separator+"code=") {
			t.Errorf("the answer to %s goes to %s", uri, got)
		}
		if got := answer(uri, "response_type", "id_token"); !strings.HasPrefix(got, uri+"#id_token=") {
			t.Errorf("the answer to %s in a fragment goes to %s", uri, got)
		}
	}
	if got := answer("https://app.test/#/cb"); !strings.HasPrefix(got, "https://app.test/?code=") || !strings.HasSuffix(got, "#/cb") {
		t.Errorf("the answer to a URI with a fragment goes to %s", got)
	}
	for _, uri := range []string{"https://app.test/%zz", "https://app.test:port/cb", "https://app.test/a b", "https://app.test/\\t"} {
		wantRedirectRefused(t, uri)
	}
})

// wantRedirectRefused checks that the check takes a redirect URI, as YAML has it between quotation marks, for an error.
func wantRedirectRefused(t *testing.T, uri string) {
	t.Helper()
	yaml := configuration + `- {id: odd, secret: s, name: Odd, redirectURIs: ["https://app.test/cb", "` + uri + `"]}` + "\n"
	plan, problems := app.Check(config.Source{Name: "test.yaml", Env: environment, Data: []byte(yaml)})
	if report := app.Report(problems); plan != nil || !strings.Contains(report, "redirectURIs[1]: ") {
		t.Errorf("%s is accepted: %s", uri, report)
	}
}

// Redirect URIs that a browser would run were registered and offered as links.
var _ = faulttest.Add("R23", func(t *testing.T) {
	for _, uri := range []string{
		"javascript:alert(1)", "JavaScript:alert(1)", "java\\tscript:alert(1)", "\\x01javascript:alert(1)", "data:text/html,x",
		"vbscript:x", "blob:https://app.test/x",
	} {
		wantRedirectRefused(t, uri)
	}
	s, stored := startStored(t, configuration)
	const script = "javascript:alert(1)"
	put(t, stored, client.Kind, "script", client.Client{ID: "script", Secret: "s", Name: "Script", RedirectURIs: []string{script}})
	for _, mode := range []string{"query", "fragment", "form_post"} {
		a := s.get(authPath("client_id", "script", "redirect_uri", script, "response_mode", mode)).wantStatus(http.StatusBadRequest)
		// Where developers are told what came, it is text. To choose a language leads to this page again.
		body, _, _ := strings.Cut(a.body, `<footer class="dex-footer">`)
		if told := "<code><bdi>" + script + "</bdi></code>"; strings.Contains(strings.Replace(body, told, "", 1), "alert") {
			t.Errorf("the page has the script in it: %s", a.body)
		}
	}
})

// HEAD was refused, and not every refusal of a method said which there are.
var _ = faulttest.Add("P9", func(t *testing.T) {
	a := open(t, configuration+"sessions: {checkSessionIframe: true}\n", nil)
	h := a.Handler()
	s := &server{t: t, handler: h}
	head := s.do(httptest.NewRequest(http.MethodHead, "http://dex.test"+authPath(), nil))
	if got := s.get(authPath()); head.status != got.status || head.status != http.StatusOK {
		t.Errorf("HEAD is answered with %d, GET with %d", head.status, got.status)
	}
	for _, pattern := range a.Patterns() {
		path := "/dex" + strings.NewReplacer("{connector}", "mock", "{file...}", "main.css").Replace(pattern)
		for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodGet, http.MethodPost, http.MethodHead, "QUERY"} {
			got := s.do(httptest.NewRequest(method, "http://dex.test"+path, nil))
			if got.status == http.StatusMethodNotAllowed && got.header.Get("Allow") == "" {
				t.Errorf("%s %s: 405 without Allow", method, path)
			}
			if got.status != http.StatusMethodNotAllowed && (method == http.MethodPut || method == "QUERY") &&
				!strings.Contains(pattern, "healthz") && got.status != http.StatusNotFound && pattern != "/" {
				t.Errorf("%s %s: status %d", method, path, got.status)
			}
		}
	}
})

// Bodies that were too large got a page from endpoints that answer in JSON.
var _ = faulttest.Add("P10", func(t *testing.T) {
	s := start(t, "")
	for path, page := range map[string]bool{
		"/dex/token": false, "/dex/token/revoke": false, "/dex/token/introspect": false, "/dex/userinfo": false,
		"/dex/device/code": false, "/dex/device/token": false,
		"/dex/auth": true, "/dex/auth/mock": true, "/dex/device/auth/verify_code": true, "/dex/callback": true,
	} {
		for _, chunked := range []bool{false, true} {
			r := post(path, "token=x&"+strings.Repeat("a", 3<<20))
			r.SetBasicAuth("app", "app-secret")
			if chunked {
				r.ContentLength = -1
			}
			a := s.do(r)
			html := strings.HasPrefix(a.header.Get("Content-Type"), "text/html")
			if a.status != http.StatusRequestEntityTooLarge || html != page {
				t.Errorf("%s, chunked %t: status %d, %s: %s", path, chunked, a.status, a.header.Get("Content-Type"), a.body)
			}
			if !page && a.text("error") != "invalid_request" {
				t.Errorf("%s, chunked %t: %s", path, chunked, a.body)
			}
		}
	}
})

// Discovery listed response types that the authorization endpoint refused.
var _ = faulttest.Add("P13", func(t *testing.T) {
	for grants, want := range map[string]string{
		"authorization_code":                "[code]",
		"implicit":                          "[id_token id_token token]",
		"authorization_code, implicit":      "[code code id_token code id_token token code token id_token id_token token]",
		"authorization_code, refresh_token": "[code]",
	} {
		s := start(t, "oauth2: {responseTypes: [code, id_token, token], grantTypes: ["+grants+"], compatibility: {endpointGrants: strict}}\n")
		listed, _ := s.get("/dex/.well-known/openid-configuration").json()["response_types_supported"].([]any)
		if got := toText(listed); got != want {
			t.Errorf("with the grants %s: %s, want %s", grants, got, want)
		}
		for _, responseType := range listed {
			name, _ := responseType.(string)
			s.get(authPath("response_type", name)).wantStatus(http.StatusOK)
		}
	}
})

// What upstream ignored in a request was refused without a way back.
var _ = faulttest.Add("P15", func(t *testing.T) {
	s := start(t, "")
	s.get(authPath("prompt", "create")).wantStatus(http.StatusOK)
	s.get(authPath("prompt", "none create")).wantRedirectError("login_required")
	lenient := start(t, "oauth2: {compatibility: {clientChecks: upstream}}\n")
	for name, value := range map[string]string{
		"response_mode": "web_message", "max_age": "soon", "code_challenge_method": "S256",
	} {
		s.get(authPath(name, value)).wantRedirectError("invalid_request")
		lenient.get(authPath(name, value)).wantStatus(http.StatusOK)
		if q := lenient.browser().login(name, value); q.Get("code") == "" {
			t.Errorf("%s=%s: the application is told %v", name, value, q)
		}
	}
	lone := form("client_id", "app", "client_secret", "app-secret", "code_challenge_method", "S256")
	s.postForm("/dex/device/code", lone, noCredentials).wantError(400, "invalid_request")
	lenient.postForm("/dex/device/code", lone, noCredentials).wantStatus(http.StatusOK)
})

// offline_access was listed as granted where no refresh token can come of it.
var _ = faulttest.Add("P16", func(t *testing.T) {
	s := allGrants(t, "responseTypes: [code, id_token, token],")
	for responseType, granted := range map[string]bool{"id_token token": false, "code token": true, "code": true} {
		b := s.browser()
		trip := b.visit(authPath("response_type", responseType, "connector_id", "mock")).wantStatus(http.StatusFound)
		q := b.visit(trip.path()).wantStatus(http.StatusSeeOther).params()
		scope := q.Get("scope")
		if responseType == "code" {
			scope = s.token(codeForm(q.Get("code"))).wantStatus(http.StatusOK).text("scope")
		}
		if got := slices.Contains(strings.Fields(scope), "offline_access"); got != granted {
			t.Errorf("%s: granted is %q", responseType, scope)
		}
	}
	exchanged := s.token(exchangeForm("scope", "openid offline_access")).wantStatus(http.StatusOK)
	if exchanged.text("scope") != "openid" {
		t.Errorf("an exchange grants %s", exchanged.text("scope"))
	}
})

// Clients that fail on parameters that they don't know had no way to be without iss.
var _ = faulttest.Add("P17", func(t *testing.T) {
	for mode, want := range map[string]string{"upstream": "", "default": issuer} {
		s := start(t, "oauth2: {responseTypes: [code, id_token], compatibility: {issuerParameter: "+mode+"}}\n")
		flag := s.get("/dex/.well-known/openid-configuration").json()["authorization_response_iss_parameter_supported"]
		if said, _ := flag.(bool); said != (want != "") || want == "" && flag != nil {
			t.Errorf("%s: the metadata says %v", mode, flag)
		}
		refused := s.browser()
		for what, q := range map[string]url.Values{
			"code":     s.browser().login(),
			"error":    s.get(authPath("scope", "-")).wantStatus(http.StatusSeeOther).params(),
			"fragment": s.get(authPath("response_type", "id_token", "scope", "-")).wantStatus(http.StatusSeeOther).params(),
			"refusal":  refused.post(refused.consent(), url.Values{"approval": {"no"}}).wantStatus(http.StatusSeeOther).params(),
		} {
			if q.Get("iss") != want || q.Has("iss") != (want != "") {
				t.Errorf("%s: the answer with %s has the iss %q", mode, what, q.Get("iss"))
			}
		}
	}
})

// Scopes that can be none were left out like scopes that nobody knows.
var _ = faulttest.Add("P18", func(t *testing.T) {
	s := allGrants(t, "")
	for _, scope := range []string{`openid a"b`, `openid a\b`, "openid \x01", "openid ü", "openid \x7f"} {
		s.get(authPath("scope", scope)).wantRedirectError("invalid_scope")
		s.token(ownerForm("scope", scope)).wantError(400, "invalid_scope")
		s.token(exchangeForm("scope", scope)).wantError(400, "invalid_scope")
		s.token(form("grant_type", "client_credentials", "scope", scope)).wantError(400, "invalid_scope")
		s.postForm("/dex/device/code", form("client_id", "app", "scope", scope)).wantError(400, "invalid_scope")
	}
	s.get(authPath("scope", "openid  unknown:scope/x ")).wantStatus(http.StatusOK)
})

// An id_token_hint that could not be verified ended the login.
var _ = faulttest.Add("U4", func(t *testing.T) {
	s := start(t, "")
	for _, hint := range []string{"x", "e30.e30.x", strings.Repeat("a", 5000)} {
		choice := s.get(authPath("id_token_hint", hint)).wantStatus(http.StatusOK)
		body, _, _ := strings.Cut(choice.body, `<footer class="dex-footer">`) // where the choice of a language leads to this page again
		if strings.Contains(body, "id_token_hint") {
			t.Error("the hint is repeated")
		}
		if q := s.browser().login("id_token_hint", hint); q.Get("code") == "" {
			t.Errorf("the application is told %v", q)
		}
		s.get(authPath("id_token_hint", hint, "prompt", "none")).wantRedirectError("login_required")
	}
	upstream := start(t, "oauth2: {compatibility: {silentLogin: upstream}}\n")
	upstream.get(authPath("id_token_hint", "x", "prompt", "none")).wantRedirectError("login_required")
})

// A request object was refused where the query says, though the object says where and how.
var _ = faulttest.Add("V8", func(t *testing.T) {
	s := start(t, "oauth2: {responseTypes: [code, id_token]}\n")
	object := func(header, payload string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + "."
	}
	for name, request := range map[string]string{
		"unsigned": object(`{"alg":"none"}`, `{"state":"within","response_mode":"form_post","response_type":"code"}`),
		"signed":   object(`{"alg":"RS256"}`, `{"state":"within","response_mode":"form_post","response_type":"code"}`) + "c2ln",
	} {
		a := s.get(authPath("request", request, "state", "-")).wantStatus(http.StatusOK)
		for _, field := range []string{
			`action="` + callback + `"`, `name="error" value="request_not_supported"`, `name="state" value="within"`,
		} {
			if !strings.Contains(a.body, field) {
				t.Errorf("%s: %s is not in %s", name, field, a.body)
			}
		}
	}
	fragment := object(`{"alg":"none"}`, `{"state":"within","response_mode":"fragment"}`)
	if q := s.get(authPath("request", fragment, "state", "outside")).wantRedirectError("request_not_supported"); q.Get("state") != "within" {
		t.Errorf("the state is %q", q.Get("state"))
	}
	elsewhere := object(`{"alg":"none"}`, `{"redirect_uri":"https://evil.test","client_id":"other","state":5}`)
	s.get(authPath("request", elsewhere)).wantRedirectError("request_not_supported")
	for _, bad := range []string{"x", "..", "a.b.c", strings.Repeat("a", 40<<10)} {
		if a := s.get(authPath("request", bad)).wantStatus(http.StatusSeeOther); !strings.HasPrefix(a.header.Get("Location"), callback) {
			t.Errorf("%.20s leads to %s", bad, a.header.Get("Location"))
		}
	}
})

// With upstream's rules, challenges of any length were stored.
var _ = faulttest.Add("R24", func(t *testing.T) {
	for _, rules := range []string{"upstream", "default", "strict"} {
		s := start(t, "oauth2: {compatibility: {clientChecks: "+rules+"}}\n")
		long := strings.Repeat("c", 2000)
		s.get(authPath("code_challenge", long)).wantRedirectError("invalid_request")
		s.postForm("/dex/device/code", form("client_id", "app", "code_challenge", long)).wantError(400, "invalid_request")
		s.token(codeForm("x", "code_verifier", long)).wantError(400, "invalid_request")
	}
})
