package rest_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dex/internal/admin"
	"dex/internal/admin/admintest"
	"dex/internal/admin/rest"
)

// A server is the API over HTTP, over a storage of its own.
type server struct {
	*admintest.Fixture
	t      testing.TB
	url    string
	bearer string
}

// open serves the API. Admin tokens are accepted if there are roles; then calls have a token with these.
func open(t testing.TB, roles ...admin.Role) *server {
	t.Helper()
	f := admintest.New(t, nil)
	s := &server{Fixture: f, t: t}
	access := admin.AccessConfig{}
	if len(roles) > 0 {
		access.Tokens = f.Tokens
		s.bearer = s.tokenFor(roles...)
	}
	door := rest.New(rest.Options{Log: slog.New(slog.DiscardHandler), Events: f, Enter: func() (rest.Room, func()) {
		return rest.Room{Service: f.Service, Access: admin.NewAccess(access)}, func() {}
	}})
	h := httptest.NewServer(door)
	t.Cleanup(h.Close)
	s.url = h.URL
	return s
}

func (s *server) tokenFor(roles ...admin.Role) string {
	s.t.Helper()
	text, _, err := s.Tokens.Create(admintest.As(s.t, admin.RoleAll), "ci", roles, time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// An answer is what the API said.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

// call sends a request; headers are "Name: value".
func (s *server) call(method, path, body string, headers ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if s.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+s.bearer)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
		if name == "Host" {
			r.Host = value
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{s.t, resp.StatusCode, resp.Header, string(text)}
}

func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %v %s", a.status, status, a.header, a.body)
	}
	return a
}

// problem checks that the answer is a problem of a name, and that its text has a part.
func (a answer) problem(status int, name, part string) answer {
	a.t.Helper()
	a.want(status)
	p := a.json()
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		a.t.Errorf("content type %q", got)
	}
	if p["type"] != "urn:dex:problem:"+name || p["status"] != float64(status) || p["title"] != http.StatusText(status) ||
		p["requestID"] != a.header.Get("X-Request-Id") || !strings.Contains(a.body, part) {
		a.t.Errorf("problem %s, want %s with %q", a.body, name, part)
	}
	return a
}

func (a answer) json() map[string]any {
	a.t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		a.t.Fatalf("%v: %s", err, a.body)
	}
	return v
}

// has checks members of the answer, as in `name="x"`.
func (a answer) has(part string) answer {
	a.t.Helper()
	if !strings.Contains(a.body, part) {
		a.t.Errorf("answer %s, want %s", a.body, part)
	}
	return a
}

func (a answer) hasNot(part string) answer {
	a.t.Helper()
	if strings.Contains(a.body, part) {
		a.t.Errorf("answer %s has %s", a.body, part)
	}
	return a
}

