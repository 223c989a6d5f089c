package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"dex/internal/admin"
	"dex/internal/connector"
	"dex/internal/token"
)

const explainable = `staticClients:
- {id: app, name: App, public: true, redirectURIs: ["https://app.example.com/cb"]}
- {id: payroll, name: Payroll, public: true, redirectURIs: ["https://payroll.example.com/cb"], allowedGroups: [hr], tokenPolicy: {claims: [{key: "'level'", value: "3"}]}}
`

// serveExplainable serves two clients, and a user who has nothing but a refresh token.
func serveExplainable(t *testing.T) *apiServer {
	t.Helper()
	s := serveAPI(t, nil, admin.RoleAll)
	s.run(explainable, "apply -f -").want(0, "")
	s.LogIn(t, "login", token.Authorization{ClientID: "app", ConnectorID: "configured", Identity: connector.Identity{
		UserID: "u1", Username: "Jane Doe", PreferredUsername: "jane", Email: "jane@example.com", EmailVerified: true, Groups: []string{"g"}, GroupsTold: true,
	}})
	return s
}

func TestExplainFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := serveExplainable(t)
	allowed := s.run("", "policy explain --client app --user jane --connector configured").want(0, "*", "").stdout
	for _, want := range []string{
		"decision:       allowed\n", "user:           u1 at connector configured (known by: refresh token)\n", "client:         app\n",
		"scopes:         openid profile email groups\n", "audience:       app\n", "ID token:       ES256, 1h0m0s\n", "access token:   jwt, 1h0m0s\n",
		"\nSTAGE ", "known  ", "\nclaims of the ID token:\n", `"email": "jane@example.com"`, `"preferred_username": "jane"`,
	} {
		if !strings.Contains(allowed, want) {
			t.Errorf("no %q in\n%s", want, allowed)
		}
	}
	refused := s.run("", "policy explain --client payroll --user u1 --connector configured").want(0, "*").stdout
	for _, want := range []string{
		"decision:       refused\n", "rule:           user\n", "reason:         group_missing\n", "error:          access_denied\n",
		"client payroll: allowedGroups", `the user is in none of them; their groups: ["g"]`,
	} {
		if !strings.Contains(refused, want) {
			t.Errorf("no %q in\n%s", want, refused)
		}
	}
	if strings.Contains(refused, "claims of the ID token:") || strings.Contains(refused, "audience:") {
		t.Errorf("a refused login has tokens:\n%s", refused)
	}
	supposed := s.run("", "policy explain --client payroll --user u1 --connector configured --group hr --scope openid").want(0, "*").stdout
	if !strings.Contains(supposed, "decision:       allowed\n") || !strings.Contains(supposed, `"level": 3`) || strings.Contains(supposed, "jane@") {
		t.Errorf("with --group hr:\n%s", supposed)
	}
	unknown := s.run("", "policy explain --client app --user u2 --connector configured --email x@example.com").want(0, "*", "groups of the user are not known").stdout
	if !strings.Contains(unknown, "u2 at connector configured (not known: only as you describe them)") {
		t.Errorf("somebody unknown:\n%s", unknown)
	}
}

func TestExplainAsDocument(t *testing.T) {
	t.Parallel()
	s := serveExplainable(t)
	var found struct {
		Allowed bool
		Refusal struct{ Rule, Reason string }
		User    struct{ From string }
		Steps   []struct{ Rule, Outcome string }
	}
	text := s.run("", "policy explain --client payroll --user "+token.Subject("u1", "configured")+" -o json").want(0, "*", "").stdout
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if found.Allowed || found.Refusal.Rule != "user" || found.Refusal.Reason != "group_missing" || found.User.From != admin.FromRefreshToken || len(found.Steps) < 3 {
		t.Errorf("got %s", text)
	}
	if text := s.run("", "policy explain --client app --user u1 --connector configured -o yaml").want(0, "*").stdout; !strings.Contains(text, "\nallowed: true\n") && !strings.HasPrefix(text, "allowed: true\n") {
		t.Errorf("got %s", text)
	}
}

func TestUnexplainable(t *testing.T) {
	t.Parallel()
	s := serveExplainable(t)
	for line, want := range map[string]struct {
		status int
		says   string
	}{
		"--client none --user u1 --connector configured":    {exitNotFound, `client "none" does not exist`},
		"--client app --user nobody --connector configured": {exitNotFound, `nothing is known of a user "nobody"`},
		"--client app --user u1 --connector none":           {exitNotFound, `connector "none" does not exist`},
		"--client app --user u1 --connector none --group g": {exitNotFound, `connector "none" does not exist`},
		"--client app --user u1 --grant client_credentials": {exitRefused, "grant: must be one of "},
		"--client app": {exitUsage, "user"},
		"--client app --user u1 --connector configured other":        {exitUsage, "other"},
		"--client app --user u1 --connector configured --output xml": {exitUsage, "xml"},
	} {
		o := s.run("", "policy explain "+line).want(want.status, "")
		if !strings.Contains(o.stderr, want.says) {
			t.Errorf("%s: no %q in %s", line, want.says, o.stderr)
		}
	}
	stranger := serveAPI(t, nil, admin.RoleClients)
	stranger.run("", "policy explain --client configured --user u1").want(exitForbidden, "", "403 Forbidden")
	off := serveAPI(t, func(w http.ResponseWriter, r *http.Request) bool {
		http.NotFound(w, r)
		return true
	}, admin.RoleAll)
	if o := off.run("", "policy explain --client app --user u1"); o.status == 0 || !strings.Contains(o.stderr, "404 Not Found") || o.stdout != "" {
		t.Errorf("without the API: %d %s%s", o.status, o.stdout, o.stderr)
	}
}
