package id

import (
	"encoding/base64"
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

var errNoPair = errors.New("not a pair of strings in base64url")

// Pair returns two strings in one, as upstream writes them: a protobuf message {1: first, 2: second} in base64url.
func Pair(first, second string) string {
	var b []byte // proto3 leaves out what is empty
	for i, s := range []string{first, second} {
		if s == "" {
			continue
		}
		b = protowire.AppendTag(b, protowire.Number(i+1), protowire.BytesType)
		b = protowire.AppendString(b, s)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ReadPair takes apart what Pair returns.
func ReadPair(s string) (first, second string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return "", "", errNoPair
	}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || kind != protowire.BytesType {
			return "", "", errNoPair
		}
		value, m := protowire.ConsumeString(b[n:])
		if m < 0 {
			return "", "", errNoPair
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
