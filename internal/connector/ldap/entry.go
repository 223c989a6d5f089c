package ldap

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/google/uuid"

	"dex/internal/connector"
)

// isDN reports whether a name stands for the entry's own DN.
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

// identity makes an identity of a user's entry; the error names all that the entry lacks.
func (d *directory) identity(user *goldap.Entry, username string) (connector.Identity, error) {
	u := &d.config.UserSearch
	r := reader{entry: user}
	id := connector.Identity{
		UserID:            r.text(u.IDAttr),
		Username:          r.text(u.NameAttr),
		PreferredUsername: r.text(u.PreferredUsernameAttr),
		EmailVerified:     d.config.EmailVerified,
	}
	switch {
	case u.EmailSuffix == "":
		id.Email = r.text(u.EmailAttr)
	case u.NameAttr != "":
		id.Email = id.Username + "@" + u.EmailSuffix
	default:
		id.Email = u.spelling(user, username) + "@" + u.EmailSuffix
	}
	if len(r.faults) > 0 {
		return connector.Identity{}, fmt.Errorf("user's entry: %s", strings.Join(r.faults, ", "))
	}
	return id, nil
}

// spelling returns a user's name as the directory writes it: users may type it in any case.
func (u *UserSearch) spelling(user *goldap.Entry, username string) string {
	for _, comparison := range u.Username {
		for _, value := range values(user, attributeOf(comparison)) {
			if strings.EqualFold(value, username) {
				return value
			}
		}
	}
	return username
}

// A reader reads attributes of an entry and collects what is wrong with them.
type reader struct {
	entry  *goldap.Entry
	faults []string
}

// text returns the first value of an attribute; empty for the attribute without a name, which isn't configured.
func (r *reader) text(attribute string) string {
	if attribute == "" {
		return ""
	}
	text := readable(attribute, value(r.entry, attribute))
	switch {
	case text == "":
		r.faults = append(r.faults, fmt.Sprintf("the attribute %q is missing", attribute))
	case !utf8.ValidString(text):
		r.faults = append(r.faults, fmt.Sprintf("the attribute %q is not text", attribute))
	}
	return text
}

// readable returns a value in the form that people and tools write it in, for Active Directory's binary identifiers.
func readable(attribute, value string) string {
	switch {
	case strings.EqualFold(attribute, "objectGUID") && len(value) == 16:
		return guid([]byte(value))
	case strings.EqualFold(attribute, "objectSid") && len(value) >= 8 && len(value) == 8+4*int(value[1]):
		return sid([]byte(value))
	default:
		return value
	}
}

// guid writes a GUID, whose first three numbers are stored in little endian (MS-DTYP, section 2.3.4).
func guid(b []byte) string {
	var id uuid.UUID
	binary.BigEndian.PutUint32(id[0:], binary.LittleEndian.Uint32(b[0:]))
	binary.BigEndian.PutUint16(id[4:], binary.LittleEndian.Uint16(b[4:]))
	binary.BigEndian.PutUint16(id[6:], binary.LittleEndian.Uint16(b[6:]))
	copy(id[8:], b[8:])
	return id.String()
}

// sid writes a security identifier: its revision, its authority of six bytes and its subauthorities (MS-DTYP, section
// 2.4.2).
func sid(b []byte) string {
	authority := uint64(binary.BigEndian.Uint16(b[2:]))<<32 | uint64(binary.BigEndian.Uint32(b[4:]))
	text := fmt.Appendf(nil, "S-%d-%d", b[0], authority)
	for rest := b[8:]; len(rest) > 0; rest = rest[4:] {
		text = fmt.Appendf(text, "-%d", binary.LittleEndian.Uint32(rest))
	}
	return string(text)
}
