package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"dex/test/servers"
)

// machineGuide is the configuration in the users' guide to tokens for machines.
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

// machineRequest is the guide's request.
const machineRequest = `curl https://dex.example.com/token \
  --user my-app:my-secret \
  --data-urlencode connector_id=my-upstream \
  --data-urlencode grant_type=urn:ietf:params:oauth:grant-type:token-exchange \
  --data-urlencode scope="openid groups federated:id" \
  --data-urlencode requested_token_type=urn:ietf:params:oauth:token-type:access_token \
  --data-urlencode subject_token=$UPSTREAM_TOKEN \
  --data-urlencode subject_token_type=urn:ietf:params:oauth:token-type:access_token
`

// actionsGuide is the guide's configuration for GitHub Actions jobs.
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

// actionsStep is what the guide's job runs, with its token's type.
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

// startGuide starts a server with a guide's configuration in an empty folder, after replacing old texts by new ones. It is
// reached at base.
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

// startMachineGuide starts the guide's server with a token issuer.
func startMachineGuide(t *testing.T, i *tokenIssuer, replacements ...string) (d *dex, dir string) {
	t.Helper()
	web := freeAddress(t)
	_, port, _ := strings.Cut(web, ":")
	return startGuide(t, "http://"+web, machineGuide, append([]string{
		"https://dex.example.com", "http://" + web, "0.0.0.0:8001", "0.0.0.0:" + port, "https://token.example.com", i.server.URL,
	}, replacements...)...)
}

// bash runs a script, and returns its output.
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

// curl runs a request that prints the status on a line of its own.
func curl(t *testing.T, request string, env ...string) (status string, answer *exchanged) {
	t.Helper()
	out := bash(t, request, env...)
	end := strings.LastIndex(out, "\n")
	return out[end+1:], readExchanged(t, 0, out[:end])
}

// actions is the server in the guide to GitHub Actions: in a container whose port 8080 is mapped to another one outside, which
// is not the issuer's either.
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

// TestActionsWorkflow runs the step of the workflow on the page about GitHub Actions, with the page's configuration.
func TestActionsWorkflow(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/connectors/github-actions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	settings, rest, _ := strings.Cut(rest, "```")
	_, rest, _ = strings.Cut(rest, "      run: |\n")
	step, _, _ := strings.Cut(rest, "```")
	issuer, base := startTokenIssuer(t), "http://"+freeAddress(t)
	const ours = "https://dex.example.com/dex"
	d, dir := startGuide(t, base, "issuer: "+ours+"\nstorage: {type: memory}\nweb: {http: 0.0.0.0:5556}\n"+settings,
		"issuer: "+ours, "issuer: "+base, "0.0.0.0:5556", strings.TrimPrefix(base, "http://"),
		"https://token.actions.githubusercontent.com", issuer.server.URL)
	job := issuer.hire(section{
		"sub": "repo:acme/shop:environment:production", "aud": "https://github.com/acme", "repository": "acme/shop", "environment": "production",
	})
	stranger := issuer.mint(t, section{"sub": "repo:evil/shop:ref:refs/heads/main", "aud": "https://dex.example.com/dex", "repository": "evil/shop"})
	refused := d.exchangeAs(t, "jobs", "", stranger, "connector_id", "github-actions", "client_id", "jobs")
	refused.wantError(t, http.StatusBadRequest, "invalid_request", "You are not in a group that may log in here")
	told := bash(t, strings.ReplaceAll(step, ours+"/token", d.endpoint("/token")), "GITHUB_ENV="+dir+"/env",
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN="+job, "ACTIONS_ID_TOKEN_REQUEST_URL="+issuer.server.URL+"/job-token?api-version=2.0")
	kept, err := os.ReadFile(dir + "/env")
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(strings.TrimPrefix(string(kept), "TOKEN="))
	if strings.TrimSpace(told) != "::add-mask::"+token {
		t.Errorf("the step prints %s", told)
	}
	wantPart(t, payloadOf(t, token), map[string]any{
		"iss": base, "aud": "jobs", "name": "acme/shop", "groups": []any{"acme/shop", "environment:acme/shop:production"},
	})
}

// TestGitLabJob runs the script of the job on the page about GitLab, with the page's configuration and the token that GitLab's
// id_tokens would give to the job.
func TestGitLabJob(t *testing.T) {
	t.Parallel()
	const page, ours = "docs/connectors/gitlab.md", "https://dex.example.com/dex"
	var pipeline struct {
		Job struct {
			Tokens map[string]struct{ Aud string } `yaml:"id_tokens"`
			Script []string
		}
	}
	if err := yaml.Unmarshal([]byte(blockWith(t, page, "yml", "id_tokens")), &pipeline); err != nil {
		t.Fatal(err)
	}
	issuer, base := startTokenIssuer(t), "http://"+freeAddress(t)
	d, _ := startGuide(t, base, "issuer: "+ours+"\nstorage: {type: memory}\nweb: {http: 0.0.0.0:5556}\n"+blockWith(t, page, "yaml", "gitlab-ci"),
		"issuer: "+ours, "issuer: "+base, "0.0.0.0:5556", strings.TrimPrefix(base, "http://"), "https://gitlab.example.com", issuer.server.URL)
	claims := section{
		"sub": "project_path:acme/app:ref_type:branch:ref:main", "project_path": "acme/app", "namespace_path": "acme", "user_login": "jane",
		"ref": "main", "ref_type": "branch", "ref_protected": "true", "pipeline_source": "push",
	}
	run := func(t *testing.T, change section) map[string]any {
		t.Helper()
		mine := maps.Clone(claims)
		mine["aud"] = pipeline.Job.Tokens["DEX_SUBJECT_TOKEN"].Aud
		maps.Copy(mine, change)
		script := replaced(t, strings.Join(pipeline.Job.Script, "\n"), ours+"/token", d.endpoint("/token"), "--fail-with-body", "-sS")
		var answer map[string]any
		if err := json.Unmarshal([]byte(bash(t, script, "DEX_SUBJECT_TOKEN="+issuer.mint(t, mine))), &answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	t.Run("S1-64 a job of the group", func(t *testing.T) {
		token, _ := run(t, nil)["access_token"].(string)
		wantPart(t, payloadOf(t, token), map[string]any{
			"iss": base, "aud": "ci-jobs", "name": "acme/app", "preferred_username": "jane", "groups": []any{"acme", "protected:true:acme/app"},
		})
	})
	for name, change := range map[string]section{
		"S1-64 a job of another group":              {"namespace_path": "evil", "project_path": "evil/app"},
		"S1-64 a job with a token for other people": {"aud": "https://vault.example.com"},
		"S1-66 a token that has expired":            {"exp": time.Now().Add(-time.Minute).Unix()},
	} {
		t.Run(name, func(t *testing.T) {
			if answer := run(t, change); answer["error"] == nil || answer["access_token"] != nil {
				t.Errorf("it gets %v", answer)
			}
		})
	}
}
