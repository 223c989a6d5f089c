package app_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
)

func testPublicClients(t *testing.T, s *server) {
	s.token(ownerForm("client_id", "cli"), noCredentials).wantStatus(200)
	s.token(exchangeForm("client_id", "cli"), noCredentials).wantStatus(200)
	s.token(robotForm("client_id", "cli"), noCredentials).wantError(400, "unauthorized_client")

	s.token(exchangeForm(), as("my-app", "my-secret")).wantStatus(200)
	s.token(exchangeForm("client_id", "my-app"), noCredentials).wantError(401, "invalid_client")
	s.token(exchangeForm(), as("my-app", "wrong")).wantError(401, "invalid_client")
	s.token(robotForm(), as("my-app", "my-secret")).wantError(400, "unauthorized_client")
}

func testGrantsOfAClient(t *testing.T, s *server) {
	few, none := as("few", "few-secret"), as("none", "none-secret")
	code := s.browser().throughMock("client_id", "few").wantStatus(http.StatusSeeOther).params().Get("code")
	s.token(codeForm(code), few).wantStatus(200)
	for _, f := range []url.Values{refreshForm("x"), ownerForm(), robotForm(), exchangeForm(), pollForm("x")} {
		s.token(f, few).wantError(400, "unauthorized_client")
		s.token(f, none).wantError(400, "unauthorized_client")
	}
	s.token(codeForm("x"), none).wantError(400, "unauthorized_client")
	s.postForm("/dex/device/code", form("scope", "openid"), few).wantError(400, "unauthorized_client")
	s.get(authPath("client_id", "none")).wantRedirectError("unauthorized_client")
}

// A client that may not use a connector learns nothing by it: not whether a password or a token is right.
func testConnectorsOfGrants(t *testing.T, s *server) {
	strict := as("strict", "s")
	for _, password := range []string{"p", "wrong"} {
		a := s.token(ownerForm("password", password), strict)
		a.wantError(400, "invalid_grant")
		if !strings.Contains(a.text("error_description"), "may not use connector") {
			t.Errorf("with %s: %s", password, a.body)
		}
	}
	for _, token := range []string{"x", "expired"} {
		s.token(exchangeForm("subject_token", token), strict).wantError(400, "invalid_grant")
	}
	closed := startWith(t, strings.NewReplacer(
		"name: Example}", "name: Example, grantTypes: [authorization_code]}",
		"name: Other, config:", "name: Other, grantTypes: [authorization_code], config:",
	).Replace(configuration)+"oauth2: {passwordConnector: 'odd id/%'}\n")
	closed.token(ownerForm()).wantError(400, "invalid_request")
	closed.token(ownerForm("password", "wrong")).wantError(400, "invalid_request")
	closed.token(exchangeForm()).wantError(400, "invalid_request")
}

func testGrantBodies(t *testing.T, s *server) {
	repeated := func(f url.Values, name string) url.Values {
		f[name] = []string{"app", "app"}
		return f
	}
	s.token(repeated(exchangeForm(), "scope")).wantError(400, "invalid_request")
	s.token(repeated(exchangeForm(), "subject_token")).wantError(400, "invalid_request")
	for _, f := range []url.Values{ownerForm(), robotForm()} {
		s.token(repeated(f, "resource")).wantStatus(200) // is a list (RFC 8707, section 2)
	}
	twice := exchangeForm()
	twice["grant_type"] = []string{exchangeGrant, exchangeGrant}
	s.token(twice).wantError(400, "invalid_request")

	const part = "--b\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\n" + exchangeGrant + "\r\n--b--\r\n"
	body := strings.NewReader(part)
	r := httptest.NewRequest(http.MethodPost, "http://dex.test/dex/token", body)
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	asApp(r)
	s.do(r).wantError(400, "invalid_request")
	if body.Len() != len(part) {
		t.Error("the body was read, though it is multipart")
	}
}

