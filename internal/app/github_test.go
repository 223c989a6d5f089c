package app_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/connector/connectortest"
)

// actionsClaims is what GitHub says of a job of the repository acme/shop. There is no address, and no name.
func actionsClaims(more connectortest.Object) connectortest.Object {
	return connectortest.Merged(connectortest.Object{
		"aud": "https://dex.example.com/dex", "sub": "repo:acme/shop:environment:production", "jti": "5f5f0eb2", "name": nil,
		"email": nil, "email_verified": nil, "ref": "refs/heads/main", "sha": "2f1b5a", "repository": "acme/shop", "repository_owner": "acme",
		"repository_id": "74", "repository_owner_id": "65", "repository_visibility": "private", "run_id": "30433642", "run_number": "1",
		"run_attempt": "1", "actor": "ada", "actor_id": "101", "workflow": "Deploy", "head_ref": "", "base_ref": "", "event_name": "push",
		"ref_type": "branch", "ref_protected": "true", "environment": "production", "runner_environment": "github-hosted",
		"job_workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
		"workflow_ref":     "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
	}, more)
}

func TestActionsRecipe(t *testing.T) {
	page, err := os.ReadFile("../../docs/connectors/github-actions.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks, _ := yamlBlocks(string(page))
	p := connectortest.New(t)
	recipe := strings.Replace(blocks[0], "https://token.actions.githubusercontent.com", p.URL, 1)
	exchange := func(change string, said connectortest.Object) answer {
		from, to, _ := strings.Cut(change, " -> ")
		s := startWith(t, "issuer: http://dex.test/dex\nstorage: {type: memory}\nweb: {http: 127.0.0.1:0}\n"+strings.Replace(recipe, from, to, 1))
		return s.token(form("grant_type", grantExchange, "client_id", "jobs", "connector_id", "github-actions",
			"scope", "openid profile email groups federated:id", "requested_token_type", "urn:ietf:params:oauth:token-type:id_token",
			"subject_token", p.Sign(actionsClaims(said)), "subject_token_type", "urn:ietf:params:oauth:token-type:id_token"), noCredentials)
	}
	got := claims(t, exchange("", nil).wantStatus(http.StatusOK).text("access_token"))
	federated, _ := got["federated_claims"].(map[string]any)
	if got["name"] != "acme/shop" || got["email"] != nil || federated["user_id"] != "repo:acme/shop:environment:production" ||
		!slices.Equal(texts(got["groups"]), []string{"acme/shop", "environment:acme/shop:production"}) {
		t.Errorf("a job gets %v", got)
	}
	for name, said := range map[string]connectortest.Object{
		"another repository":    {"repository": "acme/website", "repository_id": "75"},
		"a stranger":            {"repository": "stranger/shop", "repository_owner": "stranger"},
		"another spelling":      {"repository": "ACME/shop"},
		"the usual audience":    {"aud": "https://github.com/acme"},
		"no repository":         {"repository": nil},
		"an issuer of its own":  {"iss": p.URL + "/acme"},
		"groups of its own":     {"repository": "stranger/shop", "groups": "acme/shop"},
		"a list that names all": {"repository": "stranger/shop", "groups": []string{"acme/shop"}, "aud": "https://github.com/stranger"},
	} {
		if a := exchange("", said); a.status == http.StatusOK {
			t.Errorf("%s gets %v", name, claims(t, a.text("access_token")))
		}
	}
	const byID = "claimMapping: {groups: repository} -> userIDKey: repository_id\n    claimMapping: {groups: repository_id}"
	change := byID
	recipe = strings.Replace(recipe, "[acme/shop, acme/infrastructure]", `["74"]`, 1)
	first := claims(t, exchange(change, nil).wantStatus(http.StatusOK).text("access_token"))
	renamed := connectortest.Object{"repository": "acme/store", "sub": "repo:acme/store:ref:refs/heads/main", "environment": nil}
	again := claims(t, exchange(change, renamed).wantStatus(http.StatusOK).text("access_token"))
	if first["sub"] != again["sub"] || !slices.Equal(texts(again["groups"]), []string{"74", "environment:acme/store"}) {
		t.Errorf("after the repository is renamed a job gets %v", again)
	}
	if a := exchange(change, connectortest.Object{"repository_id": "75"}); a.status == http.StatusOK {
		t.Error("whoever takes the repository's name comes in")
	}
}

// TestGitHubInCluster is the connector of the guide to Kubernetes: its client is known from the environment.
func TestGitHubInCluster(t *testing.T) {
	g := connectortest.NewGitHub(t, true)
	g.ClientID, g.ClientSecret = "Iv1.0123", "0f%+ e"
	g.RedirectURI = "https://dex.example.com:32000/callback"
	const application = "http://127.0.0.1:5555/callback"
	yaml := `
issuer: https://dex.example.com:32000
storage: {type: memory}
web: {http: 127.0.0.1:0}
oauth2: {skipApprovalScreen: true}
connectors:
- type: github
  id: github
  name: GitHub
  config:
    clientID: $GITHUB_CLIENT_ID
    clientSecret: $GITHUB_CLIENT_SECRET
    redirectURI: https://dex.example.com:32000/callback
    hostName: ` + strings.TrimPrefix(g.URL, "https://") + `
    rootCA: ` + "|\n      " + strings.ReplaceAll(g.CA(), "\n", "\n      ") + `
    orgs: [{name: acme}]
staticClients:
- {id: example-app, secret: app-secret, name: Example App, redirectURIs: ["` + application + `"]}
`
	plan, problems := app.Check(config.Source{Name: "dex.yaml", Data: []byte(yaml), Env: func(name string) (string, bool) {
		value, ok := map[string]string{"GITHUB_CLIENT_ID": "Iv1.0123", "GITHUB_CLIENT_SECRET": "0f%+ e"}[name]
		return value, ok
	}})
	if plan == nil || len(problems) > 0 {
		t.Fatal(app.Report(problems))
	}
	core, err := app.New(t.Context(), plan, app.Options{Log: slog.New(slog.DiscardHandler), WrapStore: withKeys(t, plan, nil)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := core.Close(); err != nil {
			t.Error(err)
		}
	})
	const dex = "https://dex.example.com:32000"
	h := hosted{server: &server{t: t, handler: core.Handler()}, Stage: connectortest.Stage{Hosted: g.Hosted}}
	login := "/auth?" + url.Values{
		"client_id": {"example-app"}, "redirect_uri": {application}, "response_type": {"code"}, "state": {"s"}, "scope": {"openid profile groups"},
	}.Encode()
	through := func() answer {
		b := h.browser()
		to := b.send(httptest.NewRequest(http.MethodGet, dex+login, nil)).wantStatus(http.StatusFound).location()
		back := h.atProvider(t, to).String()
		if !strings.HasPrefix(back, g.RedirectURI+"?") {
			t.Errorf("GitHub sends the browser to %s", back)
		}
		return b.send(httptest.NewRequest(http.MethodGet, back, nil))
	}
	var back answer
	t.Run("S1-34 S1-44 a member's way", func(t *testing.T) {
		back = through()
		to := back.wantStatus(http.StatusSeeOther).location()
		if got := to.Scheme + "://" + to.Host + to.Path; got != application {
			t.Errorf("the browser ends at %s", got)
		}
		sent := g.Calls()
		asked, err := url.Parse(sent[0].URI)
		if err != nil || asked.Query().Get("client_id") != "Iv1.0123" || asked.Query().Get("redirect_uri") != g.RedirectURI {
			t.Errorf("GitHub was asked %s", asked)
		}
		if form := sent[1].Form; form.Get("client_secret") != "0f%+ e" || form.Get("redirect_uri") != g.RedirectURI {
			t.Errorf("the code was redeemed by %v", form)
		}
	})
	t.Run("S1-37 a member", func(t *testing.T) {
		tokens := h.postForm("/token", form("grant_type", "authorization_code", "code", back.params().Get("code"),
			"redirect_uri", application, "client_id", "example-app", "client_secret", "app-secret"), noCredentials).wantStatus(http.StatusOK)
		said := claims(t, tokens.text("id_token"))
		if !slices.Equal(texts(said["groups"]), []string{"acme:Site Ops", "acme:dev"}) || said["preferred_username"] != "ada" {
			t.Errorf("the ID token says %v", said)
		}
	})
	t.Run("S1-37 somebody else", func(t *testing.T) {
		h.change(func() {
			g.Users["eve"], g.User = connectortest.GitHubUser{ID: 666, Email: "eve@evil.example", Orgs: []string{"evil"}}, "eve"
		})
		a := through().wantStatus(http.StatusForbidden)
		if !strings.Contains(a.body, "You are not in an organization or a team that may log in here.") {
			t.Errorf("the page says %s", a.body)
		}
	})
}
