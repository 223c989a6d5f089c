package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// job has the claims of the tests' tokens.
func job() section {
	return section{"sub": "job:build", "aud": "https://dex.example.com", "groups": []string{"builders"}}
}

// TestMachines gives our tokens to machines that have another issuer's, as in the users' guide.
func TestMachines(t *testing.T) {
	t.Parallel()
	issuer := startTokenIssuer(t)
	d, dir := startMachineGuide(t, issuer)
	token := issuer.mint(t, job())

	t.Run("S1-50 S1-51 S1-54 a token for a token", func(t *testing.T) {
		wantPart(t, d.exchange(t, token, "scope", "openid profile groups").want(t), map[string]any{
			"iss": d.issuer, "aud": "my-app", "name": "job:build",
		})
	})
	t.Run("S1-53 the only grant", func(t *testing.T) { testOnlyExchange(t, d) })
	t.Run("S1-55 the folder and the address", func(t *testing.T) {
		if _, err := os.Stat(filepath.Join(dir, "dex.db")); err != nil {
			t.Error(err)
		}
		_, port, _ := strings.Cut(strings.TrimPrefix(d.issuer, "http://"), ":")
		if status, _ := d.fetch(t, "http://127.0.0.2:"+port+"/healthz"); status != http.StatusOK {
			t.Errorf("at another address of the machine /healthz answers %d", status)
		}
	})
	t.Run("S1-56 a public client that has a secret", func(t *testing.T) {
		d.exchangeAs(t, "my-app", "my-secret", token).want(t)
		d.exchangeAs(t, "my-app", "wrong", token).wantError(t, http.StatusUnauthorized, "invalid_client", "")
		d.exchangeAs(t, "", "", token, "client_id", "my-app").wantError(t, http.StatusUnauthorized, "invalid_client", "")
	})
	t.Run("S1-57 the request of the guide", func(t *testing.T) {
		request := strings.Replace(machineRequest, "curl https://dex.example.com", `curl -w '\n%{http_code}' `+d.issuer, 1)
		status, answer := curl(t, request, "UPSTREAM_TOKEN="+token)
		if status != "200" {
			t.Fatalf("curl gets %s, %+v", status, answer)
		}
		wantPart(t, payloadOf(t, answer.Access), map[string]any{"aud": "my-app"})

		if status, answer = curl(t, request, "UPSTREAM_TOKEN="+issuer.admit(section{"sub": "job:build"})); status != "400" {
			t.Errorf("an opaque token gets %s", status)
		}
		if !strings.Contains(answer.Description, "getUserInfo: true") || !strings.Contains(answer.Description, idType) {
			t.Errorf("the developer is told %q", answer.Description)
		}
	})
	t.Run("S1-58 S1-60 the answer", func(t *testing.T) { testExchangeAnswers(t, d, token) })
	t.Run("S1-59 the connector", func(t *testing.T) {
		d.exchange(t, token, "connector_id", "").wantError(t, http.StatusBadRequest, "invalid_request", "connector_id")
		d.exchange(t, token, "connector_id", "nowhere").wantError(t, http.StatusBadRequest, "invalid_request", "nowhere")
	})
	t.Run("S1-61 federated claims", func(t *testing.T) {
		wantPart(t, d.exchange(t, token).want(t), map[string]any{
			"federated_claims": map[string]any{"connector_id": "my-upstream", "user_id": "job:build"},
		})
		if c := d.exchange(t, token, "scope", "openid groups").want(t); c["federated_claims"] != nil {
			t.Errorf("they are there though nobody asked: %v", c)
		}
	})
	t.Run("S1-65 the token opens what is protected", func(t *testing.T) { testProtected(t, d, token) })
	t.Run("S1-66 again and again", func(t *testing.T) {
		first, next := d.exchange(t, token), d.exchange(t, issuer.mint(t, job()))
		if a, b := first.want(t), next.want(t); a["sub"] != b["sub"] || first.Access == next.Access {
			t.Errorf("two exchanges for one machine give %v and %v", a, b)
		}
		expired := job()
		expired["exp"] = time.Now().Add(-time.Minute).Unix()
		d.exchange(t, issuer.mint(t, expired)).wantError(t, http.StatusBadRequest, "invalid_request", "get a new one")
	})
	t.Run("tokens of others", func(t *testing.T) {
		stranger, another := startTokenIssuer(t), job()
		another["iss"] = issuer.server.URL
		refusal := "no key of the provider has signed it"
		d.exchange(t, stranger.mint(t, another)).wantError(t, http.StatusBadRequest, "invalid_request", refusal)
		d.exchange(t, token[:len(token)-8]+"AAAAAAAA").wantError(t, http.StatusBadRequest, "invalid_request", refusal)
		another["iss"] = stranger.server.URL
		d.exchange(t, issuer.mint(t, another)).wantError(t, http.StatusBadRequest, "invalid_request", "its issuer is")
	})
}

