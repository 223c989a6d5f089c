package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// casesOfDocs finds the cases of docs/policy.md, and the client and the connector that they are about.
var (
	casesOfDocs  = regexp.MustCompile("(?s)```yaml cases\n(cases:\n.*?)```")
	clientOfDocs = regexp.MustCompile("(?s)```yaml\n(staticClients:\n.*?)```")
	sourceOfDocs = regexp.MustCompile("(?s)```yaml\n(connectors:\n- type: google\n.*?)```")
)

const configurationWithoutSources = `
issuer: https://dex.example.com/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
`

const configurationOfCases = configurationWithoutSources + `
connectors:
- {type: google, id: google, name: Google, config: {clientID: a, clientSecret: b}}
`

// tryPolicy runs dex policy test, and returns what it prints.
func tryPolicy(t *testing.T, configuration, cases string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"config.yaml": configuration, "cases.yaml": cases} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs([]string{"policy", "test", "--config", filepath.Join(dir, "config.yaml"), filepath.Join(dir, "cases.yaml")})
	root.SetOut(&out)
	err := root.Execute()
	return out.String(), err
}

// The documented cases hold for the documented client, and each of them fails where the client is another one.
func TestDocumentedCasesOfAPolicy(t *testing.T) {
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PAYROLL_SECRET", "the-secret-of-payroll")
	t.Setenv("GOOGLE_CLIENT_ID", "a")
	t.Setenv("GOOGLE_CLIENT_SECRET", "b")
	client, source, cases := clientOfDocs.FindSubmatch(page), sourceOfDocs.FindSubmatch(page), casesOfDocs.FindSubmatch(page)
	if client == nil || source == nil || cases == nil {
		t.Fatal("docs/policy.md has no example")
	}
	configuration := configurationWithoutSources + string(source[1]) + string(client[1])
	if out, err := tryPolicy(t, configuration, string(cases[1])); err != nil || out != "2 cases, 0 failed\n" {
		t.Errorf("%v: %s", err, out)
	}
	for line, edit := range map[string][2]string{
		"people of HR": {`[hr, "finance-*"]`, "[nobody]"}, "contractors": {"[contractors]", "[nobody]"},
	} {
		out, err := tryPolicy(t, strings.Replace(configuration, edit[0], edit[1], 1), string(cases[1]))
		if !errors.Is(err, errCasesFail) || exitStatus(newRoot(), err) != 1 || !strings.Contains(out, line) || !strings.HasSuffix(out, "2 cases, 1 failed\n") {
			t.Errorf("with %s: %v: %s", edit[1], err, out)
		}
	}
}

// A case that expects something else fails, and says what is otherwise; a file that can't be read runs no case.
func TestCasesOfAPolicyFail(t *testing.T) {
	configuration := configurationOfCases + "staticClients:\n- {id: app, name: App, secret: s3cret, redirectURIs: [https://app.example.com/cb], allowedScopes: [email]}\n"
	of := func(scopes, want string) string {
		return "cases:\n- {client: app, connector: google, user: {email: a@x.test}, scopes: [" + scopes + "], want: {" + want + "}}\n"
	}
	for cases, want := range map[string]string{
		of("openid, email", "allowed: false"):                             "allowed is true, want false",
		of("openid, groups", "allowed: true"):                             "allowed is false, want true",
		of("openid, email", "allowed: true, claims: {email: b@x.test}"):   `the claim email is "a@x.test", want "b@x.test"`,
		of("openid, email", "allowed: true, claims: {groups: [a]}"):       "the claim groups is absent",
		of("openid, email", "allowed: true, absent: [email]"):             "should be absent",
		of("openid, email", "allowed: true, scopes: [openid]"):            `the scopes are ["openid" "email"]`,
		of("openid, groups", "allowed: false, rule: user"):                `the rule that refuses is "scopes", want "user"`,
		of("openid, groups", "allowed: false, reason: group_missing"):     `the reason is "", want "group_missing"`,
		strings.Replace(of("", "allowed: true"), "google", "github", 1):   `no connector "github"`,
		strings.Replace(of("", "allowed: true"), ": app", ": another", 1): `no client "another"`,
	} {
		if out, err := tryPolicy(t, configuration, cases); !errors.Is(err, errCasesFail) || !strings.Contains(out, want) {
			t.Errorf("%s: %v: %s", cases, err, out)
		}
	}
	for cases, want := range map[string]string{
		"":                                     "is required",
		"cases: []":                            "must have from 1",
		of("", ""):                             "want.allowed: is required",
		of("", "allowed: true, claim: {a: 1}"): `did you mean "claims"`,
		strings.Replace(of("", "allowed: true"), "client: app", "grant: x", 1): "client: is required",
		of("", "allowed: true, claims: [a]"):                                   "want.claims",
	} {
		out, err := tryPolicy(t, configuration, cases)
		if err == nil || errors.Is(err, errCasesFail) || exitStatus(newRoot(), err) != exitFailure || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v: %s", cases, err, out)
		}
	}
}

