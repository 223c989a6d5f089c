package app_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/connector/connectortest"
	"dex/internal/faulttest"
)

const grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

// The example for CI systems let in every job on the platform, and the check said nothing of it.
var _ = faulttest.Add("N1", func(t *testing.T) {
	t.Run("example", testCIExample)
	t.Run("check", testExchangeWarning)
})

func testCIExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/connectors/oidc.md")
	if err != nil {
		t.Fatal(err)
	}
	const platform = "https://token.actions.githubusercontent.com"
	var example string
	blocks, _ := yamlBlocks(string(page))
	for _, block := range blocks {
		if strings.Contains(block, platform) {
			example = block
		}
	}
	// A platform runs everybody's jobs, and makes a token for each, for whatever audience the job asks for.
	p := connectortest.New(t)
	example = strings.Replace(example, platform, p.URL, 1)
	s := startWith(t, "issuer: http://dex.test/dex\nstorage: {type: memory}\nweb: {http: 127.0.0.1:0}\n"+example)
	exchange := func(owner string) answer {
		return s.token(form("grant_type", grantExchange, "client_id", "ci-jobs", "connector_id", "ci", "scope", "openid",
			"subject_token", p.Sign(connectortest.Object{
				"aud": "https://dex.example.com/dex", "sub": "repo:" + owner + "/app:ref:refs/heads/main", "repository_owner": owner,
			}), "subject_token_type", "urn:ietf:params:oauth:token-type:id_token"), noCredentials)
	}
	exchange("example").wantStatus(http.StatusOK)
	if a := exchange("stranger"); a.status == http.StatusOK {
		t.Error("a stranger's job got a token")
	}
	s.get(authPath("client_id", "ci-jobs", "redirect_uri", "http://127.0.0.1:1/")).wantRedirectError("unauthorized_client")
}

func testExchangeWarning(t *testing.T) {
	const yaml = `issuer: http://127.0.0.1/dex
storage: {type: memory}
web: {http: 127.0.0.1:0}
enablePasswordDB: true
connectors:
- type: oidc
  id: ci
  name: CI
  config: {issuer: https://ci.example.com, exchangeAudiences: [x]}
- {type: mockCallback, id: mock, name: Mock}
staticClients:
- {id: secretive, name: Secretive, secret: s, redirectURIs: [https://app.example.com/]}
- {id: jobs, name: Jobs, public: true}
`
	for name, c := range map[string]struct {
		from, to string
		warned   bool
	}{
		"by everybody":                  {"", "", true},
		"by some":                       {"[x]}", "[x], insecureEnableGroups: true, allowedGroups: [us]}", false},
		"by clients with a secret":      {"public: true", "secret: s, redirectURIs: [https://app.example.com/]", false},
		"by no public client":           {"public: true", "public: true, grantTypes: [authorization_code]", false},
		"by a public client":            {"public: true", "public: true, grantTypes: [" + grantExchange + "]", true},
		"through another connector":     {"public: true", "public: true, allowedConnectors: [mock]", false},
		"through this connector":        {"public: true", "public: true, allowedConnectors: [ci]", true},
		"not by this connector":         {"name: CI", "name: CI\n  grantTypes: [authorization_code]", false},
		"nowhere":                       {"enablePasswordDB", "oauth2: {grantTypes: [authorization_code]}\nenablePasswordDB", false},
		"of the clientID's tokens only": {"exchangeAudiences: [x]", "clientID: x", false},
	} {
		t.Run(name, func(t *testing.T) {
			plan, problems := app.Check(config.Source{Name: "dex.yaml", Data: []byte(strings.Replace(yaml, c.from, c.to, 1))})
			if plan == nil {
				t.Fatal(app.Report(problems))
			}
			report := app.Report(problems)
			if warned := strings.Contains(report, "connectors[0].config.exchangeAudiences: "); warned != c.warned {
				t.Errorf("warned: %v, want %v\n%s", warned, c.warned, report)
			}
			if c.warned && !strings.Contains(report, `client "jobs"`) {
				t.Errorf("the client isn't named\n%s", report)
			}
		})
	}
}
