package token

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"google.golang.org/protobuf/encoding/protowire"

	"dex/internal/id"
)

// Subject returns the sub claim of a user of a connector. Applications keep it for ever, so the encoding never changes:
// a protobuf message {1: user id, 2: connector id} in base64url.
func Subject(userID, connectorID string) string {
	return encodePair(userID, connectorID)
}

// ReadSubject takes a sub claim apart.
func ReadSubject(subject string) (userID, connectorID string, err error) { return decodePair(subject) }

// subjectKey names a user of a connector in the storage, whatever the length of their ids.
func subjectKey(userID, connectorID string) string {
	sum := sha256.Sum256([]byte(Subject(userID, connectorID)))
	return id.Lower(sum[:])
}

// encodeRefreshToken returns the refresh token as clients see it: {1: family id, 2: secret}.
func encodeRefreshToken(familyID, secret string) string {
	return encodePair(familyID, secret)
}

// decodeRefreshToken takes a refresh token apart. Very old releases of upstream gave out bare ids.
func decodeRefreshToken(s string) (familyID, secret string) {
	familyID, secret, err := decodePair(s)
	if err != nil {
		return s, ""
	}
	return familyID, secret
}

var errEncoding = errors.New("not a pair of strings in base64url")

// encodePair writes a protobuf message with two string fields, where proto3 leaves out empty ones.
func encodePair(first, second string) string {
	var b []byte
	for i, s := range []string{first, second} {
		if s == "" {
			continue
		}
		b = protowire.AppendTag(b, protowire.Number(i+1), protowire.BytesType)
		b = protowire.AppendString(b, s)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodePair(s string) (first, second string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return "", "", errEncoding
	}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || kind != protowire.BytesType {
			return "", "", errEncoding
		}
		value, m := protowire.ConsumeString(b[n:])
		if m < 0 {
			return "", "", errEncoding
		}
		switch int(number) {
		case 1:
			first = value
		case 2:
			second = value
		}
		b = b[n+m:]
	}
	return first, second, nil
}
