package app_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	tokenType     = "urn:ietf:params:oauth:token-type:" // #nosec G101 -- names no secret
)

// allGrants runs a server with every grant, and clients that need them; settings are more of oauth2.
func allGrants(t *testing.T, settings string) *server {
	t.Helper()
	return start(t, `- {id: robot, secret: robot-secret, name: Robot, clientCredentialsClaims: {groups: [machines]}}
- {id: my-app, secret: my-secret, public: true, name: My app}
- {id: few, secret: few-secret, name: Few, redirectURIs: ["https://app.test/callback"], grantTypes: [authorization_code]}
- {id: none, secret: none-secret, name: None, redirectURIs: ["https://app.test/callback"], grantTypes: [implicit]}
expiry: {refreshTokens: {reuseInterval: 0s}}
oauth2: {passwordConnector: "odd id/%", skipApprovalScreen: true, `+settings+`
  grantTypes: ["`+strings.Join(everyGrant, `", "`)+"\"]}\n")
}

func ownerForm(pairs ...string) url.Values {
	return form(append([]string{"grant_type", "password", "username", "u", "password", "p", "scope", "openid"}, pairs...)...)
}

func robotForm(pairs ...string) url.Values {
	return form(append([]string{"grant_type", "client_credentials"}, pairs...)...)
}

func exchangeForm(pairs ...string) url.Values {
	return form(append([]string{
		"grant_type", exchangeGrant, "connector_id", "mock", "subject_token", "x", "subject_token_type", tokenType + "id_token",
	}, pairs...)...)
}

// wantClaims checks claims of a token; nil means that one is absent.
func wantClaims(t *testing.T, token string, want map[string]any) {
	t.Helper()
	got := claims(t, token)
	for name, value := range want {
		if !cmp.Equal(got[name], value) {
			t.Errorf("claim %s is %v, want %v, in %v", name, got[name], value, got)
		}
	}
}

// typeOf returns the typ header of a token.
func typeOf(t *testing.T, token string) string {
	t.Helper()
	first, _, _ := strings.Cut(token, ".")
	b, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		t.Fatal(err)
	}
	var header struct{ Typ string }
	if err := json.Unmarshal(b, &header); err != nil {
		t.Fatal(err)
	}
	return header.Typ
}

func TestDepartureGrants(t *testing.T) {
	s := allGrants(t, "")
	for name, test := range map[string]func(*testing.T, *server){
		"D-108 refusals of the password grant":           testPasswordRefusals,
		"D-121 D-964 tokens of a client's own":           testClientCredentials,
		"D-501 D-507 S1-60 types of exchanged tokens":    testExchangeTypes,
		"D-502 D-851 S1-67 audience and resource":        testExchangeAudience,
		"D-503 delegation":                               testDelegation,
		"D-504 D-505 S1-58 S1-61 answers of an exchange": testExchangeAnswer,
		"S1-59 the connector of an exchange":             testExchangeConnector,
		"S1-56 public clients":                           testPublicClients,
		"D-120 grants of one client":                     testGrantsOfAClient,
		"password grant":                                 testPasswordGrant,
		"who may use a connector":                        testConnectorsOfGrants,
		"bodies":                                         testGrantBodies,
	} {
		t.Run(name, func(t *testing.T) { test(t, &server{t: t, handler: s.handler}) })
	}
	t.Run("D-603 nothing risky by default", testDefaultGrants)
	t.Run("D-603 D-613 warnings", testRiskWarnings)
	t.Run("D-901 access tokens", testTokenProfile)
	t.Run("S1-53 token exchange alone", testExchangeAlone)
}

func testPasswordRefusals(t *testing.T, s *server) {
	s.token(ownerForm("password", "wrong")).wantError(400, "invalid_grant")
	s.token(ownerForm("username", "nobody")).wantError(400, "invalid_grant")
	for _, missing := range []string{"username", "password"} {
		s.token(ownerForm(missing, "")).wantError(400, "invalid_request")
		f := ownerForm()
		f.Del(missing)
		s.token(f).wantError(400, "invalid_request")
	}
	for _, scope := range []string{
		"", "email", "openid audience:server:client_id:strict", "openid audience:server:client_id:nobody",
	} {
		s.token(ownerForm("scope", scope)).wantError(400, "invalid_scope")
		s.token(ownerForm("scope", scope, "password", "wrong")).wantError(400, "invalid_scope") // no password is tried in vain
	}
	// A connector that checks no passwords is a mistake of the operator's.
	start(t, "oauth2: {passwordConnector: mock}\n").token(ownerForm()).wantError(500, "server_error")
}

