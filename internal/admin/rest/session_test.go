package rest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dex/internal/admin"
	"dex/internal/connector"
	"dex/internal/token"
)

func TestSessions(t *testing.T) {
	t.Parallel()
	s := open(t, admin.RoleUsers)
	s.SignIn(t, "s1", "u1", "local", "shop", "till")
	s.SignIn(t, "s2", "u1", "corp", "till")
	s.SignIn(t, "s3", "u/2", "local", "shop")
	for _, path := range []string{"/sessions", "/sessions/s1", "/sessions?userID=u1"} {
		s.call("GET", "/api/v2"+path, "").want(200).
			has(`"id":"s1"`).has(`"userID":"u1"`).has(`"email":"u1@example.com"`).has(`"address":"192.0.2.1"`).has(`"methods":["pwd"]`).
			has(`{"id":"till","first":`).has(`"viaSSO":true`).hasNot("hash-of-secret").hasNot("source-").hasNot("aGFzaC1vZi1zZWNyZXQ")
	}
	for query, want := range map[string]string{
		"": "s1 s2 s3", "?user=" + token.Subject("u1", "corp"): "s2", "?userID=u1": "s1 s2", "?connectorID=local": "s1 s3",
		"?client=shop": "s1 s3", "?userID=u1&connectorID=local&client=till": "s1", "?client=none": "", "?userID=u1&connectorID=none": "",
	} {
		if got := s.ids("/api/v2/sessions" + query); got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
	separator, found := "?", ""
	for next := ""; ; separator = "?pageToken=" + next + "&" {
		page := s.call("GET", "/api/v2/sessions"+separator+"pageSize=1&client=shop", "").want(200)
		found += page.body
		if next = fmt.Sprint(page.json()["nextPageToken"]); next == "" {
			break
		}
	}
	if strings.Count(found, `"user":`) != 2 {
		t.Errorf("pages %s", found)
	}

	s.call("DELETE", "/api/v2/sessions/s3?dryRun=true", "").want(204)
	s.call("DELETE", "/api/v2/sessions?userID=u1&logins=true&dryRun=true", "").want(200).has(`{"ended":2,"logins":0}`)
	if got := s.ids("/api/v2/sessions"); got != "s1 s2 s3" || len(s.Changes()) > 1 { // one is the token's
		t.Errorf("a trial leaves %s, %q", got, s.Changes())
	}
	s.call("DELETE", "/api/v2/sessions/s2", "").want(204)
	s.call("DELETE", "/api/v2/sessions/s2", "").problem(404, "notFound", "does not exist")
	s.call("GET", "/api/v2/sessions/s2", "").problem(404, "notFound", "does not exist")
	s.LogIn(t, "cli", token.Authorization{ClientID: "cli", ConnectorID: "corp", Identity: userOf("u1")})
	s.call("DELETE", "/api/v2/sessions?userID=u1&logins=true", "").want(200).has(`{"ended":1,"logins":1}`)
	if got := s.Left(t); got != "[s3] [] 1" {
		t.Errorf("left %s", got)
	}
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	s := open(t, admin.RoleUsers)
	s.SignIn(t, "s1", "u1", "local", "shop", "till")
	s.SignIn(t, "s3", "u/2", "corp", "shop")
	const u2 = "/api/v2/identities/corp/u%2F2"
	s.call("GET", "/api/v2/identities", "").want(200).has(`"userID":"u1"`).has(`"userID":"u/2"`).hasNot("source-").
		has(`{"client":"till","scopes":["email","openid"],"given":"`)
	s.call("GET", u2, "").want(200).has(`"emailVerified":true`).has(`"groups":["g"]`).has(`"lastLogin":"`).hasNot("blockedUntil")
	s.call("GET", "/api/v2/identities/corp/none", "").problem(404, "notFound", "none")
	s.call("GET", "/api/v2/identities?pageSize=1", "").want(200).hasNot(`"nextPageToken":""`)
	s.call("DELETE", u2+"/consents/shop?dryRun=true", "").want(204)
	s.call("DELETE", u2+"/consents/shop", "").want(204)
	s.call("DELETE", u2+"/consents/shop", "").problem(404, "notFound", "shop")
	s.call("GET", u2, "").want(200).has(`"consents":[]`)
	s.call("DELETE", u2+"?dryRun=true", "").want(204)
	s.call("DELETE", u2, "").want(204)
	s.call("DELETE", u2, "").problem(404, "notFound", "")
	if got := s.Left(t); got != "[s1] [s1-shop s1-till] 1" {
		t.Errorf("left %s", got)
	}
	s.SignIn(t, "sc", "c", "local")
	s.SignIn(t, "sc2", "c", "local", "shop")
	s.call("DELETE", "/api/v2/identities/local/c", "").problem(409, "readOnly", "configuration file")
}

// Whoever may only read sees sessions, and ends none. Other roles don't even see them, as they say where people are.
func TestRolesForSessions(t *testing.T) {
	t.Parallel()
	s := open(t, admin.RoleRead)
	s.SignIn(t, "s1", "u1", "local", "shop")
	s.call("GET", "/api/v2/sessions/s1", "").want(200)
	calls := map[string]string{
		"/api/v2/sessions/s1": "DELETE", "/api/v2/sessions?client=shop": "DELETE", "/api/v2/identities/local/u1": "DELETE",
		"/api/v2/identities/local/u1/consents/shop": "DELETE", "/api/v2/identities/local/u1/factors": "DELETE",
		"/api/v2/identities/local/u1/factors/totp:app": "DELETE", "/api/v2/identities/local/u1/block": "DELETE",
	}
	for path, method := range calls {
		s.call(method, path, "").problem(403, "forbidden", "users")
	}
	s.bearer = s.tokenFor(admin.RoleClients, admin.RoleConnectors)
	calls["/api/v2/sessions"], calls["/api/v2/identities"] = "GET", "GET"
	for path, method := range calls {
		s.call(method, path, "").problem(403, "forbidden", "users").hasNot("u1@")
	}
	if got := s.Left(t); got != "[s1] [s1-shop] 0" {
		t.Errorf("left %s", got)
	}
}

func userOf(id string) connector.Identity { return connector.Identity{UserID: id} }

// ids returns the ids of a list, in order.
func (s *server) ids(path string) string {
	s.t.Helper()
	var found []string
	items, _ := s.call("GET", path, "").want(200).json()["items"].([]any)
	for _, item := range items {
		found = append(found, fmt.Sprint(item.(map[string]any)["id"]))
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}
