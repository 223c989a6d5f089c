package microsoft_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/microsoft"
)

type object = connectortest.Object

var (
	groups = connector.Scopes{Groups: true}
	id     = connectortest.GroupID
)

const domain = "corp.example"

func settings(m *connectortest.Microsoft, more object) object {
	all := object{"clientID": "dex", "clientSecret": "secret", "tenant": m.Tenant, "apiURL": m.URL + "/", "graphURL": m.URL + "/"}
	maps.Copy(all, more)
	return all
}

func start(t *testing.T, tenant string, more object) (*connectortest.Microsoft, connectortest.Connector) {
	t.Helper()
	m := connectortest.NewMicrosoft(t, tenant)
	return m, connectortest.Open(t, &microsoft.Config{}, settings(m, more), nil)
}

// change changes the user who signs in.
func change(m *connectortest.Microsoft, f func(*connectortest.MicrosoftUser)) {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	u := m.Users[m.User]
	f(&u)
	m.Users[m.User] = u
}

func TestSuite(t *testing.T) {
	connectortest.Suite{
		New: func(t testing.TB) (*connectortest.Hosted, func() connector.Config, object) {
			m := connectortest.NewMicrosoft(t, domain)
			return m.Hosted, func() connector.Config { return &microsoft.Config{} }, settings(m, nil)
		},
		UserPath: "/v1.0/me", Renews: true, Exchanges: true,
	}.Run(t)
}

// The keys of the guide: users come from the tenant's addresses, with a profile of Graph's.
func TestTenant(t *testing.T) {
	t.Run("S0-13 clientID, clientSecret, redirectURI, tenant", func(t *testing.T) {
		m, c := start(t, domain, object{"redirectURI": connectortest.CallbackURL})
		m.RedirectURI, m.NeedsPKCE = connectortest.CallbackURL, true
		got, err := m.SignIn(t, c, connector.Scopes{})
		want := connector.Identity{UserID: "ada-id", Username: "Ada L", Email: "Ada@corp.example", EmailVerified: true}
		got.Session = connector.SourceSession{} // see TestLogout
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
		var asked []string
		for _, call := range m.Calls() {
			path, query, _ := strings.Cut(call.URI, "?")
			if strings.HasPrefix(path, "/v1.0/") || strings.Contains(query, "appid") {
				path += "?" + query
			}
			asked = append(asked, call.Method+" "+path)
		}
		wanted := []string{
			"GET /corp.example/v2.0/.well-known/openid-configuration?appid=dex",
			"GET /corp.example/oauth2/v2.0/authorize",
			"POST /corp.example/oauth2/v2.0/token",
			"GET /corp.example/discovery/v2.0/keys?appid=dex",
			"GET /v1.0/me?$select=id,displayName,userPrincipalName,mailNickname,onPremisesSamAccountName",
		}
		if diff := cmp.Diff(wanted, asked); diff != "" {
			t.Error(diff)
		}
	})
}

func TestIdentity(t *testing.T) {
	for name, c := range map[string]struct {
		tenant   string
		settings object
		user     connectortest.MicrosoftUser
		want     connector.Identity
	}{
		"nulls": {domain, nil, connectortest.MicrosoftUser{}, connector.Identity{}},
		"in lower case": {
			domain, object{"emailToLowercase": true, "preferredUsernameField": "email"}, connectortest.MicrosoftUser{UPN: "A@B.C"},
			connector.Identity{Email: "a@b.c", EmailVerified: true, PreferredUsername: "a@b.c"},
		},
		"mail": {
			domain, object{"emailField": "mail", "emailToLowercase": true}, connectortest.MicrosoftUser{UPN: "A@B.C", Mail: "D@E.F"},
			connector.Identity{Email: "d@e.f", EmailVerified: true},
		},
		"no mail": {domain, object{"emailField": "mail"}, connectortest.MicrosoftUser{UPN: "A@B.C"}, connector.Identity{}},
		"name": {
			domain, object{"preferredUsernameField": "name"}, connectortest.MicrosoftUser{Name: "A"},
			connector.Identity{Username: "A", PreferredUsername: "A"},
		},
		"mailNickname": {
			domain, object{"preferredUsernameField": "mailNickname"}, connectortest.MicrosoftUser{Nickname: "a"},
			connector.Identity{PreferredUsername: "a"},
		},
		"onPremisesSamAccountName": {
			domain, object{"preferredUsernameField": "onPremisesSamAccountName"}, connectortest.MicrosoftUser{SAM: "A"},
			connector.Identity{PreferredUsername: "A"},
		},
		"of any tenant": {"common", nil, connectortest.MicrosoftUser{UPN: "a@b.c"}, connector.Identity{Email: "a@b.c"}},
		"of any tenant, by switch": {
			"common", object{"insecureSharedTenantEmailVerified": true}, connectortest.MicrosoftUser{UPN: "a@b.c"},
			connector.Identity{Email: "a@b.c", EmailVerified: true},
		},
		"of another tenant": {
			"organizations", nil, connectortest.MicrosoftUser{UPN: "a@b.c", Tenant: "0b2f1a50-6f1c-4c7a-9d0a-0c2a6c1f7e02"},
			connector.Identity{Email: "a@b.c"},
		},
		"personal": {
			"consumers", nil, connectortest.MicrosoftUser{UPN: "a@b.c", Tenant: connectortest.MicrosoftPersonal},
			connector.Identity{Email: "a@b.c"},
		},
	} {
		m, conn := start(t, c.tenant, c.settings)
		m.Users["ada-id"] = c.user
		c.want.UserID = "ada-id"
		for _, scopes := range []connector.Scopes{{}, {Groups: true, OfflineAccess: true}} {
			got, err := m.SignIn(t, conn, scopes)
			if scopes.OfflineAccess { // and after a refresh
				m.Expire()
				got, err = conn.Refresh(t.Context(), scopes, got)
				got.Data = nil
			}
			got.Session = connector.SourceSession{} // see TestLogout
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%s: %s %v", name, diff, err)
			}
		}
	}
}

