package github_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/github"
	"dex/internal/oauth"
)

// GitHub answers the errors of its token endpoint with status 200, in words of its own.
func TestTokenErrors(t *testing.T) {
	for body, want := range map[string]connector.Outcome{
		`{"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired."}`: connector.TokenRefused,
		`{"error": "incorrect_client_credentials"}`:                                                           connector.Broken,
		`{"error": "redirect_uri_mismatch"}`:                                                                  connector.Broken,
		`{"error": "unverified_user_email"}`:                                                                  connector.AccountUnusable,
		`{}`:                                                                                                  connector.Broken,
	} {
		g, c := start(t, nil)
		g.Answer("/login/oauth/access_token", connectortest.Always(200, body, "Content-Type", "application/json"))
		if _, err := g.SignIn(t, c, groups); connector.OutcomeOf(err) != want {
			t.Errorf("%s: %v", body, err)
		}
		form := strings.NewReplacer(`{"error": "`, "error=", `"}`, "", `", "error_description": "`, "&error_description=", "{}", "").Replace(body)
		g.Answer("/login/oauth/access_token", connectortest.Always(200, form, "Content-Type", "application/x-www-form-urlencoded"))
		if _, err := g.SignIn(t, c, groups); connector.OutcomeOf(err) != want {
			t.Errorf("%s: %v", form, err)
		}
		if n := len(g.Calls()); n != 4 {
			t.Errorf("%s: a code is sent twice: %d calls", body, n)
		}
	}
	g, c := start(t, nil)
	g.AsForm = true
	if _, err := g.SignIn(t, c, groups); err != nil {
		t.Errorf("tokens in a form: %v", err)
	}
}

// What upstream kept of logins is read: of OAuth apps, of GitHub Apps, and by its first versions.
func TestOldData(t *testing.T) {
	for name, form := range map[string]string{
		"first versions": `{"accessToken": %q}`,
		"OAuth app":      `{"accessToken": %q, "expiry": "0001-01-01T00:00:00Z"}`,
		"GitHub App":     `{"accessToken": %q, "refreshToken": "ghr_1", "expiry": "` + time.Now().Add(time.Hour).Format(time.RFC3339) + `"}`,
	} {
		g, c := start(t, nil)
		data := fmt.Appendf(nil, form, g.Token("", "ada", "user:email", "read:org"))
		id, err := c.Refresh(t.Context(), groups, connector.Identity{UserID: "101", Data: data})
		if err != nil || id.PreferredUsername != "ada" || len(id.Groups) != 3 {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
}

func TestRateLimits(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"primary":           connectortest.Always(403, `{"message": "API rate limit exceeded for user ID 101."}`, "X-RateLimit-Remaining", "0"),
		"secondary":         connectortest.Always(403, `{"message": "You have exceeded a secondary rate limit."}`),
		"secondary, by 429": connectortest.Always(429, `{"message": "You have exceeded a secondary rate limit."}`, "Retry-After", "60"),
	} {
		for _, path := range []string{"/user", "/user/emails", "/user/teams", "/user/memberships/orgs/acme"} {
			g, c := start(t, orgs("acme", "acme:dev"))
			g.Answer(path, answer)
			_, err := g.SignIn(t, c, groups)
			if connector.OutcomeOf(err) != connector.Unavailable || !strings.Contains(err.Error(), "rate limit") {
				t.Errorf("%s, %s: %v", name, path, err)
			}
		}
	}
}

// The check of a token tells an application's mistakes from the operator's.
func TestExchange(t *testing.T) {
	token := func(c connectortest.Connector, token string) (connector.Identity, error) {
		return c.(connector.TokenIdentity).TokenIdentity(t.Context(), groups, connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: token})
	}
	g, c := start(t, orgs("acme:dev"))
	ours := g.Token("", "ada", "user:email", "read:org")
	g.Calls()
	id, err := token(c, ours)
	if err != nil || id.UserID != "101" || !slices.Equal(id.Groups, []string{"acme:dev"}) {
		t.Errorf("%+v, %v", id, err)
	}
	want := []string{"GET /user", "GET /user/emails?per_page=100", "GET /user/teams?per_page=100", "POST /applications/dex/token"}
	if got := calls(g); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	g.Users["ada"] = connectortest.GitHubUser{ID: 101, Email: "a@b.example", Orgs: []string{"acme"}}
	if _, err := token(c, ours); connector.OutcomeOf(err) != connector.Refused {
		t.Errorf("a member of no team: %v", err)
	}
	if _, err := token(c, g.Token("another", "ada", "user:email", "read:org")); connector.OutcomeOf(err) != connector.TokenRefused {
		t.Errorf("another application's: %v", err)
	}
	for status, want := range map[int]connector.Outcome{422: connector.TokenRefused, 401: connector.Broken, 403: connector.Broken, 502: connector.Unavailable} {
		g.Answer("/applications/dex/token", connectortest.Always(status, `{"message": "no"}`))
		if _, err := token(c, ours); connector.OutcomeOf(err) != want {
			t.Errorf("%d: %v", status, err)
		}
	}
	for _, body := range []string{`null`, `{"message": "no"}`, `{"app": {"client_id": "another"}}`} {
		g.Answer("/applications/dex/token", connectortest.Always(200, body))
		if _, err := token(c, ours); connector.OutcomeOf(err) != connector.TokenRefused {
			t.Errorf("%s: %v", body, err)
		}
	}
	g.Answer("/applications/dex/token", nil)
	g.ClientSecret = "another"
	if _, err := token(c, ours); connector.OutcomeOf(err) != connector.Broken {
		t.Errorf("with a wrong secret: %v", err)
	}
	own := connectortest.NewGitHub(t, true)
	server := connectortest.Open(t, &github.Config{}, enterprise(own, nil), nil)
	if id, err := token(server, own.Token("", "ada", "user:email", "read:org")); err != nil || id.UserID != "101" {
		t.Errorf("%+v, %v", id, err)
	}
}