func TestClients(t *testing.T) {
	t.Parallel()
	s := open(t, admin.RoleClients)
	const app = `{"id":"a/b","name":"App","redirectURIs":["https://a.test/cb"]}`
	made := s.call("POST", "/api/v2/clients", app).want(201).has(`"secret":"`).has(`"origin":"storage"`)
	if got := made.header.Get("Location"); got != "/api/v2/clients/a%2Fb" {
		t.Errorf("Location %q", got)
	}
	tag := made.header.Get("ETag")
	const path = "/api/v2/clients/a%2Fb"
	s.call("POST", "/api/v2/clients", app).problem(409, "exists", "exists already")
	read := s.call("GET", path, "").want(200).hasNot("secret").has(`"redirectURIs":["https://a.test/cb"]`)
	if read.header.Get("ETag") != tag {
		t.Errorf("ETag %q, want %q", read.header.Get("ETag"), tag)
	}
	s.call("GET", path, "", "If-None-Match: "+tag).want(304)
	s.call("HEAD", path, "").want(200)
	// What was read can be written, which changes nothing.
	if same := s.call("PUT", path, read.body).want(200); same.header.Get("ETag") != tag {
		t.Errorf("ETag %q, want %q", same.header.Get("ETag"), tag)
	}
	s.call("PUT", path, `{"name":"Other"}`, "If-Match: \"old\"").problem(412, "changed", "changed by somebody else")
	s.call("PUT", path, `{"name":"Other"}`, "If-None-Match: *").problem(412, "exists", "exists")
	s.call("PUT", path, `{"name":"Dry"}`, "If-Match: "+tag).want(200)
	s.call("PUT", path, `{"name":"Dry","id":"x"}`).problem(422, "invalid", `"member":"id"`)
	s.call("PUT", "/api/v2/clients/none", `{"name":"N"}`, "If-Match: *").problem(412, "changed", "does not exist")
	s.call("PUT", "/api/v2/clients/none?dryRun=true", `{"name":"N"}`).want(201).has(`"origin":"storage"`)
	s.call("PUT", path+"?dryRun=true", `{"name":"Never"}`, "If-Match: *").want(200).has("Never")
	s.call("DELETE", path+"?dryRun=true", "").want(204)
	s.call("GET", "/api/v2/clients/none", "").problem(404, "notFound", "does not exist")
	s.call("GET", path, "").want(200).has(`"name":"Dry"`)

	secret := s.call("POST", path+"/secret", "").want(200).json()["secret"]
	s.call("DELETE", path+"/previousSecret", "").want(204)
	if secret == "" {
		t.Error("no secret")
	}
	s.call("PUT", "/api/v2/clients/configured", `{"name":"x"}`).problem(409, "readOnly", "configuration file")
	s.call("GET", "/api/v2/clients/configured", "").want(200).has(`"origin":"configuration"`)
	s.call("DELETE", path, "").want(204)
	s.call("DELETE", path, "").problem(404, "notFound", "")

	page := s.call("GET", "/api/v2/clients?pageSize=1", "").want(200)
	for page.json()["nextPageToken"] != "" {
		page = s.call("GET", "/api/v2/clients?pageSize=1&pageToken="+page.json()["nextPageToken"].(string), "").want(200)
	}
	want := "ci created client a/b, ci updated client a/b, ci secret rotated client a/b, ci secret rotated client a/b, ci deleted client a/b"
	got := s.Changes()
	if got := strings.Join(got[1:], ", "); got != want {
		t.Errorf("events %s, want %s", got, want)
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	s := open(t, admin.RoleUsers)
	const path = "/api/v2/users/Jane@example.com"
	s.call("PUT", path, `{"username":"jane","userID":"1"}`).problem(422, "invalid", `"member":"hash"`)
	s.call("PUT", path, `{"username":"jane","userID":"1","password":"secret"}`).want(201).hasNot("hash").hasNot("secret")
	s.call("POST", path+"/password/check", `{"password":"secret"}`).want(200).has(`{"valid":true}`)
	s.call("POST", path+"/password/check", `{"password":"wrong"}`).want(200).has(`{"valid":false}`)
	tag := s.call("PUT", path, `{"username":"jane","userID":"2","emailVerified":false}`).want(200).has(`"emailVerified":false`).header.Get("ETag")
	s.call("PUT", path+"/password", `{"password":"new"}`, "If-Match: "+tag).want(204)
	s.call("PUT", path+"/password", `{"password":""}`).problem(422, "invalid", `"member":"password"`)
	s.call("PUT", path+"/password", `{"password":"dry"}`, "If-Match: "+tag).problem(412, "changed", "")
	s.call("POST", path+"/password/check", `{"password":"new"}`).want(200).has(`{"valid":true}`)
	s.call("GET", "/api/v2/users", "").want(200).has(`Jane@example.com`).has(`Configured@example.com`).hasNot("$2")
	s.call("DELETE", path, "").want(204)
}

func TestConnectors(t *testing.T) {
	t.Parallel()
	s := open(t, admin.RoleConnectors)
	const path = "/api/v2/connectors/corp"
	const corp = `{"type":"oidc","name":"Corp","order":2,"config":{"issuer":"https://op.test","clientID":"c","clientSecret":"hidden","redirectURI":"https://dex.test/callback"}}`
	s.call("PUT", path, corp).want(201).hasNot("hidden").has(`"issuer":"https://op.test"`)
	read := s.call("GET", path, "").want(200).hasNot("hidden")
	s.call("PUT", path, read.body).want(200)
	found, err := s.Connectors.GetWithSecrets(admintest.As(t, admin.RoleAll), "corp")
	if err != nil || !strings.Contains(string(found.Value.Settings), "hidden") {
		t.Errorf("%v: the secret is gone: %s", err, found.Value.Settings)
	}
	s.call("PUT", path, strings.Replace(corp, "clientID", "clientId2", 1)).problem(422, "invalid", `config.clientId2`)
	s.call("PUT", path, strings.Replace(corp, `"order"`, `"ordr"`, 1)).problem(422, "invalid", `did you mean`)
	s.call("PUT", path, strings.Replace(corp, "oidc", "odic", 1)).problem(422, "invalid", `"member":"type"`)
	s.call("GET", "/api/v2/connectors", "").want(200).has(`"id":"corp"`).has(`"id":"configured"`)
	s.call("DELETE", path, "").want(204)
}
