package connectortest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// Tenants of a Microsoft.
const (
	MicrosoftTenant   = "0b2f1a50-6f1c-4c7a-9d0a-0c2a6c1f7e01"
	MicrosoftPersonal = "9188040d-6c67-4c5b-b112-36a304b66dad" // of all personal accounts
)

// A Microsoft is a fake of Microsoft's login service and Graph. Its users and groups are known by their ids.
type Microsoft struct {
	*Hosted
	Tenant string // as its addresses have it: a domain, an id, or common and the like
	Users  map[string]MicrosoftUser
	Groups map[string]MicrosoftGroup
	// MostIDs is how many groups getMemberGroups can tell.
	MostIDs int
	// PageSize is how many members the pages of Graph's lists have at most, whatever is asked for; 0 for as many as are asked for.
	PageSize int
	// Says is what ID tokens say over what they usually do; nil values remove some.
	Says Object
}

// A MicrosoftUser is somebody who has an account. The first six members are as Graph has them; empty ones are null.
type MicrosoftUser struct {
	Name, UPN, Mail, Nickname, SAM, Kind string
	Tenant                               string // the id of another tenant than MicrosoftTenant
	Groups                               []string
	Roles                                []string
}

// A MicrosoftGroup is a group. One without a name can't be read by users.
type MicrosoftGroup struct {
	Name     string
	Security bool
}

// NewMicrosoft starts a Microsoft, at whose tenant ada signs in.
func NewMicrosoft(t testing.TB, tenant string) *Microsoft {
	base := "/" + tenant
	m := &Microsoft{
		Hosted: newHosted(t, base+"/oauth2/v2.0/authorize", base+"/oauth2/v2.0/token", false), Tenant: tenant, MostIDs: 11_000,
		Users: map[string]MicrosoftUser{"ada-id": {
			Name: "Ada L", UPN: "Ada@corp.example", Mail: "Ada.L@mail.example", Nickname: "ada", SAM: "CORP-ADA", Kind: "Member",
			Groups: []string{GroupID(1), GroupID(2)},
		}},
		Groups: map[string]MicrosoftGroup{
			GroupID(1): {"admin", true}, GroupID(2): {"all staff", false}, GroupID(3): {"developer", true},
		},
	}
	m.User = "ada-id"
	m.Refreshes = func(scopes []string) bool { return slices.Contains(scopes, "offline_access") }
	m.Refusal = graphRefusal
	m.Claims, m.form = m.claims, m.graphToken
	m.mux.HandleFunc("GET "+base+"/v2.0/.well-known/openid-configuration", m.serveMetadata)
	m.mux.HandleFunc("GET "+base+"/discovery/v2.0/keys", serveKeys)
	m.graph("GET /v1.0/me", []string{"user.read"}, m.serveMe)
	m.graph("POST /v1.0/me/getMemberGroups", directory, m.serveMemberGroups)
	m.graph("POST /v1.0/directoryObjects/getByIds", directory[:1], m.serveByIDs)
	m.graph("GET /v1.0/me/transitiveMemberOf", append([]string{"user.read"}, directory...), m.serveMemberOf)
	m.graph("GET /v1.0/groups", directory, m.serveGroups)
	return m
}

// directory are the scopes with which groups can be read.
var directory = []string{"directory.read.all", "groupmember.read.all"}

