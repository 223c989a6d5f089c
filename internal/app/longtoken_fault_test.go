package app_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dex/internal/faulttest"
)

// UserInfo, introspection and revocation refused the tokens of users with more than some 1300 groups.
var _ = faulttest.Add("O10", func(t *testing.T) {
	groups := make([]string, 2500)
	for i := range groups {
		groups[i] = fmt.Sprintf("'CN=Group %05d,OU=Groups,OU=Department of Something,DC=corp,DC=x'", i)
	}
	s := start(t, "- {id: robot, secret: robot-secret, name: Robot, clientCredentialsClaims: {groups: ["+strings.Join(groups, ", ")+"]}}\n"+
		"oauth2: {grantTypes: [client_credentials]}\n")
	robot := func(r *http.Request) { r.SetBasicAuth("robot", "robot-secret") }
	token := s.token(robotForm("scope", "openid groups"), robot).wantStatus(http.StatusOK).text("access_token")
	if len(token) < 200<<10 || len(token) > 250<<10 {
		t.Fatalf("the token has %d bytes", len(token))
	}
	with := func(path string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://dex.test/dex"+path, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		return w.Code
	}
	if got := with("/userinfo"); got != http.StatusOK {
		t.Errorf("UserInfo by GET: %d", got)
	}
	if got := s.postForm("/dex/userinfo", form("access_token", token)).status; got != http.StatusOK {
		t.Errorf("UserInfo by POST: %d", got)
	}
	if got := s.introspect(token, robot); got.status != http.StatusOK || got.json()["active"] != true {
		t.Errorf("introspection: %d, active is %v", got.status, got.json()["active"])
	}
	if got := s.revoke(token, robot).status; got != http.StatusOK {
		t.Errorf("revocation: %d", got)
	}
	// Elsewhere nothing of that size is taken.
	for _, path := range []string{"/keys", "/auth", "/token"} {
		if got := with(path); got != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: %d", path, got)
		}
	}
})
