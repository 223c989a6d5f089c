package ldap

import (
	"testing"

	goldap "github.com/go-ldap/ldap/v3"
)

// FuzzUserFilter checks that whatever is typed as a name is only ever compared with each attribute.
func FuzzUserFilter(f *testing.F) {
	for _, name := range []string{"jane", "", "*", "a*b", ")(uid=*", `\2a`, `\`, "josé", "名前", "\x00", "\xff", "a:=b", "&(a=b)", " x "} {
		f.Add(name)
	}
	attributes := comparisons{"uid", "mail", "sAMAccountName"}
	f.Fuzz(func(t *testing.T, name string) {
		for _, extra := range []string{"", "(objectClass=person)"} {
			u := UserSearch{Username: attributes, Filter: extra}
			filter, err := goldap.CompileFilter(u.filter(name))
			if err != nil {
				t.Fatalf("%q: %v", u.filter(name), err)
			}
			if extra != "" {
				if filter.Tag != goldap.FilterAnd || len(filter.Children) != 2 {
					t.Fatalf("%q is not the filter and the names", u.filter(name))
				}
				filter = filter.Children[1]
			}
			if filter.Tag != goldap.FilterOr || len(filter.Children) != len(attributes) {
				t.Fatalf("%q does not have each attribute once", u.filter(name))
			}
			for i, assertion := range filter.Children {
				if assertion.Tag != goldap.FilterEqualityMatch ||
					assertion.Children[0].Value != attributes[i] || assertion.Children[1].Value != name {
					t.Errorf("%q: assertion %d is %v", u.filter(name), i, assertion.Children)
				}
			}
		}
	})
}

func TestSpellingsOfDNs(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"cn=a,dc=b", "CN=A, DC=B", true},
		{"cn=Jürgen,dc=b", `cn=J\c3\bcrgen,dc=b`, true},
		{`cn=a\,b,dc=c`, `cn=a\2cb,dc=c`, true},
		{`cn=a\,b,dc=c`, "cn=a,cn=b,dc=c", false},
		{"cn=a,dc=b", "cn=a,dc=bb", false},
		{"cn=a+ou=b,dc=c", "ou=b+cn=a,dc=c", true},
		{"no DN", "NO dn", true},
		{"cn=a", "no DN", false},
		{"no DN", "cn=a", false},
	} {
		if got := sameDN(test.a, test.b); got != test.same {
			t.Errorf("%q and %q: got %t", test.a, test.b, got)
		}
		if got := dnKey(test.a) == dnKey(test.b); got != test.same {
			t.Errorf("keys of %q and %q: got %t", test.a, test.b, got)
		}
	}
}
