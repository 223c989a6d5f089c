package saml

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"encoding/xml"
	"errors"
	"fmt"
	"regexp"

	"github.com/beevik/etree"
)

// Bounds on what is decrypted for one response: an RSA operation takes about a millisecond.
const (
	maxUnwraps       = 100
	maxEncryptedKeys = 8 // of one element, for as many recipients
)

// errDecrypt is the only error for anything that goes wrong with keys and ciphers. An attacker who can tell wrong padding from
// a wrong key can decrypt any message (Bleichenbacher, Manger, and Jager and Somorovsky on XML Encryption).
var errDecrypt = errors.New("it can't be decrypted with the configured keys")

// contentCiphers are the ciphers of XML Encryption 1.1 section 5.2.
var contentCiphers = map[string]contentCipher{
	nsEnc11 + "aes128-gcm":      {keySize: 16, open: openGCM, authenticated: true},
	nsEnc11 + "aes192-gcm":      {keySize: 24, open: openGCM, authenticated: true},
	nsEnc11 + "aes256-gcm":      {keySize: 32, open: openGCM, authenticated: true},
	nsEncryption + "aes128-cbc": {keySize: 16, open: openCBC},
	nsEncryption + "aes192-cbc": {keySize: 24, open: openCBC},
	nsEncryption + "aes256-cbc": {keySize: 32, open: openCBC},
}

type contentCipher struct {
	keySize       int // bytes
	open          func(block cipher.Block, data []byte) ([]byte, error)
	authenticated bool
}

var oaepDigests = map[string]crypto.Hash{
	"":                                       crypto.SHA1,
	"http://www.w3.org/2000/09/xmldsig#sha1": crypto.SHA1,
	"http://www.w3.org/2001/04/xmlenc#sha256":       crypto.SHA256,
	"http://www.w3.org/2001/04/xmldsig-more#sha384": crypto.SHA384,
	"http://www.w3.org/2001/04/xmlenc#sha512":       crypto.SHA512,
}

var oaepMasks = map[string]crypto.Hash{
	"":                     crypto.SHA1,
	nsEnc11 + "mgf1sha1":   crypto.SHA1,
	nsEnc11 + "mgf1sha256": crypto.SHA256,
	nsEnc11 + "mgf1sha384": crypto.SHA384,
	nsEnc11 + "mgf1sha512": crypto.SHA512,
}

// A decrypter decrypts the parts of one response.
type decrypter struct {
	keys []*rsa.PrivateKey
	left int // RSA operations
}

// decrypt decrypts an EncryptedAssertion, EncryptedID or EncryptedAttribute (saml-core-2.0 section 6). It returns an element
// that has what was encrypted as its only child. around has the namespaces that were declared where the element arrived.
// Malleable ciphers are refused unless a signature covers the element.
func (d *decrypter) decrypt(ctx context.Context, el *etree.Element, around map[string]string, signed bool) (*etree.Element, error) {
	holder, err := d.decryptElement(ctx, el, around, signed)
	if err != nil {
		return nil, fmt.Errorf("the %s is refused: %w", el.Tag, err)
	}
	return holder, nil
}

func (d *decrypter) decryptElement(
	ctx context.Context, el *etree.Element, around map[string]string, signed bool,
) (*etree.Element, error) {
	if len(d.keys) == 0 {
		return nil, errors.New("no key is configured that it could be encrypted for")
	}
	data, err := required(el, nsEncryption, "EncryptedData")
	if err != nil {
		return nil, err
	}
	method, err := methodOf(data)
	if err != nil {
		return nil, err
	}
	content, known := contentCiphers[attribute(method, "Algorithm")]
	if !known {
		return nil, fmt.Errorf("the cipher %s is not accepted", quote(attribute(method, "Algorithm")))
	}
	if !content.authenticated && !signed {
		return nil, errors.New("the cipher is CBC, which is accepted only in a response that is signed as a whole")
	}
	sealed, err := cipherValue(data)
	if err != nil {
		return nil, err
	}
	keys, err := encryptedKeys(el, data)
	if err != nil {
		return nil, err
	}
	plain, err := d.open(ctx, keys, content, sealed)
	if err != nil {
		return nil, err
	}
	plain = withoutDeclaration(plain)
	namespaces := scope(el)
	borrow(namespaces, around, rootPrefix(plain))
	return parseWithin(plain, namespaces)
}

