package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"

	"dex/test/servers"
)

const (
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessType    = "urn:ietf:params:oauth:token-type:access_token"
	idType        = "urn:ietf:params:oauth:token-type:id_token"
)

// machineGuide is the configuration of the users' guide to tokens for machines.
const machineGuide = `issuer: https://dex.example.com

storage:
  type: sqlite3
  config:
    file: dex.db

web:
  http: 0.0.0.0:8001

oauth2:
  grantTypes:
  - "urn:ietf:params:oauth:grant-type:token-exchange"

connectors:
- name: My Upstream
  type: oidc
  id: my-upstream
  config:
    issuer: https://token.example.com
    scopes:
    - groups
    - federated:id
    userNameKey: sub
    # getUserInfo: true

staticClients:
- name: My App
  id: my-app
  secret: my-secret
  public: true
`

// machineRequest is the request of the guide.
const machineRequest = `curl https://dex.example.com/token \
  --user my-app:my-secret \
  --data-urlencode connector_id=my-upstream \
  --data-urlencode grant_type=urn:ietf:params:oauth:grant-type:token-exchange \
  --data-urlencode scope="openid groups federated:id" \
  --data-urlencode requested_token_type=urn:ietf:params:oauth:token-type:access_token \
  --data-urlencode subject_token=$UPSTREAM_TOKEN \
  --data-urlencode subject_token_type=urn:ietf:params:oauth:token-type:access_token
`

// actionsGuide is the configuration that the guide has for jobs of GitHub Actions.
const actionsGuide = `issuer: http://127.0.0.1:5556/

storage:
  type: sqlite3
  config:
    file: dex.db

web:
  http: 0.0.0.0:8080

connectors:
- type: oidc
  id: github-actions
  name: github-actions
  config:
    issuer: https://token.actions.githubusercontent.com
    scopes:
    - openid
    - groups
    userNameKey: sub

staticClients:
- name: My app
  id: my-app
  secret: my-secret
  public: true
`

// actionsStep is what the job of the guide runs, with the type that its token has.
const actionsStep = `set -euo pipefail
IDTOKEN=$(curl -sSf -X POST -H "Authorization: bearer $TOKEN" -d '' "$IDTOKENURL" | jq -er .value)
DEXTOKEN=$(curl -sSf http://127.0.0.1/token \
  --user my-app:my-secret \
  --data-urlencode "connector_id=github-actions" \
  --data-urlencode "grant_type=urn:ietf:params:oauth:grant-type:token-exchange" \
  --data-urlencode "scope=openid groups federated:id" \
  --data-urlencode "requested_token_type=urn:ietf:params:oauth:token-type:access_token" \
  --data-urlencode "subject_token=$IDTOKEN" \
  --data-urlencode "subject_token_type=urn:ietf:params:oauth:token-type:id_token" | jq -er .access_token)
echo "$DEXTOKEN"
`

// startGuide starts a server with a configuration of a guide, from an empty folder, after replacements of old by new texts.
// It is reached at base.
func startGuide(t *testing.T, base, guide string, replacements ...string) (d *dex, dir string) {
	t.Helper()
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(guide, replacements[i]) {
			t.Fatalf("the guide has no %q", replacements[i])
		}
	}
	dir = t.TempDir()
	file := writeFile(t, dir, "config.yaml", strings.NewReplacer(replacements...).Replace(guide))
	transport := newTransport(nil)
	d = &dex{
		process: startIn(t, dir, binaries.dex, "serve", file), transport: transport,
		configuration: &configuration{issuer: base},
	}
	t.Cleanup(transport.CloseIdleConnections)
	d.waitReady(t)
	return d, dir
}

// startMachineGuide starts the server of the guide with an issuer of tokens.
func startMachineGuide(t *testing.T, i *tokenIssuer, replacements ...string) (d *dex, dir string) {
	t.Helper()
	web := freeAddress(t)
	_, port, _ := strings.Cut(web, ":")
	return startGuide(t, "http://"+web, machineGuide, append([]string{
		"https://dex.example.com", "http://" + web, "0.0.0.0:8001", "0.0.0.0:" + port, "https://token.example.com", i.server.URL,
	}, replacements...)...)
}

