package microsoft_test

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/microsoft"
)

func query(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// asked returns what was asked of Graph.
func asked(m *connectortest.Microsoft) []string {
	var all []string
	for _, call := range m.Calls() {
		if path, ok := strings.CutPrefix(call.Path(), "/v1.0/"); ok {
			all = append(all, call.Method+" "+path)
		}
	}
	return all
}

// The tenant's groups by default: 1 admin, 2 all staff (no security group), 3 developer. The user is in 1 and 2.
func TestFilters(t *testing.T) {
	type world = *connectortest.Microsoft
	twice := func(m world) { m.Groups[id(9)] = connectortest.MicrosoftGroup{Name: "admin", Security: true} }
	for name, c := range map[string]struct {
		settings object
		edit     func(world)
		want     []string // what applications get; nil for a refusal
	}{
		"S0-25 names":                {nil, nil, []string{"admin", "all staff"}},
		"S0-25 ids":                  {object{"groupNameFormat": "id"}, nil, []string{id(1), id(2)}},
		"S0-23 member of one":        {object{"groups": []string{"admin", "developer"}}, nil, []string{"admin", "all staff"}},
		"S0-23 member of none":       {object{"groups": []string{"developer", "Admin"}}, nil, nil},
		"by id":                      {object{"groups": []string{strings.ToUpper(id(1))}}, nil, []string{"admin", "all staff"}},
		"by another id":              {object{"groups": []string{id(3)}}, nil, nil},
		"by id, ids":                 {object{"groups": []string{id(2)}, "groupNameFormat": "id"}, nil, []string{id(1), id(2)}},
		"by name, ids":               {object{"groups": []string{"admin"}, "groupNameFormat": "id"}, nil, nil},
		"only the listed":            {object{"groups": []string{"admin"}, "useGroupsAsWhitelist": true}, nil, []string{"admin"}},
		"only the listed, by id":     {object{"groups": []string{id(1)}, "useGroupsAsWhitelist": true}, nil, []string{"admin"}},
		"security groups":            {object{"onlySecurityGroups": true}, nil, []string{"admin"}},
		"no security group":          {object{"onlySecurityGroups": true, "groups": []string{"all staff"}}, nil, nil},
		"two of a name":              {object{"groups": []string{"admin"}}, twice, nil},
		"two of a name, by switch":   {object{"groups": []string{"admin"}, "insecureAmbiguousGroupNames": true}, twice, []string{"admin", "all staff"}},
		"two of a name, by id":       {object{"groups": []string{id(1)}}, twice, []string{"admin", "all staff"}},
		"two of a name, and another": {object{"groups": []string{"admin", "all staff"}}, twice, []string{id(1), "all staff"}},
		"a name in other letters": {object{"groups": []string{"admin"}}, func(m world) {
			m.Groups[id(9)] = connectortest.MicrosoftGroup{Name: "ADMIN"}
		}, []string{"admin", "all staff"}},
		"another kind of group of a name": {object{"groups": []string{"admin"}, "onlySecurityGroups": true}, func(m world) {
			m.Groups[id(9)] = connectortest.MicrosoftGroup{Name: "admin"}
		}, []string{"admin"}},
		"an odd name": {object{"groups": []string{"R&D's + 'a' #1"}}, func(m world) {
			m.Groups[id(1)] = connectortest.MicrosoftGroup{Name: "R&D's + 'a' #1"}
		}, []string{"R&D's + 'a' #1", "all staff"}},
		"an unknown group":       {nil, func(m world) { delete(m.Groups, id(2)) }, []string{"admin", id(2)}},
		"a group without a name": {nil, func(m world) { m.Groups[id(2)] = connectortest.MicrosoftGroup{} }, []string{"admin", id(2)}},
		"a name that is an id": {object{"groups": []string{id(7)}}, func(m world) {
			m.Groups[id(1)] = connectortest.MicrosoftGroup{Name: id(7)}
		}, nil},
		"a name that is an id, shown": {nil, func(m world) {
			m.Groups[id(1)] = connectortest.MicrosoftGroup{Name: id(7)}
		}, []string{id(1), "all staff"}},
		"no groups":    {nil, func(m world) { m.Users["ada-id"] = connectortest.MicrosoftUser{} }, []string{}},
		"roles":        {object{"rolesAsGroups": true, "groups": []string{"role:boss"}}, nil, []string{"admin", "all staff", "role:boss", "role:x"}},
		"another role": {object{"rolesAsGroups": true, "groups": []string{"role:other"}}, nil, nil},
		"a role by another prefix": {
			object{"rolesAsGroups": true, "rolePrefix": "app/", "groups": []string{"app/x"}, "useGroupsAsWhitelist": true}, nil, []string{"app/x"},
		},
		"bare roles": {object{"rolesAsGroups": true, "rolePrefix": "", "groupNameFormat": "id"}, nil, []string{id(1), id(2), "boss", "x"}},
		"a group that looks like a role": {object{"rolesAsGroups": true, "groups": []string{"role:other"}}, func(m world) {
			m.Groups[id(1)] = connectortest.MicrosoftGroup{Name: "role:other"}
		}, nil},
		"that, and a role": {object{"rolesAsGroups": true}, func(m world) {
			m.Groups[id(1)] = connectortest.MicrosoftGroup{Name: "role:other"}
		}, []string{id(1), "all staff", "role:boss", "role:x"}},
		"few permissions":      {object{"groupScopes": []string{"GroupMember.Read.All"}, "groups": []string{"admin"}}, nil, []string{"admin", "all staff"}},
		"the fewest":           {object{"groupScopes": []string{"User.Read"}, "groups": []string{id(1)}, "groupNameFormat": "id"}, nil, []string{id(1), id(2)}},
		"the fewest, by name":  {object{"groupScopes": []string{"User.Read"}, "groups": []string{"admin"}}, nil, nil},
		"few, security groups": {object{"groupScopes": []string{"GroupMember.Read.All"}, "onlySecurityGroups": true}, nil, []string{"admin"}},
	} {
		t.Run(name, func(t *testing.T) {
			m, conn := start(t, domain, c.settings)
			change(m, func(u *connectortest.MicrosoftUser) { u.Roles = []string{"boss", "x"} })
			if c.edit != nil {
				c.edit(m)
			}
			got, err := m.SignIn(t, conn, groups)
			if outcome := connector.OutcomeOf(err); c.want == nil && outcome != connector.Refused || c.want != nil && err != nil ||
				!slices.Equal(got.Groups, c.want) {
				t.Errorf("%q, want %q: %v", got.Groups, c.want, err)
			}
			if c.settings["groups"] == nil {
				return
			}
			if _, err := m.SignIn(t, conn, connector.Scopes{}); (err == nil) != (c.want != nil) { // whatever is asked for
				t.Errorf("without the scope groups: %v", err)
			}
		})
	}
}

func TestCalls(t *testing.T) {
	const me = "GET me?$select=id,displayName,userPrincipalName,mailNickname,onPremisesSamAccountName"
	for name, c := range map[string]struct {
		settings object
		scopes   connector.Scopes
		want     []string
	}{
		"no groups":  {nil, connector.Scopes{}, []string{me}},
		"names":      {nil, groups, []string{me, "POST me/getMemberGroups", "POST directoryObjects/getByIds"}},
		"ids":        {object{"groupNameFormat": "id"}, groups, []string{me, "POST me/getMemberGroups"}},
		"listed ids": {object{"groups": []string{id(1)}, "groupNameFormat": "id"}, connector.Scopes{}, []string{me, "POST me/getMemberGroups"}},
		"listed names": {
			object{"groups": []string{"admin", "developer"}}, connector.Scopes{}, []string{
				me + ",userType", "POST me/getMemberGroups", "POST directoryObjects/getByIds",
				"GET groups?$filter=displayName eq 'admin'&$select=id,displayName&$top=100",
			},
		},
		"few permissions": {
			object{"groupScopes": []string{"GroupMember.Read.All"}}, groups,
			[]string{me, "GET me/transitiveMemberOf?$select=id,displayName,securityEnabled&$top=999"},
		},
		"mail": {object{"emailField": "mail"}, connector.Scopes{}, []string{me + ",mail"}},
	} {
		m, conn := start(t, domain, c.settings)
		for range 2 {
			if _, err := m.SignIn(t, conn, c.scopes); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, asked(m)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			if name == "listed names" { // is known by now
				c.want = c.want[:3]
			}
		}
	}
}

// Once a name meant a group, it goes on to do so while a group of the same name comes, and other users ask.
func TestNames(t *testing.T) {
	var log bytes.Buffer
	m := connectortest.NewMicrosoft(t, domain)
	filtered := settings(m, object{"groups": []string{"admin"}})
	conn := connectortest.Open(t, &microsoft.Config{}, filtered, &log)
	const evil = "00000000-0000-1000-8000-000000000000" // comes before all others
	m.Groups[evil] = connectortest.MicrosoftGroup{Name: "evil"}
	m.Users["eve-id"] = connectortest.MicrosoftUser{UPN: "eve@corp.example", Groups: []string{evil}}
	m.Users["guest-id"] = connectortest.MicrosoftUser{UPN: "guest@x.example", Kind: "Guest", Groups: []string{id(1)}}
	m.Users["ext-id"] = connectortest.MicrosoftUser{UPN: "x_y#EXT#@corp.example", Groups: []string{id(1)}}
	try := func(what string, conn connectortest.Connector, user string, want connector.Outcome) {
		t.Helper()
		m.User = user
		if _, err := m.SignIn(t, conn, connector.Scopes{}); connector.OutcomeOf(err) != want {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	try("a guest, before anybody else", conn, "guest-id", connector.Refused)
	try("a guest by name, before anybody else", conn, "ext-id", connector.Refused)
	try("a member", conn, "ada-id", connector.Succeeded)
	try("a guest", conn, "guest-id", connector.Succeeded)
	try("another", conn, "eve-id", connector.Refused)
	m.Groups[evil] = connectortest.MicrosoftGroup{Name: "admin"}
	try("a group of the same name", conn, "eve-id", connector.Refused)
	microsoft.Forget(conn)
	try("that, looked up anew", conn, "eve-id", connector.Refused)
	microsoft.Forget(conn)
	try("a member, looked up anew", conn, "ada-id", connector.Succeeded)
	if !strings.Contains(log.String(), "several groups have a name") || !strings.Contains(log.String(), "taken="+id(1)) {
		t.Errorf("the log says\n%s", &log)
	}
	fresh := connectortest.Open(t, &microsoft.Config{}, filtered, nil)
	try("a server that begins now", fresh, "ada-id", connector.Refused)
	try("the other, there", fresh, "eve-id", connector.Refused)
	delete(m.Groups, id(1))
	microsoft.Forget(conn)
	try("the other, once the group is gone", conn, "eve-id", connector.Succeeded) // which is why the settings warn
}

// Who can't look for groups is told apart from a failure of Graph.
func TestNamesForbidden(t *testing.T) {
	m, conn := start(t, domain, object{"groups": []string{"admin"}})
	denied := connectortest.Always(403, `{"error": {"code": "Authorization_RequestDenied"}}`)
	m.Answer("/v1.0/groups", denied)
	_, err := m.SignIn(t, conn, groups)
	if connector.OutcomeOf(err) != connector.Refused || !strings.Contains(err.Error(), "put the group's id into groups") {
		t.Error(err)
	}
	m.Answer("/v1.0/groups", connectortest.Always(502, ""))
	if _, err := m.SignIn(t, conn, groups); connector.OutcomeOf(err) != connector.Unavailable {
		t.Error(err)
	}
	m.Answer("/v1.0/groups", connectortest.Always(200, `{"value": []}`))
	if _, err := m.SignIn(t, conn, groups); connector.OutcomeOf(err) != connector.Refused {
		t.Error(err)
	}
	m.Answer("/v1.0/groups", nil)
	if _, err := m.SignIn(t, conn, groups); err != nil {
		t.Error(err)
	}
	microsoft.Forget(conn)
	m.Answer("/v1.0/groups", denied)
	if _, err := m.SignIn(t, conn, groups); err != nil {
		t.Errorf("what is known no longer counts: %v", err)
	}
}

// member puts the user into so many groups.
func member(m *connectortest.Microsoft, count int) {
	change(m, func(u *connectortest.MicrosoftUser) {
		u.Groups = nil
		for i := range count {
			u.Groups = append(u.Groups, id(100+i))
			m.Groups[id(100+i)] = connectortest.MicrosoftGroup{Name: fmt.Sprintf("team %d", i), Security: i%2 == 0}
		}
	})
}

func TestManyGroups(t *testing.T) {
	for name, c := range map[string]struct {
		settings object
		groups   int
		pages    int // the size of Graph's pages
		want     int
		calls    int
	}{
		"a batch":              {nil, 1000, 0, 1000, 3},
		"two":                  {nil, 1001, 0, 1001, 4},
		"many":                 {object{"batchGroupLookups": false}, 4500, 0, 4500, 7},
		"over pages":           {nil, 1000, 100, 1000, 21},
		"security groups":      {object{"onlySecurityGroups": true}, 3000, 0, 1500, 4},
		"ids":                  {object{"groupNameFormat": "id"}, 5000, 0, 5000, 2},
		"more than Graph says": {object{"groups": []string{"team 11500"}, "useGroupsAsWhitelist": true}, 12_000, 0, 1, 1 + 1 + 13 + 1},
		"few permissions":      {object{"groupScopes": []string{"GroupMember.Read.All"}}, 2000, 0, 2000, 1 + 3},
	} {
		m, conn := start(t, domain, c.settings)
		m.PageSize = c.pages
		member(m, c.groups)
		got, err := m.SignIn(t, conn, groups)
		if calls := asked(m); err != nil || len(got.Groups) != c.want || len(calls) != c.calls {
			t.Errorf("%s: %d groups by %d calls, want %d by %d: %v", name, len(got.Groups), len(calls), c.want, c.calls, err)
		}
	}
	m, conn := start(t, domain, nil)
	member(m, 12_000)
	if _, err := m.SignIn(t, conn, groups); connector.OutcomeOf(err) != connector.AccountUnusable {
		t.Errorf("more groups than fit in a token: %v", err)
	}
}

// Pages are read from Graph alone.
func TestPagesElsewhere(t *testing.T) {
	for _, path := range []string{"/v1.0/me/getMemberGroups", "/v1.0/directoryObjects/getByIds", "/v1.0/groups"} {
		m, conn := start(t, domain, object{"groups": []string{"admin"}})
		m.Answer(path, connectortest.Always(200, `{"value": [], "@odata.nextLink": "https://evil.test/v1.0"}`))
		if _, err := m.SignIn(t, conn, groups); connector.OutcomeOf(err) != connector.Broken || !strings.Contains(err.Error(), "next page") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestOddLists(t *testing.T) {
	for body, want := range map[string][]string{
		`{"value": [null, "` + id(1) + `", "", "` + id(1) + `"]}`: {"admin"},
		`{"value": null}`: {},
		`{}`:              {},
	} {
		m, conn := start(t, domain, nil)
		m.Answer("/v1.0/me/getMemberGroups", connectortest.Always(200, body))
		got, err := m.SignIn(t, conn, groups)
		if err != nil || !slices.Equal(got.Groups, want) {
			t.Errorf("%s: %q, want %q: %v", body, got.Groups, want, err)
		}
	}
}

// Whoever leaves the groups gets no new tokens, and roles are those of today.
func TestMemberWhoLeaves(t *testing.T) {
	m, conn := start(t, domain, object{"groups": []string{"admin", "developer"}})
	got, err := m.SignIn(t, conn, connector.Scopes{OfflineAccess: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Refresh(t.Context(), connector.Scopes{}, got); err != nil {
		t.Error(err)
	}
	change(m, func(u *connectortest.MicrosoftUser) { u.Groups = []string{id(2)} })
	if _, err := conn.Refresh(t.Context(), connector.Scopes{}, got); connector.OutcomeOf(err) != connector.Refused {
		t.Error(err)
	}
	m, conn = start(t, domain, object{"rolesAsGroups": true, "groups": []string{"role:a", "role:b"}, "useGroupsAsWhitelist": true})
	m.Life = time.Hour
	all := connector.Scopes{OfflineAccess: true, Groups: true}
	for _, c := range []struct {
		roles []string
		want  connector.Outcome
	}{{[]string{"a"}, connector.Succeeded}, {[]string{"b"}, connector.Succeeded}, {nil, connector.Refused}} {
		change(m, func(u *connectortest.MicrosoftUser) { u.Roles = c.roles })
		if got.Data == nil || len(got.Groups) == 0 || !strings.HasPrefix(got.Groups[0], "role:") {
			got, err = m.SignIn(t, conn, all)
		} else {
			got, err = conn.Refresh(t.Context(), all, got)
		}
		if connector.OutcomeOf(err) != c.want || err == nil && !slices.Equal(got.Groups, []string{"role:" + c.roles[0]}) {
			t.Errorf("%q: %q, %v", c.roles, got.Groups, err)
		}
	}
}
