package saml

import (
	"encoding/xml"
	"slices"

	roundtrip "github.com/mattermost/xml-roundtrip-validator"
)

// checkRoundtrip refuses a token that becomes another one when it is written and read again, as odd names do. Those whose
// names are plain, and text, which is escaped, don't: looking at them would take longer than all else together.
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

// isPlainName tells whether a name, with the prefix in the place of the namespace, is one that all parsers take apart alike.
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