// A token that was made for less, such as one of a login before there was a filter, is good for nothing, and a new login helps.
func TestScopesOfToken(t *testing.T) {
	inOrg, withDomain := orgs("acme"), object{"preferredEmailDomain": "corp.example", "loadAllGroups": false}
	for name, c := range map[string]struct {
		settings object
		scopes   []string
		want     connector.Outcome
	}{
		"enough":                  {inOrg, []string{"read:org", "user:email"}, connector.Succeeded},
		"more than enough":        {inOrg, []string{"admin:org", "user"}, connector.Succeeded},
		"no organizations":        {inOrg, []string{"user:email"}, connector.TokenRefused},
		"no addresses":            {inOrg, []string{"read:org"}, connector.Succeeded}, // there is a public one
		"no addresses for domain": {withDomain, []string{"read:org"}, connector.TokenRefused},
		"organizations unneeded":  {withDomain, []string{"user:email"}, connector.Succeeded},
	} {
		g, conn := start(t, c.settings)
		g.Users["ada"] = connectortest.GitHubUser{ID: 101, Email: "a@b.example", Orgs: []string{"acme"}}
		g.NoScopes = c.want == connector.Succeeded // the fake knows no wider ones
		token := g.Token("", "ada", c.scopes...)
		g.Fail["/user"] = connectortest.Always(200, `{"id": 101, "login": "ada", "email": "a@b.example"}`, "X-OAuth-Scopes", strings.Join(c.scopes, ", "))
		id, err := conn.Refresh(t.Context(), groups, connector.Identity{UserID: "101", Data: fmt.Appendf(nil, `{"accessToken": %q}`, token)})
		if connector.OutcomeOf(err) != c.want || err != nil && id.UserID != "" {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
}

func TestSuspended(t *testing.T) {
	g, c := start(t, nil)
	g.Answer("/user", connectortest.Always(403, `{"message": "Sorry. Your account was suspended."}`))
	if _, err := g.SignIn(t, c, groups); connector.OutcomeOf(err) != connector.Refused {
		t.Error(err)
	}
}