func testOnlyExchange(t *testing.T, d *dex) {
	var metadata struct {
		Grants []string `json:"grant_types_supported"`
	}
	_, body := d.fetch(t, d.endpoint("/.well-known/openid-configuration"))
	if err := json.Unmarshal([]byte(body), &metadata); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(metadata.Grants, []string{exchangeGrant}) {
		t.Errorf("discovery has the grants %q", metadata.Grants)
	}
	for _, grant := range []string{"authorization_code", "refresh_token", "client_credentials", "password"} {
		d.exchange(t, "x", "grant_type", grant).wantError(t, http.StatusBadRequest, "unsupported_grant_type", "")
	}
}

func testExchangeAnswers(t *testing.T, d *dex, token string) {
	for requested, want := range map[string]exchanged{
		"":         {Issued: accessType, Type: "bearer"},
		accessType: {Issued: accessType, Type: "bearer"},
		idType:     {Issued: idType, Type: "N_A"},
	} {
		answer := d.exchange(t, token, "requested_token_type", requested)
		claims := answer.want(t)
		if answer.Issued != want.Issued || answer.Type != want.Type || answer.Refresh != "" || answer.ID != "" {
			t.Errorf("for %q the answer is %+v", requested, answer)
		}
		if day := 24 * 60 * 60; answer.Expires < day-1 || answer.Expires > day {
			t.Errorf("it expires in %d s, want a day", answer.Expires)
		}
		if access := claims["client_id"] != nil; access != (want.Issued == accessType) {
			t.Errorf("for %q the token is of the other type: %v", requested, claims)
		}
	}
	d.exchange(t, token, "requested_token_type", "urn:ietf:params:oauth:token-type:saml2").
		wantError(t, http.StatusBadRequest, "invalid_request", "requested_token_type")
}

// testProtected sends a token to a program that accepts only ours, and to the userinfo endpoint.
func testProtected(t *testing.T, d *dex, token string) {
	provider, err := oidc.NewProvider(t.Context(), d.issuer)
	if err != nil {
		t.Fatal(err)
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: "my-app"})
	resource := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := verifier.Verify(r.Context(), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
		}
	}))
	t.Cleanup(resource.Close)
	open := func(address, shown string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+shown)
		p, err := newVisitor(d.transport).visit(r)
		if err != nil {
			t.Fatal(err)
		}
		return p.status
	}
	answer := d.exchange(t, token)
	answer.want(t)
	if got := open(resource.URL, answer.Access); got != http.StatusOK {
		t.Errorf("with the token the resource answers %d", got)
	}
	if got := open(resource.URL, token); got != http.StatusUnauthorized {
		t.Errorf("with the token of the other issuer the resource answers %d", got)
	}
	if got := open(d.endpoint("/userinfo"), answer.Access); got != http.StatusOK {
		t.Errorf("userinfo answers %d", got)
	}
}

// TestMachinesWithUserInfo exchanges access tokens that only their issuer can read.
func TestMachinesWithUserInfo(t *testing.T) {
	t.Parallel()
	issuer := startTokenIssuer(t)
	d, _ := startMachineGuide(t, issuer, "# getUserInfo: true", "getUserInfo: true\n    insecureEnableGroups: true")
	t.Run("S1-52 access tokens", func(t *testing.T) {
		token := issuer.admit(section{"sub": "job:deploy", "groups": []string{"deployers"}})
		claims := d.exchange(t, token, "subject_token_type", accessType, "scope", "openid profile groups").want(t)
		wantPart(t, claims, map[string]any{"name": "job:deploy", "groups": []any{"deployers"}, "aud": "my-app"})
		d.exchange(t, "unknown", "subject_token_type", accessType).
			wantError(t, http.StatusBadRequest, "invalid_request", "it may have expired")
		d.exchange(t, token).wantError(t, http.StatusBadRequest, "invalid_request", "no key of the provider has signed it")
	})
	t.Run("S1-57 the request of the guide", func(t *testing.T) {
		request := strings.ReplaceAll(machineRequest, "https://dex.example.com", d.issuer)
		answer := readExchanged(t, http.StatusOK, bash(t, request, "UPSTREAM_TOKEN="+issuer.admit(section{"sub": "job:deploy"})))
		wantPart(t, answer.want(t), map[string]any{"aud": "my-app"})
	})
}

// TestMachinesForWhom shows the keys that make a connector refuse tokens made for others.
func TestMachinesForWhom(t *testing.T) {
	t.Parallel()
	issuer := startTokenIssuer(t)
	d, _ := startMachineGuide(t, issuer, "# getUserInfo: true", "exchangeAudiences: [https://dex.example.net]")
	for _, audience := range []any{"https://dex.example.net", []string{"x", "https://dex.example.net"}} {
		claims := job()
		claims["aud"] = audience
		d.exchange(t, issuer.mint(t, claims)).want(t)
	}
	for _, audience := range []any{"https://dex.example.com", "https://dex.example.net/", []string{}, nil} {
		claims := job()
		claims["aud"] = audience
		for _, kind := range []string{idType, accessType} {
			d.exchange(t, issuer.mint(t, claims), "subject_token_type", kind).
				wantError(t, http.StatusBadRequest, "invalid_request", "exchangeAudiences")
		}
	}
}

