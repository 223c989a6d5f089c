package saml_test

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"testing"

	"github.com/beevik/etree"
)

// An encrypter encrypts elements of a document for one recipient.
type encrypter struct {
	key       *rsa.PublicKey
	cbc       bool
	noPadding bool   // CBC with invalid padding
	keySize   int    // bytes; 32 if zero
	transport string // an EncryptionMethod; RSA-OAEP of XML Encryption 1.0 if empty
	hash      crypto.Hash
	mask      crypto.Hash
	pkcs1     bool // RSA 1.5
	beside    bool // the key is beside the data, not in it
}

const (
	oaep10 = `<xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"/>`
	oaep11 = `<xenc:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#rsa-oaep">` +
		`<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>` +
		`<xenc11:MGF xmlns:xenc11="http://www.w3.org/2009/xmlenc11#" Algorithm="http://www.w3.org/2009/xmlenc11#mgf1sha256"/>` +
		`</xenc:EncryptionMethod>`
	rsa15 = `<xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-1_5"/>`
)

// encrypt replaces the first element with a name by an element that has it encrypted.
func (e encrypter) encrypt(name, by string) edit {
	return onTree(func(t testing.TB, root *etree.Element) {
		t.Helper()
		el := named(t, root, name)
		fragment := etree.NewDocument()
		fragment.SetRoot(el.Copy())
		plain, err := fragment.WriteToBytes()
		if err != nil {
			t.Fatal(err)
		}
		encrypted := etree.NewDocument()
		if err := encrypted.ReadFromString("<" + by + ">" + e.data(t, plain) + "</" + by + ">"); err != nil {
			t.Fatal(err)
		}
		el.Parent().InsertChildAt(el.Index(), encrypted.Root())
		el.Parent().RemoveChild(el)
	})
}

// data returns an EncryptedData, with the EncryptedKey in or beside it.
func (e encrypter) data(t testing.TB, plain []byte) string {
	t.Helper()
	if e.keySize == 0 {
		e.keySize = 32
	}
	if e.hash == 0 {
		e.hash, e.mask = crypto.SHA1, crypto.SHA1
	}
	if e.transport == "" {
		e.transport = oaep10
	}
	secret := make([]byte, e.keySize)
	if _, err := rand.Read(secret); err != nil {
		t.Fatal(err)
	}
	method := map[int]string{16: "aes128", 24: "aes192", 32: "aes256"}[e.keySize]
	if e.cbc {
		method = "http://www.w3.org/2001/04/xmlenc#" + method + "-cbc"
	} else {
		method = "http://www.w3.org/2009/xmlenc11#" + method + "-gcm"
	}
	key := `<xenc:EncryptedKey xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` +
		e.transport + cipherData(e.wrap(t, secret)) + `</xenc:EncryptedKey>`
	within, beside := `<ds:KeyInfo>`+key+`</ds:KeyInfo>`, ""
	if e.beside {
		within, beside = "", key
	}
	return `<xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#"` +
		` Type="http://www.w3.org/2001/04/xmlenc#Element"><xenc:EncryptionMethod Algorithm="` + method + `"/>` +
		within + cipherData(e.seal(t, secret, plain)) + `</xenc:EncryptedData>` + beside
}

func cipherData(value []byte) string {
	return `<xenc:CipherData><xenc:CipherValue>` + base64.StdEncoding.EncodeToString(value) + `</xenc:CipherValue></xenc:CipherData>`
}

func (e encrypter) wrap(t testing.TB, secret []byte) []byte {
	t.Helper()
	var wrapped []byte
	var err error
	if e.pkcs1 {
		//nolint:staticcheck // to test that it is refused
		wrapped, err = rsa.EncryptPKCS1v15(rand.Reader, e.key, secret)
	} else {
		wrapped, err = rsa.EncryptOAEPWithOptions(rand.Reader, e.key, secret, &rsa.OAEPOptions{Hash: e.hash, MGFHash: e.mask})
	}
	if err != nil {
		t.Fatal(err)
	}
	return wrapped
}

func (e encrypter) seal(t testing.TB, secret, plain []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(secret)
	if err != nil {
		t.Fatal(err)
	}
	if e.cbc {
		padding := aes.BlockSize - len(plain)%aes.BlockSize
		padded := append(append([]byte{}, plain...), make([]byte, padding)...)
		if !e.noPadding {
			padded[len(padded)-1] = byte(padding)
		}
		sealed := make([]byte, aes.BlockSize+len(padded))
		if _, err := rand.Read(sealed[:aes.BlockSize]); err != nil {
			t.Fatal(err)
		}
		cipher.NewCBCEncrypter(block, sealed[:aes.BlockSize]).CryptBlocks(sealed[aes.BlockSize:], padded)
		return sealed
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, gcm.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		t.Fatal(err)
	}
	return gcm.Seal(nonce, nonce, plain, nil)
}

// tamperCipher flips a bit of the ciphertext.
func tamperCipher(t testing.TB, root *etree.Element) {
	t.Helper()
	value := named(t, root, "xenc:EncryptedData/xenc:CipherData/xenc:CipherValue")
	sealed, err := base64.StdEncoding.DecodeString(value.Text())
	if err != nil {
		t.Fatal(err)
	}
	sealed[len(sealed)/2] ^= 1
	value.SetText(base64.StdEncoding.EncodeToString(sealed))
}
