package postgres

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"dex/internal/store"
)

const (
	columns = "owner, expires, revision, data"

	getText = "SELECT " + columns + " FROM dex_record" +
		" WHERE kind = $1 AND key = $2 AND (expires IS NULL OR expires > $3)"
	listText = "SELECT " + columns + ", key FROM dex_record" +
		" WHERE kind = $1 AND key > $2 AND (expires IS NULL OR expires > $3) ORDER BY key LIMIT $4"
	listOwnerText = "SELECT " + columns + ", key FROM dex_record" +
		" WHERE kind = $1 AND key > $2 AND (expires IS NULL OR expires > $3)" +
		" AND owner = $5 AND owner <> ''::bytea ORDER BY key LIMIT $4"
	pingText   = "SELECT version FROM dex_schema"
	existsText = "SELECT EXISTS (SELECT 1 FROM dex_record" +
		" WHERE kind = $1 AND key = $2 AND (expires IS NULL OR expires > $3))"

	createText = "INSERT INTO dex_record (kind, key, owner, expires, revision, data) VALUES ($1, $2, $3, $4, $5, $6)" +
		" ON CONFLICT (kind, key) DO UPDATE" +
		" SET owner = excluded.owner, expires = excluded.expires, revision = excluded.revision, data = excluded.data" +
		" WHERE dex_record.expires <= $7"
	// The rows come as a column each. No two have the same key.
	createAllText = "INSERT INTO dex_record (kind, key, owner, expires, revision, data)" +
		" SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::uuid[], $6::bytea[])" +
		" ON CONFLICT (kind, key) DO UPDATE" +
		" SET owner = excluded.owner, expires = excluded.expires, revision = excluded.revision, data = excluded.data" +
		" WHERE dex_record.expires <= $7"
	replaceText = "UPDATE dex_record SET owner = $3, expires = $4, revision = $5, data = $6" +
		" WHERE kind = $1 AND key = $2 AND (expires IS NULL OR expires > $7) AND revision = $8"
	deleteText         = "DELETE FROM dex_record WHERE kind = $1 AND key = $2 AND (expires IS NULL OR expires > $3)"
	deleteRevisionText = deleteText + " AND revision = $4"

	// The rows are locked by the inner query, which passes over those that somebody is about to change, and looks again
	// at those that somebody has just changed. So nobody waits for a sweep, no sweep for another, and a record that is
	// extended meanwhile stays.
	sweepText = "DELETE FROM dex_record WHERE kind = $1 AND expires < $2 AND key = ANY (ARRAY(" +
		"SELECT key FROM dex_record WHERE kind = $1 AND expires < $2 ORDER BY expires LIMIT $3 FOR UPDATE SKIP LOCKED))"
	expiredText = "SELECT " + columns + ", key FROM dex_record WHERE kind = $1 AND expires < $2 ORDER BY expires LIMIT $3"
	// The lateral query, by its limit, is run for each key. For all at once the server reads the whole kind while it has no
	// statistics of the table. No two records have the same revision.
	discardText = "DELETE FROM dex_record WHERE kind = $1 AND revision = ANY ($3::uuid[]) AND key = ANY (ARRAY(" +
		"SELECT found.key FROM unnest($2::bytea[], $3::uuid[]) AS expired (key, revision)" +
		" CROSS JOIN LATERAL (SELECT r.key FROM dex_record AS r WHERE r.kind = $1 AND r.key = expired.key" +
		" AND r.revision = expired.revision LIMIT 1 FOR UPDATE SKIP LOCKED) AS found))"

	// For replicas that hear no notifications there is a record for each announced kind, whose revision changes with
	// every write of the kind. No other record has its own kind.
	changesKind = "\\x006368616e676573" // NUL, "changes"
	changesText = "SELECT key, revision FROM dex_record WHERE kind = '" + changesKind + "'::bytea"
)