// TestPlatforms exchanges tokens from platforms whose claims have little in common.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	platforms := map[string]section{
		"buildkite": {
			"sub": "organization:acme-inc:pipeline:super-duper-app:ref:refs/heads/main:commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485:step:build",
			"aud": "https://buildkite.com/acme-inc", "organization_slug": "acme-inc", "pipeline_slug": "super-duper-app", "build_number": 1,
		},
		"circleci": {
			"sub": "org/4ebf4d4c-1f8e-4b1a-9f1e-3c2c3a3b5d21/project/8a0a3b0e-6c87-4f0a-8f7e-5a2c1d9b7c11/user/2d1c1b5e-7f65-4b6b-9c9e-0f4a1c2b3d4e",
			"aud": []string{"4ebf4d4c-1f8e-4b1a-9f1e-3c2c3a3b5d21"}, "oidc.circleci.com/project-id": "8a0a3b0e-6c87-4f0a-8f7e-5a2c1d9b7c11",
			"oidc.circleci.com/context-ids": []string{},
		},
		"gcp": {
			"sub": "113774264463038321964", "azp": "113774264463038321964", "aud": "https://dex.example.com",
			"email": "build@project.iam.gserviceaccount.com", "email_verified": true,
			"google": section{"compute_engine": section{"project_id": "project", "zone": "us-central1-a"}},
		},
	}
	issuers, connectors := map[string]*tokenIssuer{}, []section{}
	for name := range platforms {
		issuers[name] = startTokenIssuer(t)
		connectors = append(connectors, section{"type": "oidc", "id": name, "name": name, "config": section{
			"issuer": issuers[name].server.URL, "scopes": []string{"groups"}, "userNameKey": "sub",
		}})
	}
	c := newConfiguration(t).with("connectors", connectors)
	d := startDex(t, c)
	subjects := map[any]bool{}
	for name, claims := range platforms {
		t.Run("S1-64 "+name, func(t *testing.T) {
			token := issuers[name].mint(t, claims)
			got := d.exchangeAs(t, clientID, clientSecret, token, "connector_id", name, "scope", "openid profile federated:id").want(t)
			wantPart(t, got, map[string]any{
				"name": claims["sub"], "federated_claims": map[string]any{"connector_id": name, "user_id": claims["sub"]},
			})
			if _, ok := got["email"]; ok {
				t.Errorf("there is an address that nobody asked for: %v", got)
			}
			subjects[got["sub"]] = true
			for other := range platforms {
				if other != name {
					d.exchangeAs(t, clientID, clientSecret, token, "connector_id", other).
						wantError(t, http.StatusBadRequest, "invalid_request", "refused")
				}
			}
		})
	}
	if len(subjects) != len(platforms) {
		t.Errorf("%d machines have %d subjects", len(platforms), len(subjects))
	}
}

// TestPeopleAndMachines has a client for each, and tokens for the machines that the people's application accepts.
func TestPeopleAndMachines(t *testing.T) {
	t.Parallel()
	issuer := startTokenIssuer(t)
	c := newConfiguration(t).withoutConsent().with("connectors", []section{
		{"type": "mockCallback", "id": "mock", "name": "Example"},
		{"type": "oidc", "id": "my-upstream", "name": "Machines", "config": section{
			"issuer": issuer.server.URL, "scopes": []string{"groups"}, "userNameKey": "sub", "insecureEnableGroups": true,
		}},
	})
	c.with("staticClients", []section{
		{"id": "machines", "name": "Machines", "secret": "machines-secret", "public": true},
		{"id": clientID, "name": "People", "secret": clientSecret, "redirectURIs": []string{callbackURL}, "trustedPeers": []string{"machines"}},
		{"id": otherClientID, "name": "Trusts nobody", "secret": otherClientSecret, "redirectURIs": []string{callbackURL}},
	})
	d := startDex(t, c)
	token := issuer.mint(t, job())
	t.Run("S1-67 a token for the application of the people", func(t *testing.T) {
		const scope = "openid groups audience:server:client_id:" + clientID
		answer := d.exchangeAs(t, "machines", "machines-secret", token, "scope", scope, "requested_token_type", idType)
		wantPart(t, answer.want(t), map[string]any{
			"aud": []any{clientID, "machines"}, "azp": "machines", "groups": []any{"builders"},
		})
		if _, err := d.verifier(t).Verify(t.Context(), answer.Access); err != nil {
			t.Errorf("the application of the people does not take it: %v", err)
		}
		alone := d.exchangeAs(t, "machines", "machines-secret", token, "requested_token_type", idType)
		alone.want(t)
		if _, err := d.verifier(t).Verify(t.Context(), alone.Access); err == nil {
			t.Error("the application of the people takes a token that is not for it")
		}
		untrusting := "openid audience:server:client_id:" + otherClientID
		d.exchangeAs(t, "machines", "machines-secret", token, "scope", untrusting).
			wantError(t, http.StatusBadRequest, "invalid_scope", otherClientID)
	})
	t.Run("S1-67 people log in as before", func(t *testing.T) { d.mustLogin(t, "mock") })
}
