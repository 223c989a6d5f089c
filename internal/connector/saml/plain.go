package saml

import (
	"bytes"
	"encoding/xml"
	"slices"
)

// unmarshal decodes a document that package saml has checked. encoding/xml matches attributes whatever their namespace is.
// Those of SAML have none, and anybody may add others (saml-metadata-2.0 section 2.2).
func unmarshal(document []byte, into any) error {
	return xml.NewTokenDecoder(plain{xml.NewDecoder(bytes.NewReader(document))}).Decode(into)
}

// plain leaves out attributes that have a namespace or declare one.
type plain struct{ *xml.Decoder }

// Token implements xml.TokenReader.
func (p plain) Token() (xml.Token, error) {
	token, err := p.Decoder.Token()
	if start, ok := token.(xml.StartElement); ok {
		start.Attr = slices.DeleteFunc(start.Attr, func(a xml.Attr) bool { return a.Name.Space != "" || a.Name.Local == "xmlns" })
		return start, err
	}
	return token, err
}
