package ldap

import (
	"strings"

	goldap "github.com/go-ldap/ldap/v3"
)

// sameDN compares DNs as directories do: regardless of case, spaces between their parts, and how characters are escaped.
func sameDN(a, b string) bool {
	first, err := goldap.ParseDN(a)
	if err != nil {
		return strings.EqualFold(a, b)
	}
	second, err := goldap.ParseDN(b)
	if err != nil {
		return strings.EqualFold(a, b)
	}
	return first.EqualFold(second)
}

// dnKey returns a key that is the same for all spellings of a DN.
func dnKey(dn string) string {
	if parsed, err := goldap.ParseDN(dn); err == nil {
		dn = parsed.String()
	}
	return strings.ToLower(dn)
}

// groupName returns the name of a group that a user's entry refers to: the first value of a DN, or the name itself.
func groupName(reference string) string {
	dn, err := goldap.ParseDN(reference)
	if err != nil || len(dn.RDNs) == 0 || len(dn.RDNs[0].Attributes) == 0 {
		return reference
	}
	return dn.RDNs[0].Attributes[0].Value
}