// The statements, with the types of their parameters.
var (
	getStatement       = newStatement(getText, typeBytea, typeBytea, typeInt8)
	listStatement      = newStatement(listText, typeBytea, typeBytea, typeInt8, typeInt8)
	listOwnerStatement = newStatement(listOwnerText, typeBytea, typeBytea, typeInt8, typeInt8, typeBytea)
	pingStatement      = newStatement(pingText)
	existsStatement    = newStatement(existsText, typeBytea, typeBytea, typeInt8)
	createAllStatement = newStatement(createAllText, typeByteas, typeByteas, typeByteas, typeInt8s, typeUUIDs, typeByteas, typeInt8)
	sweepStatement     = newStatement(sweepText, typeBytea, typeInt8, typeInt8)
	expiredStatement   = newStatement(expiredText, typeBytea, typeInt8, typeInt8)
	discardStatement   = newStatement(discardText, typeBytea, typeByteas, typeUUIDs)
	changesStatement   = newStatement(changesText)

	createWrite  = newWrite(createText, typeBytea, typeBytea, typeBytea, typeInt8, typeUUID, typeBytea, typeInt8)
	replaceWrite = newWrite(replaceText, typeBytea, typeBytea, typeBytea, typeInt8, typeUUID, typeBytea, typeInt8, typeUUID)

	deleteWrite         = newWrite(deleteText, typeBytea, typeBytea, typeInt8)
	deleteRevisionWrite = newWrite(deleteRevisionText, typeBytea, typeBytea, typeInt8, typeUUID)
)

// A write is a statement that changes one record or none, in several forms. Its first parameter is the kind.
type write struct {
	plain *statement
	// counted also changes the record of the kind's changes; its last parameter is the revision of that.
	counted *statement
	// announced also tells the other replicas; its last parameter is what to tell.
	announced *statement
}

func newWrite(text string, types ...uint32) write {
	counting := fmt.Sprintf("WITH written AS (%s RETURNING 1), counted AS ("+
		"INSERT INTO dex_record (kind, key, owner, expires, revision, data)"+
		" SELECT '%s'::bytea, $1::bytea, ''::bytea, NULL::bigint, $%d::uuid, ''::bytea FROM written"+
		" ON CONFLICT (kind, key) DO UPDATE SET revision = excluded.revision RETURNING 1) ", text, changesKind, len(types)+1)
	counted := append(slices.Clone(types), typeUUID)
	return write{
		plain:   newStatement(text, types...),
		counted: newStatement(counting+"SELECT 1 FROM counted", counted...),
		announced: newStatement(counting+fmt.Sprintf("SELECT pg_notify('%s', $%d) FROM counted", channel, len(types)+2),
			append(slices.Clone(counted), typeText)...),
	}
}

// channel is where changes are told.
const channel = "dex_record"

// payload returns a change as it is told to others: a notification is text without NUL, shorter than 8000 bytes.
func payload(kind, key string) string {
	return base64.RawStdEncoding.EncodeToString([]byte(kind)) + " " + base64.RawStdEncoding.EncodeToString([]byte(key))
}

// parsePayload returns the change that stands for all of them if the text is not payload's.
func parsePayload(text string) store.Change {
	kind, key, _ := strings.Cut(text, " ")
	k, err := base64.RawStdEncoding.DecodeString(kind)
	if err != nil {
		return store.Change{}
	}
	r, err := base64.RawStdEncoding.DecodeString(key)
	if err != nil {
		return store.Change{}
	}
	return store.Change{Kind: string(k), Key: string(r)}
}

// scan reads a row of columns.
func scan(row [][]byte, r *store.Record) error {
	const owner, expires, revision, data = 0, 1, 2, 3
	r.Owner, r.Revision, r.Data = string(row[owner]), formatRevision(row[revision]), row[data]
	if row[expires] == nil {
		return nil
	}
	at, err := integer(row[expires])
	r.Expires = time.UnixMilli(at).UTC()
	return err
}

// millis returns the time as it is stored: rounded down, NULL for the zero time.
func millis(t time.Time) []byte {
	if t.IsZero() {
		return nil
	}
	return int8Of(t.UnixMilli())
}

// revisionSize is that of a UUID.
const revisionSize = 16

// newRevision draws a revision at random: one that is made here needs no look at the one before, and never comes back
// after a record was deleted and created again, or the database was restored from a backup.
func newRevision() []byte {
	r := make([]byte, revisionSize)
	_, _ = rand.Read(r) // never fails
	return r
}

func formatRevision(r []byte) string { return base64.RawURLEncoding.EncodeToString(r) }

// parseRevision returns one that no record has for what formatRevision did not make.
func parseRevision(text string) []byte {
	if r, err := base64.RawURLEncoding.DecodeString(text); err == nil && len(r) == revisionSize {
		return r
	}
	return make([]byte, revisionSize)
}