// An exchanged is the answer to a token exchange.
type exchanged struct {
	status      int
	Access      string `json:"access_token"`
	Issued      string `json:"issued_token_type"`
	Type        string `json:"token_type"`
	Expires     int    `json:"expires_in"`
	Refresh     string `json:"refresh_token"`
	ID          string `json:"id_token"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// exchange exchanges a token, as an ID token of my-upstream for an access token if the more parameters don't say otherwise;
// an empty one leaves its parameter out.
func (d *dex) exchange(t *testing.T, token string, more ...string) *exchanged {
	t.Helper()
	return d.exchangeAs(t, "my-app", "my-secret", token, more...)
}

func (d *dex) exchangeAs(t *testing.T, id, secret, token string, more ...string) *exchanged {
	t.Helper()
	form := url.Values{
		"grant_type": {exchangeGrant}, "connector_id": {"my-upstream"}, "scope": {"openid groups federated:id"},
		"subject_token": {token}, "subject_token_type": {idType},
	}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
		if more[i+1] == "" {
			form.Del(more[i])
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.endpoint("/token"), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret != "" {
		r.SetBasicAuth(id, secret)
	}
	p, err := newVisitor(d.transport).visit(r)
	if err != nil {
		t.Fatal(err)
	}
	return readExchanged(t, p.status, p.body)
}

func readExchanged(t *testing.T, status int, body string) *exchanged {
	t.Helper()
	answer := &exchanged{status: status}
	if err := json.Unmarshal([]byte(body), answer); err != nil {
		t.Fatalf("status %d, body %q: %v", status, body, err)
	}
	return answer
}

// want wants a token, and returns its claims.
func (a *exchanged) want(t *testing.T) map[string]any {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d, error %q %q", a.status, a.Error, a.Description)
	}
	return payloadOf(t, a.Access)
}

// wantError wants a refusal, and words in it.
func (a *exchanged) wantError(t *testing.T, status int, code, words string) {
	t.Helper()
	if a.status != status || a.Error != code || !strings.Contains(a.Description, words) || a.Access != "" {
		t.Errorf("status %d, error %q %q; want %d, %q and %q", a.status, a.Error, a.Description, status, code, words)
	}
}

// payloadOf reads the claims of a token. Its signature is the business of others.
func payloadOf(t *testing.T, token string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// wantPart wants claims among others.
func wantPart(t *testing.T, claims, want map[string]any) {
	t.Helper()
	got := map[string]any{}
	for name := range want {
		if value, ok := claims[name]; ok {
			got[name] = value
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

// bash runs a script, and returns what it prints.
func bash(t *testing.T, script string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Env = append(cleanEnvironment(), env...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, &complaints)
	}
	return string(out)
}

// job is what the tokens of the tests say.
func job() section {
	return section{"sub": "job:build", "aud": "https://dex.example.com", "groups": []string{"builders"}}
}

// TestMachines gives tokens of ours to machines that have some of another issuer, as the users' guide shows.
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

// curl runs a request that prints the status in a line of its own.
func curl(t *testing.T, request string, env ...string) (status string, answer *exchanged) {
	t.Helper()
	out := bash(t, request, env...)
	end := strings.LastIndex(out, "\n")
	return out[end+1:], readExchanged(t, 0, out[:end])
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

// testProtected shows a token to a program that lets in only who has one of ours, and to the userinfo endpoint.
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

// TestMachinesForWhom shows the keys by which a connector takes no token that was made for somebody else.
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

// actions is the server of the guide to GitHub Actions: in a container whose port 8080 is another one outside, which is not
// that of its issuer either.
type actions struct {
	*dex
	issuer *tokenIssuer
	url    string // the issuer of the server
}

func startActions(t *testing.T) *actions {
	t.Helper()
	issuer, self, inside := startTokenIssuer(t), "http://"+freeAddress(t)+"/", freeAddress(t)
	_, port, _ := strings.Cut(inside, ":")
	d, _ := startGuide(t, "http://"+inside, actionsGuide, "http://127.0.0.1:5556/", self, "0.0.0.0:8080", "0.0.0.0:"+port,
		"https://token.actions.githubusercontent.com", issuer.server.URL)
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	outside, err := servers.NewRelay(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.transport.(*http.Transport).CloseIdleConnections()
		if err := outside.Close(); err != nil {
			t.Error(err)
		}
	})
	d.configuration = &configuration{issuer: "http://127.0.0.1:" + strconv.Itoa(outside.Port)}
	return &actions{dex: d, issuer: issuer, url: self}
}

func TestGitHubActions(t *testing.T) {
	t.Parallel()
	a := startActions(t)
	claims := section{
		"sub": "repo:octo-org/octo-repo:ref:refs/heads/main", "aud": "https://github.com/octo-org", "repository": "octo-org/octo-repo",
		"repository_owner": "octo-org", "ref": "refs/heads/main", "ref_type": "branch", "workflow": "example", "actor": "octocat",
		"event_name": "push", "run_id": "1", "job_workflow_ref": "octo-org/octo-repo/.github/workflows/example.yml@refs/heads/main",
	}
	t.Run("S1-62 an issuer with a slash at the end, reached elsewhere", func(t *testing.T) {
		var metadata struct{ Issuer string }
		_, body := a.fetch(t, a.endpoint("/.well-known/openid-configuration"))
		if err := json.Unmarshal([]byte(body), &metadata); err != nil || metadata.Issuer != a.url {
			t.Errorf("discovery has the issuer %q, want %q (%v)", metadata.Issuer, a.url, err)
		}
		answer := a.exchange(t, a.issuer.mint(t, claims), "connector_id", "github-actions")
		wantPart(t, answer.want(t), map[string]any{"iss": a.url, "aud": "my-app"})
	})
	t.Run("S1-63 the step of the job", func(t *testing.T) {
		step := strings.Replace(actionsStep, "http://127.0.0.1/token", a.endpoint("/token"), 1)
		token := strings.TrimSpace(bash(t, step, "TOKEN="+a.issuer.hire(claims), "IDTOKENURL="+a.issuer.server.URL+"/job-token?api-version=2.0"))
		wantPart(t, payloadOf(t, token), map[string]any{
			"iss": a.url, "aud": "my-app",
			"federated_claims": map[string]any{"connector_id": "github-actions", "user_id": claims["sub"]},
		})
	})
	t.Run("S1-63 the step as it is printed", func(t *testing.T) {
		step := strings.NewReplacer("http://127.0.0.1/token", a.endpoint("/token"), idType, accessType).Replace(actionsStep)
		token := strings.TrimSpace(bash(t, step, "TOKEN="+a.issuer.hire(claims), "IDTOKENURL="+a.issuer.server.URL+"/job-token?api-version=2.0"))
		wantPart(t, payloadOf(t, token), map[string]any{"iss": a.url, "aud": "my-app"})
	})
}

// TestPlatforms exchanges tokens of platforms whose claims have little in common.
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

// TestPeopleAndMachines has a client for each, and tokens of the machines that the application of the people takes.
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
