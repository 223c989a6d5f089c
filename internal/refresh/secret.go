package refresh

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"strconv"
	"strings"

	"dex/internal/id"
)

// The secret of a refresh token is "generation-secret-tag". The storage has only a hash of the secret, so that nobody who
// reads it can refresh. The tag is a MAC by the family's key: it proves, without a list of old tokens, that the family gave the
// token out, however many have followed since. The next secret is derived from the one that is presented and a salt in the
// record: so any replica can give the same next token again to whoever presents the same one, and neither an old token nor the
// record alone says what it is.

// lengths, in bytes
const (
	secretLen = id.SecretLen
	tagLen    = 10
)

// A presented secret is what a client sent, taken apart.
type presented struct {
	text       string // all of it
	generation uint64
	secret     string
	tag        string // empty in upstream's tokens
}

func readSecret(text string) presented {
	parts := strings.Split(text, "-")
	if len(parts) != 3 || parts[2] == "" {
		return presented{text: text, secret: text}
	}
	generation, err := strconv.ParseUint(parts[0], 36, 64)
	if err != nil {
		return presented{text: text, secret: text}
	}
	return presented{text: text, generation: generation, secret: parts[1], tag: parts[2]}
}

// nextSecret derives a secret from the one before, or the first one from the code that it was given for. It is as long as the
// salt, which was shorter once.
func nextSecret(before string, salt []byte) string {
	mac := hmac.New(sha256.New, salt)
	mac.Write([]byte(before))
	return id.Lower(mac.Sum(nil)[:min(len(salt), secretLen)])
}

// secretText returns a secret as the client gets it.
func (f *family) secretText(familyID string, generation uint64, secret string) string {
	number := strconv.FormatUint(generation, 36)
	return number + "-" + secret + "-" + f.tag(familyID, number, secret)
}

func (f *family) tag(familyID, generation, secret string) string {
	mac := hmac.New(sha256.New, f.Key)
	mac.Write([]byte(familyID + "-" + generation + "-" + secret))
	return id.Lower(mac.Sum(nil)[:tagLen])
}

// generationOf returns the generation of a secret that the family, or upstream before it, gave out.
func (f *family) generationOf(familyID string, p presented) (uint64, bool) {
	if p.tag == "" {
		return f.legacyGeneration(p.secret)
	}
	want := f.tag(familyID, strconv.FormatUint(p.generation, 36), p.secret)
	if subtle.ConstantTimeCompare([]byte(want), []byte(p.tag)) != 1 || len(f.Key) == 0 {
		return 0, false
	}
	switch {
	case p.generation == f.Generation:
		return p.generation, id.IsHashOf(f.Secret, p.secret)
	case p.generation+1 == f.Generation:
		return p.generation, id.IsHashOf(f.Previous, p.secret)
	}
	return p.generation, p.generation < f.Generation
}

// successor returns the current token for whoever has presented the current one or the one before.
func (f *family) successor(familyID string, p presented) string {
	if p.generation == f.Generation {
		return encode(familyID, p.text)
	}
	return encode(familyID, f.secretText(familyID, f.Generation, nextSecret(p.secret, f.Salt)))
}

// rotate makes the secret that follows the presented one the current one.
func (f *family) rotate(p presented) {
	f.Generation++
	f.Salt = id.Random(secretLen)
	f.Previous = f.Secret
	f.Secret = id.Hash(nextSecret(p.secret, f.Salt))
}
