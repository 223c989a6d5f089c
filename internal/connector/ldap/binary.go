package ldap

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// encodings are the values of idEncoding, with what turns bytes into text; nil leaves them as they are.
var encodings = map[string]func([]byte) string{
	"":       nil,
	"hex":    hex.EncodeToString,
	"base64": base64.StdEncoding.EncodeToString,
	"guid":   guid,
}

// readable returns a value as text: in the configured encoding if there is one, and otherwise, for identifiers that are
// known to be binary, in their usual form.
func readable(attribute, value string, encode func([]byte) string) string {
	if value != "" && encode != nil {
		return encode([]byte(value))
	}
	switch strings.ToLower(attribute) {
	case "objectguid":
		if len(value) == guidLength {
			return guid([]byte(value))
		}
	case "ms-ds-consistencyguid": // mostly a copy of objectGUID, but it may be anything
		if len(value) == guidLength && !isPrintable(value) {
			return guid([]byte(value))
		}
	case "guid": // eDirectory's
		if len(value) == guidLength && !isPrintable(value) {
			return uuid.UUID([]byte(value)).String()
		}
	case "objectsid":
		if len(value) >= 8 && len(value) == 8+4*int(value[1]) {
			return sid([]byte(value))
		}
	}
	return value
}

func isPrintable(value string) bool {
	return utf8.ValidString(value) && !strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) })
}

const guidLength = 16

// guid writes a GUID as Windows does: its first three numbers are stored in little endian (MS-DTYP, section 2.3.4). Bytes of
// another length are written in hexadecimal.
func guid(b []byte) string {
	if len(b) != guidLength {
		return hex.EncodeToString(b)
	}
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
