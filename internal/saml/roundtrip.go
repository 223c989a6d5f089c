package saml

import (
	"encoding/xml"
	"slices"

	roundtrip "github.com/mattermost/xml-roundtrip-validator"
)

// checkRoundtrip refuses a token that changes when it is written and read again, as odd names do. Tokens with plain names, and
// text, which is escaped, are safe: checking them would take longer than everything else together.
func checkRoundtrip(token xml.Token) error {
	if isPlain(token) {
		return nil
	}
	return roundtrip.CheckToken(token)
}

func isPlain(token xml.Token) bool {
	switch token := token.(type) {
	case xml.StartElement:
		return isPlainName(token.Name) && !slices.ContainsFunc(token.Attr, func(a xml.Attr) bool { return !isPlainName(a.Name) })
	case xml.EndElement:
		return isPlainName(token.Name)
	case xml.CharData:
		return true
	}
	return false
}

// isPlainName reports whether all parsers take a name, with the prefix in the place of the namespace, apart in the same way.
func isPlainName(name xml.Name) bool {
	return (name.Space == "" || isASCIIName(name.Space)) && isASCIIName(name.Local)
}

func isASCIIName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return s != ""
}