// Accounts of other tenants than the configured one stay out.
func TestOtherTenants(t *testing.T) {
	const other = "0b2f1a50-6f1c-4c7a-9d0a-0c2a6c1f7e02"
	for name, c := range map[string]struct {
		tenant, account string
		says            object
		want            connector.Outcome
	}{
		"a domain's own":       {domain, "", nil, connector.Succeeded},
		"an id's own":          {connectortest.MicrosoftTenant, "", nil, connector.Succeeded},
		"an id's, in capitals": {strings.ToUpper(connectortest.MicrosoftTenant), "", nil, connector.Succeeded},
		"another's":            {domain, other, nil, connector.Refused},
		"another's, by id":     {connectortest.MicrosoftTenant, other, nil, connector.Refused},
		"personal":             {domain, connectortest.MicrosoftPersonal, nil, connector.Refused},
		"anybody's":            {"common", other, nil, connector.Succeeded},
		"anybody's work":       {"organizations", other, nil, connector.Succeeded},
		"no work":              {"organizations", connectortest.MicrosoftPersonal, nil, connector.Refused},
		"no person":            {"consumers", other, nil, connector.Refused},
		"of nobody":            {domain, "", object{"tid": nil}, connector.Broken},
		"a lie":                {domain, other, object{"tid": connectortest.MicrosoftTenant}, connector.Broken},
		"no id":                {domain, "", object{"tid": "../x"}, connector.Broken},
		"another issuer":       {"common", "", object{"iss": "https://evil.test/v2.0"}, connector.Broken},
		"for another":          {domain, "", object{"aud": "other"}, connector.Broken},
	} {
		m, conn := start(t, c.tenant, nil)
		m.Says = c.says
		change(m, func(u *connectortest.MicrosoftUser) { u.Tenant = c.account })
		if got, err := m.SignIn(t, conn, connector.Scopes{}); connector.OutcomeOf(err) != c.want || (got.UserID != "") != (err == nil) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// The metadata must be those of the tenant.
func TestMetadata(t *testing.T) {
	for name, c := range map[string]struct {
		tenant, issuer string
	}{
		"no tenant":     {domain, "https://login.test/v2.0"},
		"any tenant":    {domain, "https://login.test/{tenantid}/v2.0"},
		"another's":     {connectortest.MicrosoftTenant, "https://login.test/0b2f1a50-6f1c-4c7a-9d0a-0c2a6c1f7e02/v2.0"},
		"nothing":       {domain, ""},
		"no address":    {domain, "://"},
		"a domain only": {domain, "https://login.test/corp.example/v2.0"},
	} {
		m, conn := start(t, c.tenant, nil)
		m.Answer("/"+c.tenant+"/v2.0/.well-known/openid-configuration", connectortest.Always(http.StatusOK, `{"issuer": "`+c.issuer+`"}`))
		if _, err := conn.Begin(t.Context(), connector.LoginRequest{}); err == nil {
			t.Errorf("%s: the issuer %q passes", name, c.issuer)
		}
		if err := conn.(connector.Prober).Probe(t.Context()); err == nil {
			t.Errorf("%s: the connector is well", name)
		}
	}
}

// The issuer of many tenants has no id of its own, and takes only what looks like one.
func TestIssuerOfMany(t *testing.T) {
	m, conn := start(t, "common", nil)
	base := m.URL + "/common"
	metadata, err := json.Marshal(object{
		"issuer": m.URL + "/{tenantid}/v2.0", "authorization_endpoint": base, "token_endpoint": base,
		"jwks_uri": base + "/discovery/v2.0/keys", "authorization_response_iss_parameter_supported": true,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Answer("/common/v2.0/.well-known/openid-configuration", connectortest.Always(http.StatusOK, string(metadata)))
	if _, err := m.SignIn(t, conn, connector.Scopes{}); err != nil {
		t.Error(err)
	}
	m.Says = object{"tid": "../x", "iss": m.URL + "/../x/v2.0"}
	if _, err := m.SignIn(t, conn, connector.Scopes{}); err == nil {
		t.Error("any text passes for the id of a tenant")
	}
}

func TestNonce(t *testing.T) {
	m, conn := start(t, domain, nil)
	m.NonceOf = func(string) string { return "of another login" }
	if _, err := m.SignIn(t, conn, connector.Scopes{}); connector.OutcomeOf(err) != connector.TokenRefused {
		t.Error(err)
	}
}

func TestAllowedDomains(t *testing.T) {
	for upn, want := range map[string]connector.Outcome{
		"ada@corp.example": connector.Succeeded, "Ada@CORP.example": connector.Succeeded, "ada@sub.corp.example": connector.Refused,
		"ada_corp.example#EXT#@other.example": connector.Refused, "corp.example": connector.Refused, "": connector.Refused,
		"ada@corp.example@other.example": connector.Refused,
	} {
		m, conn := start(t, domain, object{"allowedDomains": []string{"@Corp.Example", "more.example"}, "emailField": "mail"})
		change(m, func(u *connectortest.MicrosoftUser) { u.UPN, u.Mail = upn, "ada@corp.example" })
		if _, err := m.SignIn(t, conn, connector.Scopes{}); connector.OutcomeOf(err) != want {
			t.Errorf("%s: %v, want %s", upn, err, want)
		}
	}
}

// What upstream has kept of a login will do, though nobody knows its tenant from an ID token.
func TestKeptByUpstream(t *testing.T) {
	m, conn := start(t, domain, nil)
	got, err := m.SignIn(t, conn, connector.Scopes{OfflineAccess: true})
	if err != nil {
		t.Fatal(err)
	}
	m.Claims = nil // it didn't ask for the scope openid
	var kept object
	if err := json.Unmarshal(got.Data, &kept); err != nil {
		t.Fatal(err)
	}
	kept["expiry"] = time.Now().Add(-time.Minute)
	if got.Data, err = json.Marshal(kept); err != nil {
		t.Fatal(err)
	}
	if got, err = conn.Refresh(t.Context(), connector.Scopes{}, got); err != nil {
		t.Error(err)
	}
	change(m, func(u *connectortest.MicrosoftUser) { u.Tenant = "0b2f1a50-6f1c-4c7a-9d0a-0c2a6c1f7e02" })
	m.Expire()
	if _, err = conn.Refresh(t.Context(), connector.Scopes{}, got); connector.OutcomeOf(err) != connector.Refused {
		t.Errorf("another tenant's access token: %v", err)
	}
}

// A wrong answer of Graph's is told with its status and its code.
func TestGraphErrors(t *testing.T) {
	for path, outcome := range map[string]connector.Outcome{
		"/v1.0/me": connector.Broken, "/v1.0/me/getMemberGroups": connector.Broken, "/v1.0/directoryObjects/getByIds": connector.Broken,
	} {
		m, conn := start(t, domain, nil)
		m.Answer(path, connectortest.Always(http.StatusForbidden, `{"error": {"code": "Authorization_RequestDenied", "message": "Insufficient privileges"}}`))
		_, err := m.SignIn(t, conn, groups)
		if connector.OutcomeOf(err) != outcome || !strings.Contains(err.Error(), `the provider answers 403 Authorization_RequestDenied "Insufficient privileges"`) {
			t.Errorf("%s: %v", path, err)
		}
		m.Answer(path, connectortest.Always(http.StatusTooManyRequests, `{"error": {"code": "TooManyRequests"}}`, "Retry-After", "3600"))
		if _, err := m.SignIn(t, conn, groups); connector.OutcomeOf(err) != connector.Unavailable {
			t.Errorf("%s: %v", path, err)
		}
	}
}
