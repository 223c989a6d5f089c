package ldap_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"dex/internal/connector"
)

// group returns an entry cn=name with values of the attribute member.
func group(name string, members ...string) entry {
	return entry{dn: unit(name), attributes: map[string][]string{"cn": {name}, "member": members}}
}

func unit(name string) string { return "cn=" + name + "," + units }

func groupSearch(rest string) string {
	return "groupSearch: {baseDN: '" + units + "', nameAttr: cn, " + rest + "}\n"
}

const recursive = "userMatchers: [{userAttr: DN, groupAttr: member, recursionGroupAttr: member}]"

func TestGroups(t *testing.T) {
	user := jane()
	user.attributes["gidNumber"] = []string{"100"}
	user.attributes["department"] = []string{"red", "blue", ""}
	elsewhere := group("child", unit("intermediate")) // the name of another
	elsewhere.dn = "cn=child,ou=Other," + units
	nameless := group("nameless", user.dn)
	delete(nameless.attributes, "cn")
	all := []entry{
		user, group("direct", user.dn), group("other", "cn=john,"+people),
		{dn: unit("posix"), attributes: map[string][]string{"cn": {"posix"}, "gidNumber": {"100"}, "memberUid": {"jane"}}},
		{dn: unit("blue"), attributes: map[string][]string{"cn": {"Blue"}, "team": {"blue"}}},
		{dn: unit("red"), attributes: map[string][]string{"cn": {"Red"}, "team": {"red"}}},
		{dn: unit("purple"), attributes: map[string][]string{"cn": {"Purple"}, "team": {"red", "blue"}, "hidden": {"yes"}}},
		nameless, group("above the nameless", nameless.dn),
		{dn: unit("chain"), attributes: map[string][]string{"cn": {"Chain"}, "member/chain": {user.dn}}},
	}
	nested := []entry{
		user, group("child", user.dn), group("circular1", user.dn, unit("circular2")), group("circular2", unit("circular1")),
		group("intermediate", unit("child")), group("parent", unit("intermediate")),
	}
	for _, test := range []struct {
		name, settings string
		entries        []entry
		want           []string
	}{
		{"no search", "", all, nil},
		{"by DN", groupSearch("userMatchers: [{userAttr: DN, groupAttr: member}]"), all, []string{"direct"}},
		{"DN in any case", groupSearch("userMatchers: [{userAttr: dn, groupAttr: MEMBER}]"), all, []string{"direct"}},
		{"by name", groupSearch("userMatchers: [{userAttr: UID, groupAttr: memberUid}]"), all, []string{"posix"}},
		{"by several values, each group once", groupSearch("userMatchers: [{userAttr: department, groupAttr: team}]"), all, []string{"Red", "Purple", "Blue"}},
		{"with filter", groupSearch("filter: '(!(hidden=yes))', userMatchers: [{userAttr: department, groupAttr: team}]"), all, []string{"Red", "Blue"}},
		{"two matchers, each group once", groupSearch("userMatchers: [{userAttr: gidNumber, groupAttr: gidNumber}, {userAttr: DN, groupAttr: member}, {userAttr: uid, groupAttr: memberUid}]"), all, []string{"posix", "direct"}},
		{"nested, in the order of discovery", groupSearch(recursive), nested, []string{"child", "circular1", "intermediate", "circular2", "parent"}},
		{
			"nested, of one name in two units", groupSearch(recursive),
			append(slices.Clone(nested), elsewhere, group("beyond", elsewhere.dn)),
			[]string{"child", "circular1", "intermediate", "circular2", "parent", "beyond"},
		},
		{"nested, above one without a name", groupSearch(recursive), all, []string{"direct", "above the nameless"}},
		{
			"found before, and nested now",
			groupSearch("userMatchers: [{userAttr: DN, groupAttr: member}, {userAttr: DN, groupAttr: member, recursionGroupAttr: member}]"), nested,
			[]string{"child", "circular1", "intermediate", "circular2", "parent"},
		},
		{"in chain", groupSearch("nested: inChain, userMatchers: [{userAttr: DN, groupAttr: member}]"), all, []string{"Chain"}},
		{"name is the DN", "groupSearch: {baseDN: '" + units + "', nameAttr: DN, userMatchers: [{userAttr: uid, groupAttr: memberUid}]}", all, []string{unit("posix")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, nil, test.entries...)
			c := open(t, users(s)+test.settings)
			if got := mustLogin(t, c, connector.Scopes{Groups: true}, "jane", "foo").Groups; !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			before := len(s.asked(units))
			if got := mustLogin(t, c, connector.Scopes{}, "jane", "foo").Groups; got != nil || len(s.asked(units)) > before {
				t.Errorf("groups that nobody wants: %q, %d searches", got, len(s.asked(units))-before)
			}
		})
	}
}

