package rule

import (
	"net/mail"
	"strings"
)

// Access is who may use a client.
type Access struct {
	AllowedGroups []string `key:"allowedGroups" json:"allowedGroups,omitempty"` // one of these, if there are any; * stands for any characters
	DeniedGroups  []string `key:"deniedGroups" json:"deniedGroups,omitempty"`   // none of these
	// AllowedEmails and AllowedEmailDomains are whose verified e-mail addresses may; if there are any, it must be one of either.
	AllowedEmails       []string `key:"allowedEmails" json:"allowedEmails,omitempty"`
	AllowedEmailDomains []string `key:"allowedEmailDomains" json:"allowedEmailDomains,omitempty"`
	// AllowedScopes are those that the client may ask for, besides openid and those that stand for other clients; empty means all.
	AllowedScopes []string `key:"allowedScopes" json:"allowedScopes,omitempty"`

	Groups      *Groups      `key:"groups" json:"groups,omitempty"` // what becomes of them in its tokens
	AuthPolicy  []Refusal    `key:"authPolicy" json:"authPolicy,omitempty"`
	TokenPolicy *TokenPolicy `key:"tokenPolicy" json:"tokenPolicy,omitempty"`
}

// Check reports mistakes in the members of a client at a key.
func (a *Access) Check(on Reporter, key string) {
	checkList(on, key+".allowedGroups", a.AllowedGroups)
	checkList(on, key+".deniedGroups", a.DeniedGroups)
	checkEmails(on, key+".allowedEmails", a.AllowedEmails)
	checkDomains(on, key+".allowedEmailDomains", a.AllowedEmailDomains)
	checkList(on, key+".allowedScopes", a.AllowedScopes)
	if a.Groups != nil {
		a.Groups.check(on, key+".groups")
	}
	CheckRefusals(on, key+".authPolicy", a.AuthPolicy)
	a.TokenPolicy.Check(on, key+".tokenPolicy")
}

// Source is who may sign in through a connector, and what its users' groups are called.
type Source struct {
	AllowedDomains []string `key:"allowedDomains" json:"allowedDomains,omitempty"` // of verified e-mail addresses; empty means all users
	RequireGroups  []string `key:"requireGroups" json:"requireGroups,omitempty"`   // one of these; * stands for any characters

	Groups      *SourceGroups `key:"groups" json:"groups,omitempty"`
	AuthPolicy  []Refusal     `key:"authPolicy" json:"authPolicy,omitempty"`
	TokenPolicy *TokenPolicy  `key:"tokenPolicy" json:"tokenPolicy,omitempty"`
}

// Check reports mistakes in the members of a connector at a key.
func (s *Source) Check(on Reporter, key string) {
	checkDomains(on, key+".allowedDomains", s.AllowedDomains)
	checkList(on, key+".requireGroups", s.RequireGroups)
	if s.Groups != nil {
		s.Groups.check(on, key+".groups")
	}
	CheckRefusals(on, key+".authPolicy", s.AuthPolicy)
	s.TokenPolicy.Check(on, key+".tokenPolicy")
}

func checkEmails(on Reporter, key string, addresses []string) {
	checkList(on, key, addresses)
	for i, address := range addresses {
		parsed, err := mail.ParseAddress(address)
		if address != "" && (err != nil || parsed.Address != address) {
			on.Errorf(item(key, i), "%q is not an e-mail address; whole domains belong in allowedEmailDomains", address)
		}
	}
}

func checkDomains(on Reporter, key string, domains []string) {
	checkList(on, key, domains)
	for i, domain := range domains {
		if domain != "" && (strings.ContainsAny(domain, "@* /") || strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, ".")) {
			on.Errorf(item(key, i), "%q must be a domain, as in example.net; subdomains must be listed too", domain)
		}
	}
}

// Emails are addresses and domains, ready to be compared. Both ignore case, as mail does.
type Emails struct{ addresses, domains map[string]bool }

// NewEmails returns the set of some addresses, and all of some domains.
func NewEmails(addresses, domains []string) *Emails {
	return &Emails{folded(addresses), folded(domains)}
}

func folded(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[lowerASCII(name)] = true
	}
	return set
}

// Has reports whether an address is in the set. Only one that can't be read otherwise is: a quoted part before the @ may have another one.
func (e *Emails) Has(address string) bool {
	address = lowerASCII(address)
	local, domain, ok := strings.Cut(address, "@")
	if !ok || local == "" || strings.Contains(domain, "@") {
		return false
	}
	return e.addresses[address] || e.domains[domain]
}

// lowerASCII leaves other letters as they are: some of those in lower case are ASCII letters, which another mailbox may have.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
