package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dex/internal/admin"
	"dex/internal/admin/rest"
)

// An operation is one of the document.
type operation struct {
	method, path string
	roles        []admin.Role
	body         bool
}

// variables are those of paths.
var variables = regexp.MustCompile(`\{\w+\}`)

func operations(t testing.TB) []operation {
	t.Helper()
	var d struct {
		Paths map[string]map[string]struct {
			Roles []admin.Role `json:"x-dex-roles"`
			Body  any          `json:"requestBody"`
		}
	}
	if err := json.Unmarshal(rest.Document(), &d); err != nil {
		t.Fatal(err)
	}
	var all []operation
	for path, methods := range d.Paths {
		for method, o := range methods {
			all = append(all, operation{strings.ToUpper(method), rest.Base + variables.ReplaceAllString(path, "none"), o.Roles, o.Body != nil})
		}
	}
	if len(all) < 30 {
		t.Fatalf("only %d operations", len(all))
	}
	return all
}

// Each role may call what the table of methods says, and nothing else.
func TestEveryRouteByEveryRole(t *testing.T) {
	t.Parallel()
	s := open(t, admin.RoleAll)
	for _, o := range operations(t) {
		body := ""
		if o.body {
			body = "{}"
		}
		for _, role := range admin.Roles {
			s.bearer = s.tokenFor(role)
			got := s.call(o.method, o.path, body)
			allowed := o.roles == nil || slices.Contains(o.roles, role)
			if (got.status == http.StatusForbidden) == allowed || got.status == http.StatusUnauthorized || got.status == http.StatusInternalServerError {
				t.Errorf("%s %s as %s: %d %s", o.method, o.path, role, got.status, got.body)
			}
		}
		s.bearer = ""
		s.call(o.method, o.path, body).problem(401, "unauthenticated", "bearer token")
		s.bearer = "dexadmin_no_such"
		s.call(o.method, o.path, body).problem(401, "unauthenticated", "not valid")
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	s := open(t, admin.RoleAll)
	for _, c := range []struct {
		method, path, body, header string
		status                     int
		problem, part              string
	}{
		{"GET", "/", "", "", 404, "notFound", "/api/v2"},
		{"GET", "/api/v2/nothing", "", "", 404, "notFound", "openapi.json"},
		{"PATCH", "/api/v2/clients/a", "", "", 405, "methodNotAllowed", "PATCH"},
		{"OPTIONS", "/api/v2/clients", "", "", 405, "methodNotAllowed", "OPTIONS"},
		{"PUT", "/api/v2/clients/a?dryrun=true", `{"name":"A"}`, "", 400, "malformed", "did you mean dryRun"},
		{"PUT", "/api/v2/clients/a?dryRun=yes", `{"name":"A"}`, "", 400, "malformed", "true or false"},
		{"GET", "/api/v2/clients?pageSize=0", "", "", 400, "malformed", "1 to 1000"},
		{"GET", "/api/v2/clients?pageSize=1&pageSize=2", "", "", 400, "malformed", "more than once"},
		{"GET", "/api/v2/clients?pageToken=*", "", "", 400, "malformed", "nextPageToken"},
		{"GET", "/api/v2/clients?pageToken=eA", "", "", 422, "invalid", "page does not exist"},
		{"GET", "/api/v2/logins", "", "", 400, "malformed", "userID and connectorID"},
		{"GET", "/api/v2/logins?user=x", "", "", 400, "malformed", "sub"},
		{"GET", "/api/v2/sessions?user=x", "", "", 400, "malformed", "sub"},
		{"GET", "/api/v2/sessions?user=CgExEgVsb2NhbA&userID=1", "", "", 400, "malformed", "leave out"},
		{"GET", "/api/v2/sessions?clientID=a", "", "", 400, "malformed", "did you mean client"},
		{"GET", "/api/v2/sessions?pageToken=*", "", "", 400, "malformed", "nextPageToken"},
		{"GET", "/api/v2/identities?pageSize=1001", "", "", 400, "malformed", "1 to 1000"},
		{"DELETE", "/api/v2/sessions", "", "", 400, "malformed", "whose sessions"},
		{"DELETE", "/api/v2/sessions?client=a&logins=true", "", "", 400, "malformed", "needs user"},
		{"DELETE", "/api/v2/sessions?userID=a&logins=yes", "", "", 400, "malformed", "true or false"},
		{"DELETE", "/api/v2/sessions/none", "", "", 404, "notFound", "does not exist"},
		{"DELETE", "/api/v2/identities/local/none", "", "", 404, "notFound", "does not exist"},
		{"POST", "/api/v2/clients", "a=b", "Content-Type: application/x-www-form-urlencoded", 415, "notJSON", "application/json"},
		{"POST", "/api/v2/clients", "{}", "Content-Type: text/plain", 415, "notJSON", ""},
		{"POST", "/api/v2/clients", "{}", "Content-Encoding: gzip", 415, "notJSON", "compressed"},
		{"POST", "/api/v2/clients", "{}", "Origin: https://evil.test", 403, "forbidden", "browsers"},
		{"POST", "/api/v2/clients", "{}", "Sec-Fetch-Site: same-origin", 403, "forbidden", "browsers"},
		{"POST", "/api/v2/clients", "[]", "", 400, "malformed", "not a JSON object"},
		{"POST", "/api/v2/clients", `{"name":"A"} x`, "", 400, "malformed", "more follows"},
		{"POST", "/api/v2/clients", "\xff", "", 400, "malformed", "UTF-8"},
		{"POST", "/api/v2/clients", `{"name":"A","redirectURI":["https://a.test"]}`, "", 422, "invalid", "did you mean"},
		{"POST", "/api/v2/clients", `{"name":7,"public":"maybe"}`, "", 422, "invalid", `"member":"public"`},
		{"POST", "/api/v2/clients", `{"redirectURIs":["javascript:x"]}`, "", 422, "invalid", `"member":"redirectURIs[0]"`},
		{"POST", "/api/v2/clients", `{"secretFile":"/etc/passwd"}`, "", 422, "invalid", "configuration file only"},
		{"POST", "/api/v2/clients", `{"name":"` + strings.Repeat("a", 2<<20) + `"}`, "", 413, "tooLarge", "1048576"},
		{"POST", "/api/v2/clients/a/secret", `{}`, "", 400, "malformed", "no body"},
		{"POST", "/api/v2/keys/rotate", `{"mode":"soon"}`, "", 422, "invalid", `"member":"mode"`},
		{"POST", "/api/v2/tokens", `{"name":"a","roles":["king"],"expires":"1h"}`, "", 422, "invalid", "king"},
		{"POST", "/api/v2/tokens", `{"name":"a","roles":["read"]}`, "", 422, "invalid", "expires"},
	} {
		headers := []string{}
		if c.header != "" {
			headers = append(headers, c.header)
		}
		a := s.call(c.method, c.path, c.body, headers...).problem(c.status, c.problem, c.part)
		if c.status == 405 && a.header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.path)
		}
		if a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s: scripts may read the answer", c.method, c.path)
		}
	}
	if got := s.Changes(); len(got) != 1 {
		t.Errorf("something was written: %q", got)
	}
}