// A case that fails says which setting refuses, and what has become of groups that tokens don't hold.
func TestCasesNameSettings(t *testing.T) {
	for more, test := range map[string][2]string{
		"allowedScopes: [email]":                         {"allowed: true", "asked: client app: allowedScopes: refused, The client may not ask for the scope groups.\n"},
		"authPolicy: [{expression: claims.level < 3.0}]": {"allowed: true", "known: client app: authPolicy[0]: refused, the expression is true\n"},
		"tokens: {maxGroups: 1}":                         {"allowed: false", "known: token size: changed, tokens refer to UserInfo for 2 groups"},
		"allowedGroups: [c]":                             {"allowed: true", `known: client app: allowedGroups: refused, the user is in none of them; their groups: ["a" "b"]` + "\n"},
	} {
		configuration := configurationOfCases + "staticClients:\n- {id: app, name: App, secret: s3cret, redirectURIs: [https://app.example.com/cb], " + more + "}\n"
		cases := "cases:\n- {client: app, connector: google, user: {email: a@x.test, groups: [a, b], claims: {level: 2}}, scopes: [openid, groups], want: {" + test[0] + "}}\n"
		if out, err := tryPolicy(t, configuration, cases); !errors.Is(err, errCasesFail) || !strings.Contains(out, test[1]) {
			t.Errorf("%s: %v: no %q in %s", more, err, test[1], out)
		}
	}
}

// Groups that are too many for a token are at UserInfo, and a token that is too large all the same isn't made: cases see both.
func TestCasesOfLargeTokens(t *testing.T) {
	const app = `staticClients:
- {id: app, name: App, secret: s3cret, redirectURIs: [https://app.example.com/cb], tokens: {TOKENS}, tokenPolicy: {claims: [{key: "'text'", value: "'TEXT'"}]}}
`
	const (
		named = `allowed: true, claims: {groups: [a, b, c]}, absent: [_claim_names, _claim_sources, jti, at_hash]`
		at    = `allowed: true, claims: {_claim_names: {groups: dex}, _claim_sources: {dex: {endpoint: "https://dex.example.com/dex/userinfo"}}}, absent: [groups, jti, at_hash]`
		large = `allowed: false, rule: token size, absent: [groups, text]`
	)
	long := strings.Repeat("x", 1500)
	for _, c := range []struct{ tokens, text, groups, want string }{
		{"maxGroups: 3", "", "a, b, c", named},
		{"maxGroups: 2", "", "a, b, c", at},
		{"maxSize: 2048", "", "a, b, c", named},
		{"maxSize: 2048", "", "a, b, c, " + long, at},
		{"maxSize: 2048", long, "a, b, c", large},
		{"maxSize: 8192", long, "a, b, c", named},
		{"maxSize: 2048, accessToken: opaque", long, "a, b, c", large},
	} {
		configuration := configurationOfCases + strings.NewReplacer("TOKENS", c.tokens, "TEXT", c.text).Replace(app)
		cases := "cases:\n- {client: app, connector: google, user: {name: jane, groups: [" + c.groups + "]}, want: {" + c.want + "}}\n"
		if out, err := tryPolicy(t, configuration, cases); err != nil || out != "1 cases, 0 failed\n" {
			t.Errorf("with %s, %d bytes of text, groups %.20s: %v: %s", c.tokens, len(c.text), c.groups, err, out)
		}
	}
}

// Rules about the address that a login goes back to see the client's, as they do at a login.
func TestCasesOfRulesAboutAddresses(t *testing.T) {
	configuration := configurationOfCases + `
staticClients:
- id: payroll
  name: Payroll
  secret: the-secret-of-payroll
  redirectURIs: [https://payroll.example.com/callback, https://old.example.com/callback]
  authPolicy: [{expression: "!request.redirect_uri.startsWith('https://payroll.example.com/')"}]
`
	for grant, allowed := range map[string]string{"authorization_code": "true", "implicit": "true", "refresh_token": "false"} {
		cases := "cases: [{client: payroll, connector: google, grant: " + grant + ", user: {name: jane}, want: {allowed: " + allowed + "}}]"
		if out, err := tryPolicy(t, configuration, cases); err != nil {
			t.Errorf("%s: %v: %s", grant, err, out)
		}
	}
}