func methodOf(el *etree.Element) (*etree.Element, error) {
	return required(el, nsEncryption, "EncryptionMethod")
}

// cipherValue returns the bytes in an EncryptedData or EncryptedKey. A CipherReference, which would have to be fetched, is
// refused.
func cipherValue(el *etree.Element) ([]byte, error) {
	data, err := required(el, nsEncryption, "CipherData")
	if err != nil {
		return nil, err
	}
	value, err := required(data, nsEncryption, "CipherValue")
	if err != nil {
		return nil, err
	}
	return decodeText(value)
}

// An encryptedKey is the key of the content, encrypted for one recipient.
type encryptedKey struct {
	options rsa.OAEPOptions
	value   []byte
}

// encryptedKeys reads the keys beside the EncryptedData and in its KeyInfo: providers use either place.
func encryptedKeys(el, data *etree.Element) ([]encryptedKey, error) {
	elements := children(el, nsEncryption, "EncryptedKey")
	for _, keyInfo := range children(data, nsSignature, "KeyInfo") {
		elements = append(elements, children(keyInfo, nsEncryption, "EncryptedKey")...)
	}
	if len(elements) == 0 {
		return nil, errors.New("it has no EncryptedKey")
	}
	if len(elements) > maxEncryptedKeys {
		return nil, fmt.Errorf("it has more than %d EncryptedKeys", maxEncryptedKeys)
	}
	var keys []encryptedKey
	for _, element := range elements {
		key, err := readEncryptedKey(element)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// readEncryptedKey accepts only RSA-OAEP (XML Encryption 1.1 section 5.5.2).
func readEncryptedKey(el *etree.Element) (encryptedKey, error) {
	method, err := methodOf(el)
	if err != nil {
		return encryptedKey{}, err
	}
	transport := attribute(method, "Algorithm")
	if transport != nsEncryption+"rsa-oaep-mgf1p" && transport != nsEnc11+"rsa-oaep" {
		return encryptedKey{}, fmt.Errorf("the key transport %s is not accepted", quote(transport))
	}
	var key encryptedKey
	if key.options.Hash, err = hashOf(method, nsSignature, "DigestMethod", oaepDigests); err != nil {
		return encryptedKey{}, err
	}
	key.options.MGFHash = crypto.SHA1 // always, with the method of XML Encryption 1.0
	if transport == nsEnc11+"rsa-oaep" {
		if key.options.MGFHash, err = hashOf(method, nsEnc11, "MGF", oaepMasks); err != nil {
			return encryptedKey{}, err
		}
	}
	label, err := child(method, nsEncryption, "OAEPparams")
	if err != nil {
		return encryptedKey{}, err
	}
	if label != nil {
		if key.options.Label, err = decodeText(label); err != nil {
			return encryptedKey{}, err
		}
	}
	key.value, err = cipherValue(el)
	return key, err
}

func hashOf(method *etree.Element, namespace, name string, hashes map[string]crypto.Hash) (crypto.Hash, error) {
	el, err := child(method, namespace, name)
	if err != nil {
		return 0, err
	}
	algorithm := ""
	if el != nil {
		algorithm = attribute(el, "Algorithm")
	}
	hash, known := hashes[algorithm]
	if !known {
		return 0, fmt.Errorf("the %s %s of the key is not accepted", name, quote(algorithm))
	}
	return hash, nil
}

// open tries each of our keys on each of the encrypted ones.
func (d *decrypter) open(ctx context.Context, keys []encryptedKey, content contentCipher, sealed []byte) ([]byte, error) {
	for _, private := range d.keys {
		for _, key := range keys {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if d.left--; d.left < 0 {
				return nil, errors.New("too much of the response is encrypted")
			}
			secret, err := private.Decrypt(rand.Reader, key.value, &key.options)
			if err != nil || len(secret) != content.keySize {
				continue
			}
			block, err := aes.NewCipher(secret)
			if err != nil {
				continue
			}
			if plain, err := content.open(block, sealed); err == nil {
				return plain, nil
			}
		}
	}
	return nil, errDecrypt
}

// openGCM expects the nonce before the content and the tag after it (XML Encryption 1.1 section 5.2.4).
func openGCM(block cipher.Block, data []byte) ([]byte, error) {
	gcm, err := cipher.NewGCM(block)
	if err != nil || len(data) < gcm.NonceSize() {
		return nil, errDecrypt
	}
	return gcm.Open(nil, data[:gcm.NonceSize()], data[gcm.NonceSize():], nil)
}

// openCBC expects the initialization vector before the content. The last byte of the content is the length of the padding (XML
// Encryption 1.1 section 5.2).
func openCBC(block cipher.Block, data []byte) ([]byte, error) {
	size := block.BlockSize()
	if len(data) < 2*size || len(data)%size != 0 {
		return nil, errDecrypt
	}
	plain := make([]byte, len(data)-size)
	cipher.NewCBCDecrypter(block, data[:size]).CryptBlocks(plain, data[size:])
	padding := int(plain[len(plain)-1])
	if padding == 0 || padding > size {
		return nil, errDecrypt
	}
	return plain[:len(plain)-padding], nil
}

// declaration matches an XML declaration, which some providers leave at the start of what they encrypt.
var declaration = regexp.MustCompile(`^\x{FEFF}?\s*<\?xml\s[^<>]*\?>`)

// withoutDeclaration removes the XML declaration, which can't stand inside a document.
func withoutDeclaration(plain []byte) []byte { return plain[len(declaration.Find(plain)):] }

// rootName matches the start of the first element, with its prefix.
var rootName = regexp.MustCompile(`^\s*<([A-Za-z_][\w.-]*):`)

func rootPrefix(plain []byte) string {
	if found := rootName.FindSubmatch(plain); found != nil {
		return string(found[1])
	}
	return ""
}

// borrow adds declarations that providers rely on, although a signature may not cover them: exclusive canonicalization omits
// declarations around an element that it doesn't use, and use inside encrypted content doesn't count. Changing them in
// transit must not turn anything else into SAML: so only the prefix of the encrypted element itself, which is SAML's in any
// case, can get SAML's namespace this way.
func borrow(namespaces, around map[string]string, root string) {
	for prefix, uri := range around {
		if _, declared := namespaces[prefix]; declared || prefix == "" {
			continue
		}
		if uri != nsAssertion || prefix == root {
			namespaces[prefix] = uri
		}
	}
}

// parseWithin parses decrypted content as if it stood in the place of the encrypted element, with the namespaces declared
// there. It returns an element that has the content as its only child.
func parseWithin(plain []byte, namespaces map[string]string) (*etree.Element, error) {
	var b bytes.Buffer
	b.WriteString("<Decrypted")
	for prefix, uri := range namespaces {
		name := "xmlns:" + prefix
		if prefix == "" {
			name = "xmlns"
		}
		fmt.Fprintf(&b, ` %s="`, name)
		if err := xml.EscapeText(&b, []byte(uri)); err != nil {
			return nil, fmt.Errorf("a namespace: %w", err)
		}
		b.WriteString(`"`)
	}
	b.WriteString(">")
	b.Write(plain)
	b.WriteString("</Decrypted>")
	holder, err := parse(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("what was encrypted: %w", err)
	}
	if len(holder.ChildElements()) != 1 {
		return nil, errors.New("what was encrypted is not one element")
	}
	return holder, nil
}
