package app_test

import (
	"net/http"
	"strings"
	"testing"
)

// The API says what would become of a login, by the rules that logins are held to, and makes no token.
func TestExplainedLogins(t *testing.T) {
	t.Parallel()
	a := startAdministered(t, `
authPolicy: [{expression: "request.client_id == 'till' && !('ops' in identity.groups)", message: "'Not today.'"}]
tokenPolicy: {claims: [{key: "'department'", value: "'hr'"}]}
`)
	for name, test := range map[string]struct {
		question string
		want     []string
	}{
		"allowed": {
			`{"client": "shop", "user": "admin@example.com"}`,
			[]string{`"allowed":true`, `"from":"password database"`, `"groups":["team-a"]`, `"department":"hr"`, `"audience":["shop"]`, `"accessToken":"jwt"`, `"algorithm":"RS256"`},
		},
		"by the operator": {
			`{"client": "till", "user": "admin"}`,
			[]string{`"allowed":false`, `"rule":"expressions"`, `"reason":"expression"`, `"told":"Not today."`, `"setting":"all clients: authPolicy[0]"`},
		},
		"with other groups":       {`{"client": "till", "user": "admin", "groups": ["ops"]}`, []string{`"allowed":true`, `"groups":["ops"]`}},
		"by the connector":        {`{"client": "strict", "user": "x", "connector": "mock", "groups": []}`, []string{`"allowed":false`, `"rule":"connector"`, `"stage":"before the source"`, `"setting":"client strict: allowedConnectors"`}},
		"somebody unknown":        {`{"client": "shop", "user": "x", "connector": "mock", "email": "x@example.com"}`, []string{`"allowed":true`, `"from":"question"`, `"email":"x@example.com"`}},
		"no facts":                {`{"client": "shop", "user": "x", "connector": "mock"}`, []string{`"status":404`}},
		"no such client":          {`{"client": "none", "user": "admin"}`, []string{`"status":404`}},
		"a grant without a user":  {`{"client": "shop", "user": "admin", "grant": "client_credentials"}`, []string{`"status":422`}},
		"a misspelt member":       {`{"client": "shop", "usr": "admin"}`, []string{`"status":422`}},
		"a refresh":               {`{"client": "shop", "user": "admin", "grant": "refresh_token", "scopes": ["openid"]}`, []string{`"allowed":true`, `"scopes":["openid"]`}},
		"a scope without meaning": {`{"client": "shop", "user": "admin", "scopes": ["profile"]}`, []string{`"allowed":false`, `"rule":"scopes"`, `"stage":"asked"`}},
	} {
		got := a.explain(test.question)
		for _, want := range test.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %s in %s", name, want, got)
			}
		}
		if strings.Contains(got, `"jti"`) || strings.Contains(got, "eyJ") {
			t.Errorf("%s: a token is in %s", name, got)
		}
	}
	a.signIn("shop")
	if got := a.explain(`{"client": "shop", "user": "08a8684b-db88-4b73-90a9-3cd1661f5466", "connector": "local"}`); !strings.Contains(got, `"allowed":true`) {
		t.Errorf("after a login: %s", got)
	}
	askREST(t, http.MethodPut, a.rest, "/identities/local/08a8684b-db88-4b73-90a9-3cd1661f5466/block", `{}`).wantStatus(http.StatusOK)
	if got := a.explain(`{"client": "shop", "user": "admin"}`); !strings.Contains(got, `"allowed":false`) || !strings.Contains(got, `"rule":"blocked user"`) {
		t.Errorf("blocked: %s", got)
	}
}

// explain asks the management API, and returns its answer.
func (a *administered) explain(question string) string {
	a.t.Helper()
	return askREST(a.t.(*testing.T), http.MethodPost, a.rest, "/policy/explain", question).body
}