// Where nothing guards the API, a page whose name was made to lead to this machine can't read it.
func TestAnonymous(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.call("GET", "/api/v2/version", "").want(200).has(`{"server":"v1"}`)
	s.call("GET", "/api/v2/version", "", "Host: evil.test").problem(401, "unauthenticated", "")
}

// A proxy on this machine that strangers reach often asks by the name of this machine too, and most say for whom they ask.
func TestAnonymousThroughAProxy(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, header := range []string{
		"Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: dex.example.com", "X-Forwarded-Proto: https",
		"X-Real-Ip: 192.0.2.1", "Via: 1.1 proxy",
	} {
		s.call("GET", "/api/v2/version", "", header).problem(401, "unauthenticated", "")
	}
}

// An empty tag, as of a script whose variable is not set, is no revision: it doesn't stand for any.
func TestEmptyIfMatch(t *testing.T) {
	t.Parallel()
	s := open(t, admin.RoleAll)
	const body = `{"name":"A","redirectURIs":["https://a.test/cb"]}`
	s.call("PUT", "/api/v2/clients/a", body).want(201)
	for _, header := range []string{`If-Match: ""`, "If-Match: ", `If-Match: W/""`, `If-Match: "", ""`} {
		s.call("PUT", "/api/v2/clients/a", `{"name":"B","redirectURIs":["https://a.test/cb"]}`, header).problem(412, "changed", "")
		s.call("DELETE", "/api/v2/clients/a", "", header).problem(412, "changed", "")
		s.call("POST", "/api/v2/clients/a/secret", "", header).problem(412, "changed", "")
		s.call("DELETE", "/api/v2/clients/a/previousSecret", "", header).problem(412, "changed", "")
	}
	s.call("GET", "/api/v2/clients/a", "").want(200).has(`"name":"A"`)
}

