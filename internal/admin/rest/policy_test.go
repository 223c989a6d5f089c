package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"dex/internal/admin"
	"dex/internal/connector"
	"dex/internal/token"
)

// A login is explained as the methods explain it, to callers that may ask.
func TestExplainLogin(t *testing.T) {
	s := open(t, admin.RoleRead)
	s.LogIn(t, "login", token.Authorization{ClientID: "configured", ConnectorID: "configured", Identity: connector.Identity{
		UserID: "u1", Username: "Jane", Email: "jane@example.com", EmailVerified: true,
	}})
	got := s.call(http.MethodPost, "/api/v2/policy/explain", `{"client": "configured", "user": "u1", "connector": "configured", "groups": ["g"]}`)
	for _, want := range []string{
		`"allowed":true`, `"from":"refresh token"`, `"groups":["g"]`, `"groupsKnown":true`, `"audience":["configured"]`, `"accessToken":"jwt"`, `"idTokenLifetime":"1h0m0s"`,
	} {
		if got.status != http.StatusOK || !strings.Contains(got.body, want) {
			t.Errorf("no %s in %d %s", want, got.status, got.body)
		}
	}
	if got := s.call(http.MethodPost, "/api/v2/policy/explain", `{"client": "configured", "user": "u1", "conector": "configured"}`); got.status != http.StatusUnprocessableEntity {
		t.Errorf("a misspelt member: %d %s", got.status, got.body)
	}
	other := open(t, admin.RoleClients)
	if got := other.call(http.MethodPost, "/api/v2/policy/explain", `{"client": "configured", "user": "u1"}`); got.status != http.StatusForbidden {
		t.Errorf("a caller that may not ask: %d %s", got.status, got.body)
	}
}
