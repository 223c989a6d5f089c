package refresh

import (
	"dex/internal/id"
)

// encode returns a refresh token as clients see it.
func encode(familyID, secret string) string {
	return id.Pair(familyID, secret)
}

// decode takes a refresh token apart. Very old releases of upstream gave out only the id.
func decode(s string) (familyID, secret string) {
	familyID, secret, err := id.ReadPair(s)
	if err != nil {
		return s, ""
	}
	return familyID, secret
}
