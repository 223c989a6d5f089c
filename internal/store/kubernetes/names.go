package kubernetes

import (
	"crypto/sha256"
	"encoding/base32"
	"regexp"

	"dex/internal/kubeapi"
)

// maxEncoded is the longest text whose encoded name is not too long: its 150 bytes and the 8 of the suffix become
// 253 characters.
const maxEncoded = 150

// lowerBase32 makes texts that names and labels may hold.
var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

var labelPattern = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`)

// encodedSuffix is what upstream writes behind a text before it encodes it.
const encodedSuffix = "\xcb\xf2\x9c\xe4\x84\x22\x23\x25"

// encode returns upstream's name for the object of a client's id or a user's e-mail address. It is reversible and grows
// with the text; false says that the text is too long for it.
func encode(text string) (string, bool) {
	if len(text) > maxEncoded {
		return "", false
	}
	return lowerBase32.EncodeToString([]byte(text + encodedSuffix)), true
}

// recordName returns the name of the object of one of our own records: 56 characters. None of upstream's objects in the
// same resources can have it. Those are random ids of 25 characters, hashes of 13, and openid-connect-keys.
func recordName(kind, key string) string {
	return "dex-" + hash(kind+"\x00"+key)
}

// hash returns 52 characters for a text of any length and any bytes.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return lowerBase32.EncodeToString(sum[:])
}

// kindLabel returns the value of the label recordLabel. That another kind may be spelled like the hash of this one is no
// harm: what a record is says the object itself, labels only select.
func kindLabel(kind string) string {
	if len(kind) <= kubeapi.MaxLabel && labelPattern.MatchString(kind) {
		return kind
	}
	return hash(kind)
}
