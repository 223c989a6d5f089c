package relyingparty

import (
	"errors"
	"strings"

	"dex/internal/connector"
)

// How many parts a signed and an encrypted token has, with dots between them (RFC 7515 and 7516, section 7.1).
const (
	SignedParts    = 3
	EncryptedParts = 5
)

// ErrEncrypted says that only the provider can read a token.
var ErrEncrypted = errors.New("it is encrypted (JWE), so that only the provider can tell for whom it was made")

// ReadUnverified returns the claims of an access token that is a JWT; opaque for a token of another kind. The signature is not
// checked: the claims can be believed only if the provider accepts the very same token, as it accepts none that somebody else has
// changed. What looks like a JWT and can't be read is ErrEncrypted or a *connector.BadToken, and not opaque: the provider may be
// able to read it.
func ReadUnverified(token string) (said Claims, opaque bool, err error) {
	parts := strings.Split(token, ".")
	switch {
	case len(parts) == EncryptedParts:
		return nil, false, ErrEncrypted
	case len(parts) != SignedParts && !isJOSE(parts[0]):
		return nil, true, nil
	case len(parts) == SignedParts && isJOSE(parts[0]):
		said, err = ReadEncoded(parts[1])
	default:
		err = errors.New("it has not the form of a JWT")
	}
	if err != nil {
		return nil, false, &connector.BadToken{Cause: err, Reason: "it looks like a JWT, and can't be read as one"}
	}
	return said, false, nil
}

// isJOSE reports whether the first part of a token is the header of a signed or encrypted one.
func isJOSE(part string) bool {
	_, err := ReadEncoded(part)
	return err == nil
}
