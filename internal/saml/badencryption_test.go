package saml_test

import (
	"crypto/rsa"
	"strings"

	"dex/internal/saml"
)

func badEncryption(p *people) []bad {
	usual := signer{who: p.provider}
	response := usual.sign("_response1")
	own := encrypter{key: &p.service.PublicKey}
	to := func(e encrypter) edit {
		return inTurn(usual.sign("_assertion1"), e.encrypt("saml:Assertion", "saml:EncryptedAssertion"))
	}
	first := to(own)
	failed := "the EncryptedAssertion is refused: it can't be decrypted with the configured keys"
	cbc := own
	cbc.cbc = true
	unpadded := cbc
	unpadded.noPadding = true
	wrapped := inTurn(usual.sign("_assertion1"), replace("<saml:Assertion ", "<saml:Evil><saml:Assertion "),
		replace("</saml:Assertion>", "</saml:Assertion></saml:Evil>"), own.encrypt("saml:Evil", "saml:EncryptedAssertion"))
	return []bad{
		{name: "no key", sign: first, reader: func(r *saml.Reader) { r.Keys = nil }, want: "no key is configured"},
		{name: "encrypted for another", goodBy: first, sign: to(encrypter{key: &p.stranger.key.(*rsa.PrivateKey).PublicKey}), want: failed},
		{name: "ciphertext tampered with", sign: first, after: onTree(tamperCipher), want: failed},
		{name: "key of another length", sign: first, after: replace("aes256-gcm", "aes128-gcm"), want: failed},
		{name: "GCM relabelled as CBC", sign: first, after: replace("http://www.w3.org/2009/xmlenc11#aes256-gcm", "http://www.w3.org/2001/04/xmlenc#aes256-cbc"),
			want: "the cipher is CBC, which is accepted only in a response that is signed as a whole"},
		{name: "CBC in an unsigned response", goodBy: first, sign: to(cbc),
			want: "the cipher is CBC, which is accepted only in a response that is signed as a whole"},
		{name: "CBC with a wrong padding", goodBy: inTurn(to(cbc), usual.sign("_response1")), sign: inTurn(to(unpadded), usual.sign("_response1")), want: failed},
		{name: "RSA 1.5", goodBy: first, sign: to(encrypter{key: &p.service.PublicKey, pkcs1: true, transport: rsa15}), want: "rsa-1_5\" is not accepted"},
		{name: "RSA 1.5 relabelled as OAEP", goodBy: first, sign: to(encrypter{key: &p.service.PublicKey, pkcs1: true}), want: failed},
		{name: "cipher unknown", sign: first, after: replace("aes256-gcm", "rot13"), want: "the cipher"},
		{name: "encrypted and not signed", goodBy: first, sign: own.encrypt("saml:Assertion", "saml:EncryptedAssertion"),
			want: "neither the response nor its assertion is signed"},
		{name: "encrypted by a stranger who signed", goodBy: first,
			sign: inTurn(signer{who: p.stranger}.sign("_assertion1"), own.encrypt("saml:Assertion", "saml:EncryptedAssertion")),
			want: "it names a certificate that is not configured"},
		{name: "encrypted wrapping", goodBy: first, sign: wrapped, want: `there is an assertion within "Evil"`},
		{name: "encrypted beside another", sign: first, after: replace("</samlp:Response>", `<saml:Assertion ID="_evil"/></samlp:Response>`),
			want: "there is more than one assertion"},
		{name: "reference instead of a value", sign: first, after: inTurn(
			replace("<xenc:CipherValue>", `<xenc:CipherReference URI="https://evil.example/">`), replace("</xenc:CipherValue>", "</xenc:CipherReference>")),
			want: "CipherData has no CipherValue"},
		{name: "digest of the key unknown", goodBy: first, sign: to(encrypter{key: own.key, transport: strings.Replace(oaep11, "xmlenc#sha256", "xmlenc#md5", 1)}),
			want: `the DigestMethod "http://www.w3.org/2001/04/xmlenc#md5" of the key is not accepted`},
		{name: "NameID and EncryptedID", sign: response, before: inTurn(replace("<saml:NameID ", "<saml:NameID>admin</saml:NameID><saml:NameID "),
			own.encrypt("saml:NameID", "saml:EncryptedID")), want: "both a NameID and an EncryptedID"},
		{name: "EncryptedID without a key", sign: response, before: own.encrypt("saml:NameID", "saml:EncryptedID"),
			reader: func(r *saml.Reader) { r.Keys = nil }, want: "the EncryptedID is refused: no key is configured"},
		{name: "nine keys", sign: first, after: onTree(nineKeys), want: "more than 8 EncryptedKeys"},
		{name: "without a key", sign: first, after: without("<xenc:EncryptedKey", "</xenc:EncryptedKey>"), want: "it has no EncryptedKey"},
	}
}