func TestDeprecatedMatcher(t *testing.T) {
	user := jane()
	s := serve(t, nil, user, group("direct", user.dn), group("above", unit("direct")))
	for name, test := range map[string]struct {
		rest string
		want []string
	}{
		"alone":                     {"userAttr: DN, groupAttr: member", []string{"direct"}},
		"recursive":                 {"userAttr: DN, groupAttr: member, recursionGroupAttr: member", []string{"direct", "above"}},
		"and an empty list":         {"userAttr: DN, groupAttr: member, userMatchers: []", []string{"direct"}},
		"and a list that is broken": {"userAttr: DN, groupAttr: member, userMatchers: [{groupAttr: x}]", []string{"direct"}},
		"and a list that counts":    {"userAttr: uid, groupAttr: x, userMatchers: [{userAttr: DN, groupAttr: member}]", []string{"direct"}},
	} {
		c, problems := settings(t, users(s)+groupSearch(test.rest))
		counts := name == "and a list that counts"
		if problems.HasErrors() || (len(problems) == 0) != counts {
			t.Errorf("%s: problems %v", name, problems)
		}
		id := mustLogin(t, opened(t, c, nil), connector.Scopes{Groups: true}, "jane", "foo")
		if !slices.Equal(id.Groups, test.want) {
			t.Errorf("%s: got %q, want %q", name, id.Groups, test.want)
		}
	}
}

func TestMemberOf(t *testing.T) {
	user := jane()
	user.attributes["memberOf"] = []string{`cn=Staff \2b friends,` + units, "plain", unit("direct")}
	s := serve(t, nil, user, group("searched", user.dn), group("direct", user.dn))
	search := plain(s) + "userSearch: {baseDN: '" + people + "', username: uid, memberOfAttr: memberof}\n"
	want := []string{"Staff + friends", "plain", "direct"}
	if got := mustLogin(t, open(t, search), connector.Scopes{Groups: true}, "jane", "foo").Groups; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := len(s.asked(units)); n != 0 {
		t.Errorf("%d searches of groups", n)
	}
	want = append(want, "searched")
	got := mustLogin(t, open(t, search+groupSearch("userMatchers: [{userAttr: DN, groupAttr: member}]")), connector.Scopes{Groups: true}, "jane", "foo")
	if !slices.Equal(got.Groups, want) {
		t.Errorf("with a search: got %q, want %q", got.Groups, want)
	}

	user.attributes["memberOf;range=0-1499"] = user.attributes["memberOf"]
	delete(user.attributes, "memberOf")
	s.change(user)
	if _, ok, err := open(t, search).Login(t.Context(), connector.Scopes{Groups: true}, "jane", "foo"); ok || err == nil {
		t.Errorf("only a part of the groups: %t, %v", ok, err)
	}
}

func TestGroupWithoutName(t *testing.T) {
	user := jane()
	nameless := group("nameless", user.dn)
	delete(nameless.attributes, "cn")
	s := serve(t, nil, user, nameless, group("direct", user.dn))
	c, _ := settings(t, users(s)+groupSearch("userMatchers: [{userAttr: DN, groupAttr: member}]"))
	var log strings.Builder
	id := mustLogin(t, opened(t, c, slog.NewTextHandler(&log, nil)), connector.Scopes{Groups: true}, "jane", "foo")
	if want := []string{"direct"}; !slices.Equal(id.Groups, want) {
		t.Errorf("got %q, want %q", id.Groups, want)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), nameless.dn) {
		t.Errorf("logged:\n%s", log.String())
	}
}