func testDefaultGrants(t *testing.T) {
	s := start(t, "")
	document := s.get("/dex/.well-known/openid-configuration").json()
	if got := toText(document["grant_types_supported"]); strings.Contains(got, "implicit") || strings.Contains(got, "password") {
		t.Errorf("grants %s", got)
	}
	if got := toText(document["response_types_supported"]); got != "[code]" {
		t.Errorf("response types %s", got)
	}
	s.token(ownerForm()).wantError(400, "unsupported_grant_type")
	s.token(form("grant_type", "implicit")).wantError(400, "unsupported_grant_type")
	for _, responseType := range []string{"token", "id_token", "id_token token", "code id_token", "code token", "code id_token token"} {
		s.get(authPath("response_type", responseType)).wantRedirectError("unsupported_response_type")
	}
}

func testRiskWarnings(t *testing.T) {
	encrypted := strings.Replace(configuration, "http://dex.test", "https://dex.localhost", 1) // says nothing itself
	public := strings.Replace(encrypted, "https://dex.localhost", "https://dex.test", 1)
	secretOnly := strings.Replace(encrypted, "- {id: cli, public: true, name: Command line}\n", "", 1)
	for _, c := range []struct{ yaml, key string }{
		{encrypted, ""},
		{public, "connectors[0].type"}, // a connector for trials
		{encrypted + "oauth2: {responseTypes: [code]}\n", ""},
		{encrypted + "oauth2: {responseTypes: [code, token]}\n", "oauth2.responseTypes"},
		{encrypted + "oauth2: {responseTypes: [code id_token]}\n", "oauth2.responseTypes"},
		{encrypted + "oauth2: {passwordConnector: local}\n", "oauth2.passwordConnector"},
		{encrypted + "expiry: {refreshTokens: {disableRotation: true}}\n", "expiry.refreshTokens.disableRotation"},
		{secretOnly + "expiry: {refreshTokens: {disableRotation: true}}\n", ""},
	} {
		plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(c.yaml), Env: environment})
		if plan == nil {
			t.Fatal(app.Report(problems))
		}
		var keys []string
		for _, p := range problems {
			keys = append(keys, p.Key)
		}
		if got := strings.Join(keys, " "); got != c.key {
			t.Errorf("warnings about %q, want %q:\n%s", got, c.key, app.Report(problems))
		}
	}
}

func testTokenProfile(t *testing.T) {
	for _, profile := range []string{"default", "upstream", "strict"} {
		s := allGrants(t, "compatibility: {tokenProfile: "+profile+"},")
		a := s.token(codeForm(s.browser().throughMock().params().Get("code"))).wantStatus(200)
		access := claims(t, a.text("access_token"))
		if access["client_id"] != "app" || access["scope"] != "openid email profile groups offline_access" || access["c_hash"] != nil {
			t.Errorf("%s: access token %v", profile, access)
		}
		strict := profile == "strict"
		if (access["nonce"] == nil) != strict || (access["at_hash"] == nil) != strict {
			t.Errorf("%s: access token %v", profile, access)
		}
		if got := typeOf(t, a.text("access_token")); (got == "at+jwt") != strict || !strict && got != "" {
			t.Errorf("%s: the access token is of type %q", profile, got)
		}
		wantClaims(t, a.text("id_token"), map[string]any{
			"nonce": "n", "at_hash": halfHash(a.text("access_token")), "client_id": nil, "scope": nil,
		})
		if got := typeOf(t, a.text("id_token")); got != "" {
			t.Errorf("%s: the ID token is of type %q", profile, got)
		}
		s.bearer(a.text("access_token")).wantStatus(200)
	}
}

func testExchangeAlone(t *testing.T) {
	s := start(t, "oauth2: {grantTypes: [\""+exchangeGrant+"\"]}\n")
	if got := toText(s.get("/dex/.well-known/openid-configuration").json()["grant_types_supported"]); got != "["+exchangeGrant+"]" {
		t.Errorf("grants %s", got)
	}
	s.token(exchangeForm()).wantStatus(200)
	for _, f := range []url.Values{codeForm("x"), refreshForm("x"), ownerForm(), robotForm(), pollForm("x")} {
		s.token(f).wantError(400, "unsupported_grant_type")
	}
	start(t, "").token(exchangeForm()).wantStatus(200) // on by default
}