func testPasswordGrant(t *testing.T, s *server) {
	a := s.token(ownerForm("scope", "openid email profile groups federated:id", "nonce", "n1")).wantStatus(200)
	if a.json()["refresh_token"] != nil || a.text("token_type") != "bearer" || a.json()["expires_in"] != 86400.0 {
		t.Errorf("answer %s", a.body)
	}
	want := map[string]any{
		"nonce": "n1", "auth_time": nil, "c_hash": nil, "amr": []any{"pwd"}, "aud": "app", "azp": nil,
		"email": "kilgore@kilgore.trout", "email_verified": true, "name": "Kilgore Trout",
		"federated_claims": map[string]any{"connector_id": "odd id/%", "user_id": "0-385-28089-0"},
	}
	wantClaims(t, a.text("access_token"), want)
	want["at_hash"] = halfHash(a.text("access_token"))
	wantClaims(t, a.text("id_token"), want)
	peers := s.token(ownerForm("scope", "openid audience:server:client_id:other")).wantStatus(200)
	wantClaims(t, peers.text("access_token"), map[string]any{"aud": []any{"other", "app"}, "azp": "app"})

	// Its refresh tokens are a family as any other: a used one ends the login and its tokens.
	a = s.token(ownerForm("scope", "openid offline_access", "nonce", "n2")).wantStatus(200)
	first := a.text("refresh_token")
	a = s.token(refreshForm(first)).wantStatus(200)
	wantClaims(t, a.text("id_token"), map[string]any{"nonce": "n2", "amr": []any{"pwd"}, "c_hash": nil})
	s.bearer(a.text("access_token")).wantStatus(200)
	s.token(refreshForm(first)).wantError(400, "invalid_grant")
	s.token(refreshForm(a.text("refresh_token"))).wantError(400, "invalid_grant")
	s.bearer(a.text("access_token")).wantError(401, "invalid_token")

	unrefreshed := startWith(t, strings.Replace(configuration, "name: Other, config:",
		"name: Other, grantTypes: [password], config:", 1)+"oauth2: {passwordConnector: 'odd id/%'}\n")
	if a := unrefreshed.token(ownerForm("scope", "openid offline_access")).wantStatus(200); a.json()["refresh_token"] != nil {
		t.Error("a refresh token through a connector that serves none")
	}
}

func testClientCredentials(t *testing.T, s *server) {
	robot := as("robot", "robot-secret")
	a := s.token(robotForm("scope", "openid email profile groups", "nonce", "n"), robot).wantStatus(200)
	want := map[string]any{
		"sub": "CgVyb2JvdA", "aud": "robot", "name": "Robot", "preferred_username": "Robot", "groups": []any{"machines"},
		"email": nil, "email_verified": false, "nonce": "n", "auth_time": nil, "amr": nil, "c_hash": nil,
	}
	wantClaims(t, a.text("id_token"), want)
	wantClaims(t, a.text("access_token"), want)
	if a.json()["refresh_token"] != nil {
		t.Error("there is a refresh token")
	}
	s.bearer(a.text("access_token")).wantStatus(200)

	bare := s.token(robotForm(), robot).wantStatus(200) // no scope is required
	if bare.json()["id_token"] != nil {
		t.Error("an ID token without openid")
	}
	wantClaims(t, bare.text("access_token"), map[string]any{"client_id": "robot", "email_verified": nil, "groups": nil, "name": nil})
	s.bearer(bare.text("access_token")).wantError(403, "insufficient_scope")

	peers := s.token(robotForm("scope", "audience:server:client_id:other")).wantStatus(200)
	wantClaims(t, peers.text("access_token"), map[string]any{"aud": []any{"other", "app"}, "azp": "app", "sub": "CgNhcHA"})
	for _, scope := range []string{
		"offline_access", "federated:id", "openid offline_access", "audience:server:client_id:strict", "audience:server:client_id:",
	} {
		s.token(robotForm("scope", scope), robot).wantError(400, "invalid_scope")
	}
	s.token(robotForm(), as("robot", "wrong")).wantError(401, "invalid_client")
}

func testExchangeTypes(t *testing.T, s *server) {
	bad := s.token(exchangeForm("subject_token", "expired"))
	bad.wantError(400, "invalid_request")
	if !strings.Contains(bad.text("error_description"), "get a new one") {
		t.Errorf("the developer is told %s", bad.body)
	}
	for _, kind := range []string{"", "refresh_token", "saml2", "jwt ", "ID_TOKEN"} {
		s.token(exchangeForm("subject_token_type", tokenType+kind)).wantError(400, "invalid_request")
	}
	s.token(exchangeForm("subject_token_type", "")).wantError(400, "invalid_request")
	s.token(exchangeForm("subject_token", "")).wantError(400, "invalid_request")
	for _, kind := range []string{"refresh_token", "id-jag", "saml1"} { // said before the source is asked
		a := s.token(exchangeForm("requested_token_type", tokenType+kind, "subject_token", "expired"))
		a.wantError(400, "invalid_request")
		if !strings.Contains(a.text("error_description"), "requested_token_type") {
			t.Errorf("the developer is told %s", a.body)
		}
	}
	for _, subject := range []string{"id_token", "access_token", "jwt"} {
		for requested, issued := range map[string]string{
			"": "access_token", "access_token": "access_token", "jwt": "access_token", "id_token": "id_token",
		} {
			f := exchangeForm("subject_token_type", tokenType+subject)
			if requested != "" {
				f.Set("requested_token_type", tokenType+requested)
			}
			a := s.token(f).wantStatus(200)
			if a.text("issued_token_type") != tokenType+issued {
				t.Errorf("%s for %s: %s", requested, subject, a.body)
			}
			isAccess := claims(t, a.text("access_token"))["client_id"] != nil
			if isAccess != (issued == "access_token") {
				t.Errorf("%s for %s: the token is of the other type", requested, subject)
			}
		}
	}
}