// GroupID returns the id of a group.
func GroupID(number int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", number) }

func graphRefusal(status int) Object {
	code := "Authorization_RequestDenied"
	if status == http.StatusUnauthorized {
		code = "InvalidAuthenticationToken"
	}
	return graphError(code)
}

func graphError(code string) Object {
	return Object{"error": Object{"code": code, "message": "because"}}
}

// graph serves a call of Graph for which one of the scopes is enough.
func (m *Microsoft) graph(pattern string, scopes []string, serve func(w http.ResponseWriter, r *http.Request, user string)) {
	m.API(pattern, "", func(w http.ResponseWriter, r *http.Request, user string) {
		if !slices.ContainsFunc(scopes, func(scope string) bool { return m.may(r, scope) }) {
			Reply(w, http.StatusForbidden, graphError("Authorization_RequestDenied"))
			return
		}
		serve(w, r, user)
	})
}

// may reports whether a request's token has a scope, whose name may have Graph's address before it.
func (m *Microsoft) may(r *http.Request, scope string) bool {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return slices.ContainsFunc(m.access[token].scopes, func(given string) bool {
		return strings.ToLower(given[strings.LastIndex(given, "/")+1:]) == scope
	})
}

func (m *Microsoft) tenantOf(user string) string {
	if other := m.Users[user].Tenant; other != "" {
		return other
	}
	return MicrosoftTenant
}

func (m *Microsoft) serveMetadata(w http.ResponseWriter, r *http.Request) {
	tenant := MicrosoftTenant
	switch m.Tenant {
	case "common", "organizations":
		tenant = "{tenantid}"
	case "consumers":
		tenant = MicrosoftPersonal
	}
	base := m.URL + "/" + tenant
	Reply(w, http.StatusOK, Object{
		"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token",
		"jwks_uri":                              m.URL + "/" + m.Tenant + "/discovery/v2.0/keys?" + r.URL.RawQuery,
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
	})
}

// claims returns what an ID token says of a user.
func (m *Microsoft) claims(user string) Object {
	tenant := m.tenantOf(user)
	said := Object{
		"iss": m.URL + "/" + tenant + "/v2.0", "sub": "pairwise-" + user, "oid": user, "tid": tenant, "ver": "2.0",
		"name": m.Users[user].Name, "preferred_username": m.Users[user].UPN,
	}
	if roles := m.Users[user].Roles; roles != nil {
		said["roles"] = roles
	}
	return Merged(said, m.Says)
}

// graphToken returns an access token for Graph. It looks like a JWT, unless it is for a personal account.
func (m *Microsoft) graphToken(name string, g grant) string {
	if m.tenantOf(g.user) == MicrosoftPersonal {
		return "EwB" + name
	}
	client := m.ClientID
	if g.client != "" {
		client = g.client
	}
	part := func(o Object) string {
		text, err := json.Marshal(o)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(Object{"typ": "JWT", "alg": "RS256", "nonce": name}) + "." + part(Object{
		"aud": "00000003-0000-0000-c000-000000000000", "appid": client, "tid": m.tenantOf(g.user), "oid": g.user,
		"iat": time.Now().Unix(),
	}) + ".sig"
}

// null returns a text as Graph has it.
func null(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func (m *Microsoft) serveMe(w http.ResponseWriter, r *http.Request, id string) {
	u := m.Users[id]
	all := Object{
		"id": id, "displayName": null(u.Name), "userPrincipalName": null(u.UPN), "mail": null(u.Mail),
		"mailNickname": null(u.Nickname), "onPremisesSamAccountName": null(u.SAM), "userType": null(u.Kind),
	}
	said := Object{"@odata.context": m.URL + "/v1.0/$metadata#users/$entity"}
	for name := range strings.SplitSeq(r.URL.Query().Get("$select"), ",") {
		said[name] = all[name]
	}
	Reply(w, http.StatusOK, said)
}

// list writes a part of a list, by the parameters $top and $skiptoken.
func list[T any](m *Microsoft, w http.ResponseWriter, r *http.Request, all []T) {
	query := r.URL.Query()
	from, size := 0, len(all)
	_, _ = fmt.Sscan(query.Get("$skiptoken"), &from)
	_, _ = fmt.Sscan(query.Get("$top"), &size)
	if m.PageSize != 0 {
		size = min(size, m.PageSize)
	}
	to := min(from+size, len(all))
	answer := Object{"@odata.context": m.URL + "/v1.0/$metadata", "value": append([]T{}, all[from:to]...)}
	if to < len(all) {
		query.Set("$skiptoken", fmt.Sprint(to))
		answer["@odata.nextLink"] = m.URL + r.URL.Path + "?" + query.Encode()
	}
	Reply(w, http.StatusOK, answer)
}

func (m *Microsoft) serveMemberGroups(w http.ResponseWriter, r *http.Request, user string) {
	var asked struct {
		SecurityEnabledOnly bool `json:"securityEnabledOnly"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		Reply(w, http.StatusBadRequest, graphError("BadRequest"))
		return
	}
	ids := []string{}
	for _, id := range m.Users[user].Groups {
		if m.Groups[id].Security || !asked.SecurityEnabledOnly {
			ids = append(ids, id)
		}
	}
	if len(ids) > m.MostIDs {
		Reply(w, http.StatusBadRequest, graphError("Directory_ResultSizeLimitExceeded"))
		return
	}
	list(m, w, r, ids)
}

// maxByIDs is how many ids Graph looks up at once.
const maxByIDs = 1000

func (m *Microsoft) serveByIDs(w http.ResponseWriter, r *http.Request, _ string) {
	var asked struct {
		IDs   []string `json:"ids"`
		Types []string `json:"types"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || len(asked.IDs) > maxByIDs || !slices.Equal(asked.Types, []string{"group"}) ||
		slices.Contains(asked.IDs, "") {
		Reply(w, http.StatusBadRequest, graphError("Request_BadRequest"))
		return
	}
	found := []Object{}
	for _, id := range slices.Backward(asked.IDs) { // Graph keeps no order
		if g, ok := m.Groups[id]; ok {
			found = append(found, g.object(id))
		}
	}
	list(m, w, r, found)
}

func (g MicrosoftGroup) object(id string) Object {
	o := Object{"@odata.type": "#microsoft.graph.group", "id": id, "displayName": nil, "securityEnabled": nil}
	if g.Name != "" {
		o["displayName"], o["securityEnabled"] = g.Name, g.Security
	}
	return o
}

func (m *Microsoft) serveMemberOf(w http.ResponseWriter, r *http.Request, user string) {
	named := slices.ContainsFunc(directory, func(scope string) bool { return m.may(r, scope) })
	all := []Object{{"@odata.type": "#microsoft.graph.directoryRole", "id": GroupID(0), "displayName": "Global Reader"}}
	for _, id := range m.Users[user].Groups {
		g := m.Groups[id]
		if !named { // then Graph says that there is a group, and nothing of it
			g = MicrosoftGroup{}
		}
		all = append(all, g.object(id))
	}
	list(m, w, r, all)
}

// serveGroups finds groups by their display name, as members see them.
func (m *Microsoft) serveGroups(w http.ResponseWriter, r *http.Request, user string) {
	filter, secure := strings.CutSuffix(r.URL.Query().Get("$filter"), " and securityEnabled eq true")
	name, ok := strings.CutPrefix(filter, "displayName eq '")
	switch {
	case m.Users[user].Kind == "Guest":
		Reply(w, http.StatusForbidden, graphError("Authorization_RequestDenied"))
		return
	case !ok || !strings.HasSuffix(name, "'") || strings.Count(name, "'")%2 == 0 ||
		strings.Contains(strings.ReplaceAll(strings.TrimSuffix(name, "'"), "''", ""), "'"):
		Reply(w, http.StatusBadRequest, graphError("Request_UnsupportedQuery"))
		return
	}
	name = strings.ReplaceAll(strings.TrimSuffix(name, "'"), "''", "'")
	found := []Object{}
	for id, g := range m.Groups {
		if strings.EqualFold(g.Name, name) && (g.Security || !secure) {
			found = append(found, g.object(id))
		}
	}
	list(m, w, r, found)
}

// Path returns the path and the query of a call, with the query's escapes undone.
func (c Call) Path() string {
	path, err := url.PathUnescape(c.URI)
	if err != nil {
		return c.URI
	}
	return path
}