func TestGroupSearchFails(t *testing.T) {
	user := jane()
	s := serve(t, nil, user, group("child", user.dn), group("parent", unit("child")))
	c := open(t, users(s)+groupSearch(recursive))
	for _, member := range []string{user.dn, unit("child")} {
		for code, fails := range map[uint16]bool{goldap.LDAPResultNoSuchObject: false, goldap.LDAPResultReferral: true} {
			s.note(func() {
				s.fault = func(_, filter string) uint16 {
					if filter == "(member="+member+")" {
						return code
					}
					return goldap.LDAPResultSuccess
				}
			})
			id, ok, err := c.Login(t.Context(), connector.Scopes{Groups: true}, "jane", "foo")
			if ok == fails || (err != nil) != fails || slices.Contains(id.Groups, "parent") {
				t.Errorf("code %d for groups of %s: %q, %t, %v", code, member, id.Groups, ok, err)
			}
		}
	}
}

func TestGroupsAreBounded(t *testing.T) {
	user := jane()
	deep := []entry{user, group("g0", user.dn)}
	for i := range 60 {
		deep = append(deep, group(fmt.Sprintf("g%d", i+1), unit(fmt.Sprintf("g%d", i))))
	}
	s := serve(t, nil, deep...)
	_, ok, err := open(t, users(s)+groupSearch(recursive)).Login(t.Context(), connector.Scopes{Groups: true}, "jane", "foo")
	if ok || err == nil || !strings.Contains(err.Error(), "deep") {
		t.Errorf("got %t, %v", ok, err)
	}
	many := []entry{user}
	for i := range 10_001 {
		many = append(many, group(fmt.Sprintf("g%d", i), user.dn))
	}
	s = serve(t, nil, many...)
	_, ok, err = open(t, users(s)+groupSearch(recursive)).Login(t.Context(), connector.Scopes{Groups: true}, "jane", "foo")
	if ok || err == nil || !strings.Contains(err.Error(), "10000 groups") {
		t.Errorf("got %t, %v", ok, err)
	}
}

func TestAllowedGroups(t *testing.T) {
	user := jane()
	s := serve(t, nil, user, group("child", user.dn), group("parent", unit("child")))
	for _, scopes := range []connector.Scopes{{OfflineAccess: true}, {OfflineAccess: true, Groups: true}} {
		for allowed, in := range map[string]bool{"child": true, "x, parent": true, "x": false, "Child": false} {
			c := open(t, users(s)+groupSearch(recursive)+"allowedGroups: ["+allowed+"]")
			id, ok, err := c.Login(t.Context(), scopes, "jane", "foo")
			_, isDenied := errors.AsType[*connector.Denied](err)
			if ok != in || isDenied == in {
				t.Errorf("%s, %+v: login: %t, %v", allowed, scopes, ok, err)
			}
			if in && (len(id.Groups) > 0) != scopes.Groups {
				t.Errorf("%s, %+v: groups %q", allowed, scopes, id.Groups)
			}
			if _, ok, err := c.Login(t.Context(), scopes, "jane", "wrong"); ok || err != nil {
				t.Errorf("%s, %+v: login with a wrong password: %t, %v", allowed, scopes, ok, err)
			}
		}
		c := open(t, users(s)+groupSearch(recursive)+"allowedGroups: [parent]")
		id := mustLogin(t, c, scopes, "jane", "foo")
		s.change(user, group("child", user.dn))
		_, err := c.Refresh(t.Context(), scopes, id)
		_, isDenied := errors.AsType[*connector.Denied](err)
		if !isDenied {
			t.Errorf("%+v: refresh: %v", scopes, err)
		}
		s.change(user, group("child", user.dn), group("parent", unit("child")))
	}
}