func testExchangeAudience(t *testing.T, s *server) {
	both := map[string]any{"aud": []any{"other", "app"}, "azp": "app"}
	upstream := allGrants(t, "compatibility: {exchangeAudience: upstream},")
	for _, parameter := range []string{"audience", "resource"} {
		wantClaims(t, s.token(exchangeForm(parameter, "other")).wantStatus(200).text("access_token"), both)
		wantClaims(t, s.token(exchangeForm(parameter, "app")).wantStatus(200).text("access_token"), map[string]any{"aud": "app"})
		several := exchangeForm()
		several[parameter] = []string{"other", "app", "other"}
		wantClaims(t, s.token(several).wantStatus(200).text("access_token"), both)
		for _, target := range []string{"strict", "nobody", "https://api.test/", "Other"} {
			s.token(exchangeForm(parameter, target)).wantError(400, "invalid_target")
		}
		several[parameter] = []string{"other", "strict"}
		s.token(several).wantError(400, "invalid_target")
		ignored := upstream.token(exchangeForm(parameter, "strict")).wantStatus(200)
		wantClaims(t, ignored.text("access_token"), map[string]any{"aud": "app"})
	}
	scope := exchangeForm("scope", "openid audience:server:client_id:other", "requested_token_type", tokenType+"id_token")
	wantClaims(t, s.token(scope).wantStatus(200).text("access_token"), both)
	wantClaims(t, upstream.token(scope).wantStatus(200).text("access_token"), both)
}

func testDelegation(t *testing.T, s *server) {
	s.token(exchangeForm("actor_token", "x", "actor_token_type", tokenType+"jwt")).wantError(400, "invalid_request")
	s.token(exchangeForm("actor_token", "x")).wantError(400, "invalid_request")
	s.token(exchangeForm("actor_token_type", tokenType+"jwt")).wantError(400, "invalid_request")
}

func testExchangeAnswer(t *testing.T, s *server) {
	order := []string{`{"access_token":"`, `,"issued_token_type":"`, `,"token_type":"`, `,"expires_in":86400`, `,"scope":"`}
	for issued, kind := range map[string]string{"access_token": "bearer", "id_token": "N_A"} {
		f := exchangeForm("requested_token_type", tokenType+issued, "nonce", "n",
			"scope", "openid email groups offline_access federated:id magic email")
		a := s.token(f).wantStatus(200)
		for last, i := -1, 0; i < len(order); i++ {
			at := strings.Index(a.body, order[i])
			if at <= last {
				t.Errorf("%s is missing or too early in %s", order[i], a.body)
			}
			last = at
		}
		if a.text("token_type") != kind || a.text("scope") != "openid email groups federated:id" {
			t.Errorf("answer %s", a.body)
		}
		if a.json()["refresh_token"] != nil || a.json()["id_token"] != nil {
			t.Errorf("there is more than one token: %s", a.body)
		}
		wantClaims(t, a.text("access_token"), map[string]any{
			"email": "kilgore@kilgore.trout", "groups": []any{"authors"}, "nonce": nil, "auth_time": nil, "c_hash": nil, "amr": nil,
			"federated_claims": map[string]any{"connector_id": "mock", "user_id": "0-385-28089-0"}, "sub": "Cg0wLTM4NS0yODA4OS0wEgRtb2Nr",
		})
		upstream := allGrants(t, "compatibility: {tokenProfile: upstream, unknownScopes: upstream},")
		if got := upstream.token(f).wantStatus(200).text("token_type"); got != "bearer" {
			t.Errorf("as upstream, %s is of type %q", issued, got)
		}
	}
	s.token(exchangeForm("scope", "audience:server:client_id:strict")).wantError(400, "invalid_scope")
	if a := s.token(exchangeForm()).wantStatus(200); a.json()["scope"] != nil {
		t.Errorf("no scope was asked for: %s", a.body)
	}
}

func testExchangeConnector(t *testing.T, s *server) {
	for connectorID, word := range map[string]string{"": "connector_id", "nowhere": "nowhere", "odd id/%": "connector_id"} {
		a := s.token(exchangeForm("connector_id", connectorID))
		a.wantError(400, "invalid_request")
		if !strings.Contains(a.text("error_description"), word) {
			t.Errorf("connector %q: the developer is told %s", connectorID, a.body)
		}
	}
}
