package refresh

import (
	"dex/internal/id"
	"dex/internal/token"
)

// subjectKey names a user of a connector in the storage, however long the user's id and the connector's are.
func subjectKey(userID, connectorID string) string {
	return id.Lower(id.Hash(token.Subject(userID, connectorID)))
}

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
