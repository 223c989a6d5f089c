package sealed

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"dex/internal/store"
)

// A sealed document has one of two forms:
//
//	binary   store.SealedPrefix, key id, box
//	JSON     {"sealed": "<key id>.<box in base64url>"}
//
// where a box is a nonce and the ciphertext. JSON is for kinds of which a backend makes JSON objects, and for files.

const nonceLen = chacha20poly1305.NonceSizeX

// An envelope is a sealed document taken apart.
type envelope struct {
	keyID string
	box   []byte // nonce and ciphertext
}

// sealBox encrypts a document behind what out holds already.
func (k *key) sealBox(out []byte, kind, recordKey string, document []byte) []byte {
	nonce := make([]byte, nonceLen)
	_, _ = rand.Read(nonce) // never fails; 24 random bytes never meet again
	return k.aead.Seal(append(out, nonce...), nonce, document, binding(kind, recordKey))
}

// binding is what a box is bound to, so that a document can't be put in the place of another. Lengths go before texts:
// without them, kind "ab" with key "c" would be kind "a" with key "bc".
func binding(kind, recordKey string) []byte {
	b := binary.AppendUvarint(nil, uint64(len(kind)))
	b = append(b, kind...)
	b = binary.AppendUvarint(b, uint64(len(recordKey)))
	return append(b, recordKey...)
}

func (k *key) sealBinary(kind, recordKey string, document []byte) []byte {
	size := len(store.SealedPrefix) + keyIDLen + nonceLen + len(document) + k.aead.Overhead()
	out := append(make([]byte, 0, size), store.SealedPrefix...)
	return k.sealBox(append(out, k.id...), kind, recordKey, document)
}

func (k *key) sealText(kind, recordKey string, document []byte) string {
	return k.id + "." + base64.RawURLEncoding.EncodeToString(k.sealBox(nil, kind, recordKey, document))
}

func (k *key) sealJSON(kind, recordKey string, document []byte) []byte {
	// Base64url has nothing that JSON would escape.
	return []byte(`{"sealed":"` + k.sealText(kind, recordKey, document) + `"}`)
}

// parse takes a sealed document apart; ok is false for one in clear.
func parse(data []byte) (e envelope, ok bool, err error) {
	if rest, ok := bytes.CutPrefix(data, []byte(store.SealedPrefix)); ok {
		if len(rest) < keyIDLen+nonceLen {
			return envelope{}, true, fmt.Errorf("%w: it is cut short", ErrNotAuthentic)
		}
		return envelope{keyID: string(rest[:keyIDLen]), box: rest[keyIDLen:]}, true, nil
	}
	text, ok := sealedMember(data)
	if !ok {
		return envelope{}, false, nil
	}
	e, err = parseText(text)
	return e, true, err
}

// sealedMember returns the text of the JSON form. Other members don't matter: people may add some where the document is
// an object that they can edit.
func sealedMember(data []byte) (text string, ok bool) {
	// Most documents are in clear or binary, and none should be decoded twice.
	if !bytes.Contains(data, []byte(`"sealed"`)) {
		return "", false
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil {
		return "", false
	}
	member := members["sealed"]
	if len(member) == 0 || member[0] != '"' || json.Unmarshal(member, &text) != nil {
		return "", false
	}
	return text, true
}

func parseText(text string) (envelope, error) {
	keyID, encoded, ok := strings.Cut(text, ".")
	if !ok || len(keyID) != keyIDLen {
		return envelope{}, fmt.Errorf("%w: it does not begin with the id of a key", ErrNotAuthentic)
	}
	box, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(box) < nonceLen {
		return envelope{}, fmt.Errorf("%w: it is cut short or not base64", ErrNotAuthentic)
	}
	return envelope{keyID: keyID, box: box}, nil
}

// open decrypts what was sealed for a record.
func (k Keys) open(e envelope, kind, recordKey string) ([]byte, error) {
	opener := k.find(e.keyID)
	if opener == nil {
		return nil, k.missing(e.keyID)
	}
	document, err := opener.aead.Open(nil, e.box[:nonceLen], e.box[nonceLen:], binding(kind, recordKey))
	if err != nil {
		return nil, ErrNotAuthentic
	}
	return document, nil
}

// SealText encrypts the document of a record with the first key, as text; an error if there is none.
func (k Keys) SealText(kind, recordKey string, document []byte) (string, error) {
	if !k.Any() {
		return "", errNoKey
	}
	return k.keys[0].sealText(kind, recordKey, document), nil
}

// OpenText decrypts what SealText made for the same record; ErrSealed when the key is not among these, ErrNotAuthentic
// when it is not what SealText made.
func (k Keys) OpenText(kind, recordKey, text string) ([]byte, error) {
	e, err := parseText(text)
	if err != nil {
		return nil, err
	}
	return k.open(e, kind, recordKey)
}
