package ldap_test

import (
	"slices"
	"strings"
	"testing"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

// A key that only goes into a filter had to have the syntax of an attribute's name, so the server did not start with the
// usual recipe for nested groups in Active Directory.
var _ = faulttest.Add("C-01", func(t *testing.T) {
	const rule = "1.2.840.113556.1.4.1941"
	chain := entry{dn: unit("chain"), attributes: map[string][]string{"cn": {"Chain"}, "member/chain": {jane().dn}}}
	for name, settings := range map[string]string{
		"groupAttr":           groupSearch("userMatchers: [{userAttr: DN, groupAttr: 'member:" + rule + ":'}]"),
		"groupAttr, inChain":  groupSearch("nested: inChain, userMatchers: [{userAttr: DN, groupAttr: 'member:" + rule + ":'}]"),
		"recursionGroupAttr":  groupSearch("userMatchers: [{userAttr: DN, groupAttr: 'member:" + rule + ":', recursionGroupAttr: 'member:" + rule + ":'}]"),
		"userSearch.username": "  username: [uid, 'uid:" + rule + ":', 'mail:caseExactMatch:']\n" + groupSearch("userMatchers: [{userAttr: DN, groupAttr: 'member:"+rule+":'}]"),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil, jane(), chain)
			text := users(s) + settings
			if strings.HasPrefix(settings, " ") {
				text = plain(s) + "userSearch:\n  baseDN: '" + people + "'\n  nameAttr: cn\n" + settings
			}
			got := mustLogin(t, open(t, text), connector.Scopes{Groups: true}, "jane", "foo")
			if !slices.Equal(got.Groups, []string{"Chain"}) {
				t.Errorf("groups %q", got.Groups)
			}
			if want := "(member:" + rule + ":=" + jane().dn + ")"; s.asked(units)[0] != want {
				t.Errorf("searched for %q, want %q", s.asked(units), want)
			}
			for _, search := range s.searches {
				if slices.ContainsFunc(search.attributes, func(a string) bool { return strings.Contains(a, ":") }) {
					t.Errorf("asked for the attributes %q", search.attributes)
				}
			}
		})
	}
	t.Run("what is allowed", func(t *testing.T) {
		for form, good := range map[string]bool{
			"uid": true, "uid;lang-en": true, "uid:caseExactMatch:": true, "uid:dn:": true, "uid:dn:2.5.13.5:": true, "uid:": true,
			"uid:caseExactMatch": false, "uid::": false, "uid=": false, "(uid": false, "uid:a b:": false, "uid:a):": false, "uid:*:": false,
		} {
			for key, where := range map[string]string{
				"username":           "host: h\nuserSearch: {baseDN: dc=x, username: '" + form + "'}",
				"userMatchers":       "host: h\nuserSearch: {baseDN: dc=x, username: uid}\ngroupSearch: {baseDN: dc=x, nameAttr: cn, userMatchers: [{userAttr: uid, groupAttr: '" + form + "'}]}",
				"recursionGroupAttr": "host: h\nuserSearch: {baseDN: dc=x, username: uid}\ngroupSearch: {baseDN: dc=x, nameAttr: cn, userMatchers: [{userAttr: uid, groupAttr: uid, recursionGroupAttr: '" + form + "'}]}",
				"old groupAttr":      "host: h\nuserSearch: {baseDN: dc=x, username: uid}\ngroupSearch: {baseDN: dc=x, nameAttr: cn, userAttr: uid, groupAttr: '" + form + "'}",
			} {
				if _, problems := settings(t, where); problems.HasErrors() == good {
					t.Errorf("%s: %s: %v", key, form, problems)
				}
			}
		}
		for _, read := range []string{"idAttr", "nameAttr", "emailAttr", "preferredUsernameAttr", "memberOfAttr"} {
			where := "host: h\nuserSearch: {baseDN: dc=x, username: uid, " + read + ": 'uid:caseExactMatch:'}"
			if _, problems := settings(t, where); !problems.HasErrors() {
				t.Errorf("%s, which is read, has a matching rule", read)
			}
		}
	})
})
