package token

import (
	"dex/internal/id"
)

// Subject returns the sub claim of a user of a connector. Applications keep it for ever, so the encoding never changes.
func Subject(userID, connectorID string) string { return id.Pair(userID, connectorID) }

// SubjectKey names a user of a connector in the storage, however long the user's id and the connector's are.
func SubjectKey(userID, connectorID string) string {
	return id.Lower(id.Hash(Subject(userID, connectorID)))
}

// ReadSubject takes a sub claim apart.
func ReadSubject(subject string) (userID, connectorID string, err error) { return id.ReadPair(subject) }
