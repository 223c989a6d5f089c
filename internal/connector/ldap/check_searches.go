package ldap

import (
	"fmt"
	"slices"
	"strings"

	"dex/internal/connector/settings"
)

func (c *Config) checkUserSearch(check *settings.Check) {
	u := &c.UserSearch
	check.Required("userSearch.baseDN", u.BaseDN == "", "is missing: where the users are, such as ou=People,dc=example,dc=org")
	checkBaseDN(check, "userSearch.baseDN", u.BaseDN)
	check.Required("userSearch.username", len(u.Username) == 0,
		"is missing: the attribute that is compared with the name that users type, such as uid or sAMAccountName, or a list of them")
	for i, name := range u.Username {
		key := "userSearch.username"
		if len(u.Username) > 1 || check.Has(key+"[0]") {
			key = fmt.Sprintf("%s[%d]", key, i)
		}
		checkComparison(check, key, name)
		switch {
		case name == "":
			check.Fail(key, "must not be empty: it is the name of an attribute")
		case isDN(name):
			check.Warn(key, "finds nobody: a DN can't be searched for; use distinguishedName or entryDN if the server has it")
		}
	}
	checkFilter(check, "userSearch.filter", u.Filter)
	checkScope(check, "userSearch.scope", u.Scope)
	for key, name := range map[string]string{
		"idAttr": u.IDAttr, "emailAttr": u.EmailAttr, "nameAttr": u.NameAttr,
		"preferredUsernameAttr": u.PreferredUsernameAttr, "memberOfAttr": u.MemberOfAttr,
	} {
		checkAttribute(check, "userSearch."+key, name)
	}
	check.OneOf("userSearch.idEncoding", u.IDEncoding, "hex", "base64", "guid")
	if suffix, found := strings.CutPrefix(u.EmailSuffix, "@"); found {
		check.Warn("userSearch.emailSuffix", "must be given without the @, which is added anyway")
		u.EmailSuffix = suffix
	}
}

func (c *Config) checkGroupSearch(check *settings.Check) {
	g := &c.GroupSearch
	matchers, deprecated := g.matchers()
	key := "groupSearch.userMatchers[%d]."
	if deprecated {
		key = "groupSearch."
		check.Warn("groupSearch.userAttr", "userAttr and groupAttr are deprecated here: write userMatchers: [{userAttr: %s, groupAttr: %s}]",
			g.UserAttr, g.GroupAttr)
		if len(g.UserMatchers) > 0 {
			check.Warn("groupSearch.userMatchers", "has no effect, because its first item has no userAttr")
		}
	}
	checkBaseDN(check, "groupSearch.baseDN", g.BaseDN)
	checkFilter(check, "groupSearch.filter", g.Filter)
	checkScope(check, "groupSearch.scope", g.Scope)
	checkAttribute(check, "groupSearch.nameAttr", g.NameAttr)
	if g.Nested != "" && g.Nested != nestedInChain {
		check.Fail("groupSearch.nested", "must be %s or empty, not %q", nestedInChain, g.Nested)
	}
	switch {
	case g.BaseDN == "" && len(matchers) > 0:
		check.Warn("groupSearch.baseDN", "is empty: no groups are searched")
	case g.BaseDN != "" && len(matchers) == 0:
		check.Warn("groupSearch.userMatchers", "is missing: no groups are searched; give userMatchers: [{userAttr: DN, groupAttr: member}], "+
			"for example")
	case g.BaseDN != "":
		check.Required("groupSearch.nameAttr", g.NameAttr == "", "is missing: the attribute that is a group's name, such as cn")
	}
	for i, m := range matchers {
		prefix := key
		if !deprecated {
			prefix = fmt.Sprintf(key, i)
		}
		g.checkMatcher(check, prefix, m)
	}
}

func (g *GroupSearch) checkMatcher(check *settings.Check, prefix string, m UserMatcher) {
	checkAttribute(check, prefix+"userAttr", m.UserAttr)
	checkComparison(check, prefix+"groupAttr", m.GroupAttr)
	checkComparison(check, prefix+"recursionGroupAttr", m.RecursionGroupAttr)
	if m.UserAttr == "" {
		check.Warn(prefix+"userAttr", "is empty: this matcher finds no groups")
		return
	}
	check.Required(prefix+"groupAttr", m.GroupAttr == "", "is missing: the attribute of a group that is compared with the user's %s, "+
		"such as member", m.UserAttr)
	for key, comparison := range map[string]string{"groupAttr": m.GroupAttr, "recursionGroupAttr": m.RecursionGroupAttr} {
		if isDN(attributeOf(comparison)) {
			check.Warn(prefix+key, "finds no group: a DN can't be searched for; use distinguishedName or entryDN if the server has it")
		}
	}
	if g.Nested != nestedInChain {
		return
	}
	if !isDN(m.UserAttr) && !strings.EqualFold(m.UserAttr, "distinguishedName") {
		check.Fail(prefix+"userAttr", "must be DN, because nested is %s: the server follows DNs", nestedInChain)
	}
	if attribute := attributeOf(m.GroupAttr); attribute != m.GroupAttr && m.GroupAttr != inChain(attribute) {
		check.Fail(prefix+"groupAttr", "must have no matching rule, because nested is %s, which is one: write %s", nestedInChain, attribute)
	}
	if m.RecursionGroupAttr != "" {
		check.Warn(prefix+"recursionGroupAttr", "has no effect, because nested is %s: the server finds the groups of groups", nestedInChain)
	}
}

func (c *Config) checkAllowedGroups(check *settings.Check) {
	const key = "allowedGroups"
	if len(c.AllowedGroups) == 0 {
		check.Required(key, check.Has(key), "names no group: nobody could log in; remove it to let everybody in")
		return
	}
	if slices.Contains(c.AllowedGroups, "") {
		check.Fail(key, "must not have an empty name in it")
	}
	if matchers, _ := c.GroupSearch.matchers(); c.UserSearch.MemberOfAttr == "" && (c.GroupSearch.BaseDN == "" || len(matchers) == 0) {
		check.Fail(key, "lets nobody in, because no groups are looked up; configure groupSearch or userSearch.memberOfAttr")
	}
}
