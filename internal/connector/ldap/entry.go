package ldap

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	goldap "github.com/go-ldap/ldap/v3"

	"dex/internal/connector"
)

// isDN reports whether the name of an attribute stands for the entry's own DN.
func isDN(attribute string) bool { return strings.EqualFold(attribute, "DN") }

// values returns the values of an attribute. Servers answer with names in their own spelling (RFC 4512, section 2.5).
func values(e *goldap.Entry, attribute string) []string {
	if found := e.GetEqualFoldAttributeValues(attribute); len(found) > 0 {
		return found
	}
	if isDN(attribute) {
		return []string{e.DN}
	}
	return nil
}

// value returns the first value of an attribute; empty if there is none.
func value(e *goldap.Entry, attribute string) string {
	if all := values(e, attribute); len(all) > 0 {
		return all[0]
	}
	return ""
}

// isCutShort reports whether Active Directory returned only the first of many values (MS-ADTS, section 3.1.1.3.1.3.3).
func isCutShort(e *goldap.Entry, attribute string) bool {
	return slices.ContainsFunc(e.Attributes, func(a *goldap.EntryAttribute) bool {
		return strings.HasPrefix(strings.ToLower(a.Name), strings.ToLower(attribute)+";range=")
	})
}

// identity makes an identity from a user's entry. The error names everything that the entry lacks.
func (d *directory) identity(user *goldap.Entry, username string) (connector.Identity, error) {
	u := &d.config.UserSearch
	r := reader{entry: user, encoding: u.IDEncoding}
	id := connector.Identity{
		UserID:            r.text("id", u.IDAttr),
		Username:          r.text("name", u.NameAttr),
		PreferredUsername: r.text("user name", u.PreferredUsernameAttr),
		EmailVerified:     d.config.EmailVerified,
	}
	switch {
	case u.EmailSuffix == "":
		id.Email = r.text("e-mail address", u.EmailAttr)
	case u.NameAttr != "":
		id.Email = id.Username + "@" + u.EmailSuffix
	default:
		id.Email = r.spelling(u.Username, username) + "@" + u.EmailSuffix
	}
	return id, r.err()
}

// A reader reads attributes of a user's entry and collects what is wrong with them.
type reader struct {
	entry    *goldap.Entry
	encoding string // of an id that is not text
	lacking  string // the first thing that the user lacks, such as a name
	faults   []string
}

// fault notes that something can't be read from the entry.
func (r *reader) fault(what, format string, args ...any) {
	if r.lacking == "" {
		r.lacking = what
	}
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// text returns the first value of an attribute, or nothing if the attribute isn't configured.
func (r *reader) text(what, attribute string) string {
	if attribute == "" {
		return ""
	}
	raw, encode := value(r.entry, attribute), encodings[r.encoding]
	if what != "id" {
		encode = nil
	}
	text := readable(attribute, raw, encode)
	switch {
	case text == "":
		r.fault(what, "the attribute %q is missing", attribute)
	case !utf8.ValidString(text) && what == "id":
		r.fault(what, "the attribute %q is not text; see userSearch.idEncoding", attribute)
	case !utf8.ValidString(text):
		r.fault(what, "the attribute %q is not text", attribute)
	}
	return text
}

// spelling returns a user's name as the directory writes it; if there are several, the one that was typed. The typed text
// itself may be anything that the directory considers equal, and must not end up in an address.
func (r *reader) spelling(comparisons []string, typed string) string {
	var names []string
	for _, comparison := range comparisons {
		names = append(names, values(r.entry, attributeOf(comparison))...)
	}
	for _, same := range []func(name string) bool{
		func(name string) bool { return name == typed },
		func(name string) bool { return connector.FoldName(name) == connector.FoldName(typed) },
		func(name string) bool { return name != "" },
	} {
		if i := slices.IndexFunc(names, same); i >= 0 && utf8.ValidString(names[i]) {
			return names[i]
		}
	}
	r.fault("user name", "it has none of the attributes of userSearch.username that can be read: set userSearch.nameAttr for the address")
	return ""
}

// lacks are sentences about what a user lacks.
var lacks = map[string]string{
	"id":             "Your account has no user ID that can be used here.",
	"name":           "Your account has no name that can be used here.",
	"user name":      "Your account has no username that can be used here.",
	"e-mail address": "Your account has no email address that can be used here.",
}

// err returns what was wrong, as a *connector.Unusable.
func (r *reader) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	return &connector.Unusable{
		Reason: lacks[r.lacking],
		Cause:  fmt.Errorf("user's entry: %s", strings.Join(r.faults, ", ")),
	}
}
