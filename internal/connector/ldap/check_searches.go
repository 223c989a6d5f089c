package ldap

import (
	"fmt"
	"slices"
	"strings"
)

func (c *Config) checkUserSearch(check *checker) {
	u := &c.UserSearch
	check.required("userSearch.baseDN", u.BaseDN == "", "is missing: where the users are, such as ou=People,dc=example,dc=org")
	check.baseDN("userSearch.baseDN", u.BaseDN)
	check.required("userSearch.username", len(u.Username) == 0,
		"is missing: the attribute that is compared with the name that users type, such as uid or sAMAccountName, or a list of them")
	for i, name := range u.Username {
		key := "userSearch.username"
		if len(u.Username) > 1 || check.section.Has(key+"[0]") {
			key = fmt.Sprintf("%s[%d]", key, i)
		}
		check.comparison(key, name)
		switch {
		case name == "":
			check.fail(key, "must not be empty: it is the name of an attribute")
		case isDN(name):
			check.warn(key, "finds nobody: a DN can't be searched for; use distinguishedName or entryDN if the server has it")
		}
	}
	check.filter("userSearch.filter", u.Filter)
	check.scope("userSearch.scope", u.Scope)
	for key, name := range map[string]string{
		"idAttr": u.IDAttr, "emailAttr": u.EmailAttr, "nameAttr": u.NameAttr,
		"preferredUsernameAttr": u.PreferredUsernameAttr, "memberOfAttr": u.MemberOfAttr,
	} {
		check.attribute("userSearch."+key, name)
	}
	if _, ok := encodings[u.IDEncoding]; !ok {
		check.fail("userSearch.idEncoding", `%q is not allowed; allowed are "hex", "base64" and "guid", or nothing`, u.IDEncoding)
	}
	if suffix, found := strings.CutPrefix(u.EmailSuffix, "@"); found {
		check.warn("userSearch.emailSuffix", "is taken without the @ before it, which is put there anyway")
		u.EmailSuffix = suffix
	}
}

func (c *Config) checkGroupSearch(check *checker) {
	g := &c.GroupSearch
	matchers, deprecated := g.matchers()
	key := "groupSearch.userMatchers[%d]."
	if deprecated {
		key = "groupSearch."
		check.warn("groupSearch.userAttr", "userAttr and groupAttr are deprecated here: write userMatchers: [{userAttr: %s, groupAttr: %s}]",
			g.UserAttr, g.GroupAttr)
		if len(g.UserMatchers) > 0 {
			check.warn("groupSearch.userMatchers", "has no effect, because its first item has no userAttr")
		}
	}
	check.baseDN("groupSearch.baseDN", g.BaseDN)
	check.filter("groupSearch.filter", g.Filter)
	check.scope("groupSearch.scope", g.Scope)
	check.attribute("groupSearch.nameAttr", g.NameAttr)
	if g.Nested != "" && g.Nested != nestedInChain {
		check.fail("groupSearch.nested", "%q is not allowed; allowed is %q, or nothing", g.Nested, nestedInChain)
	}
	switch {
	case g.BaseDN == "" && len(matchers) > 0:
		check.warn("groupSearch.baseDN", "is empty: no groups are searched")
	case g.BaseDN != "" && len(matchers) == 0:
		check.warn("groupSearch.userMatchers", "is missing: no groups are searched; give userMatchers: [{userAttr: DN, groupAttr: member}], "+
			"for example")
	case g.BaseDN != "":
		check.required("groupSearch.nameAttr", g.NameAttr == "", "is missing: the attribute that is a group's name, such as cn")
	}
	for i, m := range matchers {
		prefix := key
		if !deprecated {
			prefix = fmt.Sprintf(key, i)
		}
		g.checkMatcher(check, prefix, m)
	}
}

func (g *GroupSearch) checkMatcher(check *checker, prefix string, m UserMatcher) {
	check.attribute(prefix+"userAttr", m.UserAttr)
	check.comparison(prefix+"groupAttr", m.GroupAttr)
	check.comparison(prefix+"recursionGroupAttr", m.RecursionGroupAttr)
	if m.UserAttr == "" {
		check.warn(prefix+"userAttr", "is empty: this matcher finds no groups")
		return
	}
	check.required(prefix+"groupAttr", m.GroupAttr == "", "is missing: the attribute of a group that is compared with the user's %s, "+
		"such as member", m.UserAttr)
	for key, comparison := range map[string]string{"groupAttr": m.GroupAttr, "recursionGroupAttr": m.RecursionGroupAttr} {
		if isDN(attributeOf(comparison)) {
			check.warn(prefix+key, "finds no group: a DN can't be searched for; use distinguishedName or entryDN if the server has it")
		}
	}
	if g.Nested != nestedInChain {
		return
	}
	if !isDN(m.UserAttr) && !strings.EqualFold(m.UserAttr, "distinguishedName") {
		check.fail(prefix+"userAttr", "must be DN, because nested is %s: the server follows DNs", nestedInChain)
	}
	if attribute := attributeOf(m.GroupAttr); attribute != m.GroupAttr && m.GroupAttr != inChain(attribute) {
		check.fail(prefix+"groupAttr", "must have no matching rule, because nested is %s, which is one: write %s", nestedInChain, attribute)
	}
	if m.RecursionGroupAttr != "" {
		check.warn(prefix+"recursionGroupAttr", "has no effect, because nested is %s: the server finds the groups of groups", nestedInChain)
	}
}

func (c *Config) checkAllowedGroups(check *checker) {
	const key = "allowedGroups"
	if len(c.AllowedGroups) == 0 {
		check.required(key, check.section.Has(key), "names no group: nobody could log in; remove it to let everybody in")
		return
	}
	if slices.Contains(c.AllowedGroups, "") {
		check.fail(key, "must not have an empty name in it")
	}
	if matchers, _ := c.GroupSearch.matchers(); c.UserSearch.MemberOfAttr == "" && (c.GroupSearch.BaseDN == "" || len(matchers) == 0) {
		check.fail(key, "lets nobody in, because no groups are looked up; configure groupSearch or userSearch.memberOfAttr")
	}
}
