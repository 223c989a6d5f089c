package saml

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"strconv"

	"github.com/beevik/etree"
)

// mediaType is the media type of metadata (saml-metadata-2.0 section 4.1.1).
const mediaType = "application/samlmetadata+xml"

// encryptionMethods are the ones that providers should use. Unlike CBC, they can't be tampered with.
var encryptionMethods = []string{
	"http://www.w3.org/2009/xmlenc11#aes256-gcm",
	"http://www.w3.org/2009/xmlenc11#aes128-gcm",
	"http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p",
}

// Metadata implements connector.Metadata. It describes us to the provider (saml-metadata-2.0 section 2.4.4), with the parts in
// the order of the schema.
func (s *source) Metadata(context.Context) (document []byte, media string, err error) {
	entity := etree.NewElement("EntityDescriptor")
	entity.CreateAttr("xmlns", nsMetadata)
	entity.CreateAttr("entityID", s.entityID)
	role := entity.CreateElement("SPSSODescriptor")
	role.CreateAttr("AuthnRequestsSigned", strconv.FormatBool(s.config.SignRequests))
	role.CreateAttr("WantAssertionsSigned", strconv.FormatBool(!s.config.InsecureSkipSignatureValidation))
	role.CreateAttr("protocolSupportEnumeration", nsProtocol)
	if pair := s.keys.current(); pair != nil {
		describeKey(role, pair, "signing")
		if _, ok := pair.key.(*rsa.PrivateKey); ok {
			describeKey(role, pair, "encryption")
		}
	}
	if s.env.OwnLogoutURL != "" {
		for _, binding := range []string{urnRedirect, urnPost} {
			logout := role.CreateElement("SingleLogoutService")
			logout.CreateAttr("Binding", binding)
			logout.CreateAttr("Location", s.env.OwnLogoutURL)
			logout.CreateAttr("ResponseLocation", s.env.LogoutURL)
		}
	}
	if s.nameFormat != "" {
		role.CreateElement("NameIDFormat").SetText(s.nameFormat)
	}
	acs := role.CreateElement("AssertionConsumerService")
	acs.CreateAttr("Binding", urnPost)
	acs.CreateAttr("Location", s.acs)
	acs.CreateAttr("index", "0")
	acs.CreateAttr("isDefault", "true")
	document, err = write(entity)
	return document, mediaType, err
}

func describeKey(role *etree.Element, pair *keyPair, use string) {
	key := role.CreateElement("KeyDescriptor")
	key.CreateAttr("use", use)
	info := child(key, nsSignature, "KeyInfo")
	info.CreateElement("X509Data").CreateElement("X509Certificate").
		SetText(base64.StdEncoding.EncodeToString(pair.certificate.Raw))
	if use != "encryption" {
		return
	}
	for _, algorithm := range encryptionMethods {
		key.CreateElement("EncryptionMethod").CreateAttr("Algorithm", algorithm)
	}
}
