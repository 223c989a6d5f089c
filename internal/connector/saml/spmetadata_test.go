package saml_test

import (
	"encoding/base64"
	"encoding/xml"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An spRole is what our metadata says about us, in the order of the document.
type spRole struct {
	Signs   bool     `xml:"AuthnRequestsSigned,attr"`
	Wants   bool     `xml:"WantAssertionsSigned,attr"`
	Speaks  string   `xml:"protocolSupportEnumeration,attr"`
	Content []spPart `xml:",any"`
}

type spPart struct {
	XMLName     xml.Name
	Use         string `xml:"use,attr"`
	Binding     string `xml:"Binding,attr"`
	Location    string `xml:"Location,attr"`
	Response    string `xml:"ResponseLocation,attr"`
	Index       string `xml:"index,attr"`
	Default     string `xml:"isDefault,attr"`
	Text        string `xml:",chardata"`
	Certificate string `xml:"http://www.w3.org/2000/09/xmldsig# KeyInfo>X509Data>X509Certificate"`
	Methods     []struct {
		Algorithm string `xml:"Algorithm,attr"`
	} `xml:"EncryptionMethod"`
}

func TestMetadataOfOurs(t *testing.T) {
	p := people()
	key := func(use string, of holder) spPart {
		part := spPart{Use: use, Certificate: base64.StdEncoding.EncodeToString(of.certificate.Raw)}
		part.XMLName.Local = "KeyDescriptor"
		return part
	}
	rest := []spPart{
		{
			XMLName: xml.Name{Local: "SingleLogoutService"}, Location: ownLogoutURL, Response: logoutURL,
			Binding: "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect",
		},
		{
			XMLName: xml.Name{Local: "SingleLogoutService"}, Location: ownLogoutURL, Response: logoutURL,
			Binding: "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST",
		},
		{XMLName: xml.Name{Local: "NameIDFormat"}, Text: persistent},
		{
			XMLName: xml.Name{Local: "AssertionConsumerService"}, Location: callbackURL, Index: "0", Default: "true",
			Binding: "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST",
		},
	}
	for name, c := range map[string]struct {
		settings, entityID string
		signs              bool
		keys               []spPart
		methods            int // of encryption
	}{
		"no key": {entityID: callbackURL},
		"RSA": {
			settings: "entityIssuer: https://dex.test/?a&b\nsignRequests: true\n" + p.dex.spKeys(t), entityID: "https://dex.test/?a&b",
			signs: true, keys: []spPart{key("signing", p.dex), key("encryption", p.dex)}, methods: 3,
		},
		"ECDSA": {settings: p.curve.spKeys(t), entityID: callbackURL, keys: []spPart{key("signing", p.curve)}},
	} {
		t.Run(name, func(t *testing.T) {
			document, media, err := open(t, usual+c.settings+"\n"+p.idp.caData()).Metadata(t.Context())
			if err != nil || media != "application/samlmetadata+xml" {
				t.Fatalf("media type %s: %v", media, err)
			}
			var got struct {
				XMLName  xml.Name `xml:"urn:oasis:names:tc:SAML:2.0:metadata EntityDescriptor"`
				EntityID string   `xml:"entityID,attr"`
				Role     spRole   `xml:"urn:oasis:names:tc:SAML:2.0:metadata SPSSODescriptor"`
			}
			if err := xml.Unmarshal(document, &got); err != nil {
				t.Fatal(err)
			}
			methods := 0
			for i := range got.Role.Content {
				methods += len(got.Role.Content[i].Methods)
				got.Role.Content[i].XMLName.Space, got.Role.Content[i].Methods = "", nil
			}
			want := spRole{
				Signs: c.signs, Wants: true, Speaks: "urn:oasis:names:tc:SAML:2.0:protocol", Content: append(c.keys, rest...),
			}
			if diff := cmp.Diff(want, got.Role); diff != "" {
				t.Errorf("metadata (-want +got):\n%s", diff)
			}
			if got.EntityID != c.entityID || methods != c.methods {
				t.Errorf("entityID %s with %d methods of encryption", got.EntityID, methods)
			}
		})
	}
}