// A trial makes no secret: somebody could give an application one that was never stored.
func TestTrialsMakeNoSecrets(t *testing.T) {
	t.Parallel()
	s := open(t, admin.RoleAll)
	const body = `{"id":"a","name":"A","redirectURIs":["https://a.test/cb"]}`
	s.call("POST", "/api/v2/clients?dryRun=true", body).want(201).hasNot(`"secret"`)
	s.call("PUT", "/api/v2/clients/a?dryRun=true", body).want(201).hasNot(`"secret"`)
	s.call("POST", "/api/v2/clients", body).want(201).has(`"secret"`)
	s.call("POST", "/api/v2/clients/a/secret?dryRun=true", "").want(200).has(`{"secret":""}`)
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s := open(t, admin.RoleAll)
	s.call("POST", "/api/v2/tokens?dryRun=true", `{"name":"b","roles":["read"],"expires":"1h"}`).want(201).hasNot("dexadmin_")
	made := s.call("POST", "/api/v2/tokens", `{"name":"b","roles":["read"],"expires":"1h"}`).want(201).json()
	root := s.bearer
	s.bearer = fmt.Sprint(made["token"])
	s.call("GET", "/api/v2/clients", "").want(200)
	s.bearer = root
	s.call("GET", "/api/v2/tokens", "").want(200).has(`"name":"b"`).hasNot("dexadmin_")
	s.call("DELETE", fmt.Sprint("/api/v2/tokens/", made["id"]), "").want(204)
	s.bearer = fmt.Sprint(made["token"])
	s.call("GET", "/api/v2/clients", "").want(401)
}

// Whatever the body, the answer is one of the API's, and nothing panics.
func FuzzBodies(f *testing.F) {
	s := open(f, admin.RoleAll)
	var routes []operation
	for _, o := range operations(f) {
		if o.body {
			routes = append(routes, o)
		}
	}
	for i, seed := range []string{
		`{"name":"A","redirectURIs":["https://a.test"]}`, `{"type":"oidc","name":"C","config":{"issuer":1}}`, `{"email":"a@b.test","password":"p"}`,
		`{"mode":"now"}`, `{"names":{"de":"x"},"clientCredentialsClaims":{"groups":[null]}}`, `{"a":{"b":[[[{}]]]}}`, `null`, `{"id":1e400}`,
	} {
		f.Add(uint(i), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, which uint, body []byte) {
		o := routes[which%uint(len(routes))]
		if len(body) == 0 {
			return
		}
		s.t = t
		a := s.call(o.method, o.path, string(body))
		if a.status >= 500 || !json.Valid([]byte(a.body)) && a.body != "" {
			t.Errorf("%s %s: %d %s", o.method, o.path, a.status, a.body)
		}
	})
}
