package mysql

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"dex/internal/store"
)

// A record is live at the time bound to ? if this holds.
const live = "(expires IS NULL OR expires > ?)"

const (
	columns = "owner, expires, revision, data"

	getText = "SELECT " + columns + " FROM dex_record WHERE kind = ? AND `key` = ? AND " + live
	// The indexes are named so that no list is sorted, whatever the server thinks of how many rows there are.
	listText = "SELECT " + columns + ", `key` FROM dex_record FORCE INDEX (PRIMARY)" +
		" WHERE kind = ? AND `key` > ? AND " + live + " ORDER BY `key` LIMIT ?"
	listOwnerText = "SELECT " + columns + ", `key` FROM dex_record FORCE INDEX (dex_record_owner)" +
		" WHERE kind = ? AND owner = ? AND `key` > ? AND " + live + " ORDER BY `key` LIMIT ?"
	existsText = "SELECT EXISTS (SELECT 1 FROM dex_record WHERE kind = ? AND `key` = ? AND " + live + ")"
	pingText   = "SELECT version FROM dex_schema"

	// Create inserts, or overwrites an expired record. The columns are assigned one after the other, and a later one sees
	// the new values of those before, so what all conditions look at comes last. The server reports 1 row for an insert,
	// 2 for an overwritten record, 0 for one that was left as it is; the last only while CLIENT_FOUND_ROWS is off.
	createText = insertText + oneRow + unlessLive
	insertText = "INSERT INTO dex_record (kind, `key`, owner, expires, revision, data) VALUES "
	oneRow     = "(?, ?, ?, ?, ?, ?)"
	unlessLive = " ON DUPLICATE KEY UPDATE" +
		" owner = IF(expires <= ?, VALUES(owner), owner)," +
		" revision = IF(expires <= ?, VALUES(revision), revision)," +
		" data = IF(expires <= ?, VALUES(data), data)," +
		" expires = IF(expires <= ?, VALUES(expires), expires)"
	replaceText = "UPDATE dex_record SET owner = ?, expires = ?, revision = ?, data = ?" +
		" WHERE kind = ? AND `key` = ? AND revision = ? AND " + live
	deleteText         = "DELETE FROM dex_record WHERE kind = ? AND `key` = ? AND " + live
	deleteRevisionText = "DELETE FROM dex_record WHERE kind = ? AND `key` = ? AND revision = ? AND " + live

	expiredKeysText = "SELECT `key`" + fromExpired
	expiredText     = "SELECT " + columns + ", `key`" + fromExpired
	fromExpired     = " FROM dex_record FORCE INDEX (dex_record_expires) WHERE kind = ? AND expires < ? ORDER BY expires LIMIT ?"

	countText    = "INSERT INTO dex_change (kind, counter) VALUES (?, 1) ON DUPLICATE KEY UPDATE counter = counter + 1"
	countersText = "SELECT kind, counter FROM dex_change"
)

// A database is the pool or a transaction.
type database interface {
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
}

// A statement is a write of one record that either happens or, where the record is not as it should be, does nothing.
type statement struct {
	text string
	args []any
}

func creation(r store.Record, revision []byte, now int64) statement {
	return statement{createText, []any{[]byte(r.Kind), []byte(r.Key), []byte(r.Owner), millis(r.Expires), revision,
		notNil(r.Data), now, now, now, now}}
}

// creations creates those of several records that are not there. They are locked in the order of their keys.
func creations(records []store.Record, now int64) statement {
	records = slices.SortedFunc(slices.Values(records), func(a, b store.Record) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Key, b.Key))
	})
	var args []any
	for _, r := range records {
		args = append(args, []byte(r.Kind), []byte(r.Key), []byte(r.Owner), millis(r.Expires), newRevision(), notNil(r.Data))
	}
	rows := oneRow + strings.Repeat(", "+oneRow, len(records)-1)
	return statement{insertText + rows + unlessLive, append(args, now, now, now, now)}
}

func replacement(r store.Record, revision []byte, now int64) statement {
	return statement{replaceText, []any{[]byte(r.Owner), millis(r.Expires), revision, notNil(r.Data),
		[]byte(r.Kind), []byte(r.Key), parseRevision(r.Revision), now}}
}

func deletion(kind, key, revision string, now int64) statement {
	if revision == "" {
		return statement{deleteText, []any{[]byte(kind), []byte(key), now}}
	}
	return statement{deleteRevisionText, []any{[]byte(kind), []byte(key), parseRevision(revision), now}}
}

func (s statement) run(ctx context.Context, on database) (changed int64, err error) {
	result, err := on.ExecContext(ctx, s.text, s.args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// runCounted runs a statement, and if it changed something, counts the change of the kind, in one transaction.
func (s statement) runCounted(ctx context.Context, db *sql.DB, kind string) (changed int64, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	changed, err = s.run(ctx, tx)
	if err != nil || changed == 0 {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, countText, []byte(kind)); err != nil {
		return 0, err
	}
	return changed, tx.Commit()
}

// newRevision draws a revision at random: a number counted up would come again after the record was deleted.
func newRevision() []byte {
	revision := make([]byte, 16)
	_, _ = rand.Read(revision) // never fails
	return revision
}

func formatRevision(revision []byte) string { return hex.EncodeToString(revision) }

// parseRevision returns NULL, which equals nothing, for what formatRevision did not make.
func parseRevision(text string) []byte {
	revision, err := hex.DecodeString(text)
	if err != nil {
		return nil
	}
	return revision
}

// notNil keeps a record without data from being bound as NULL.
func notNil(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}

// millis returns the time as it is stored: rounded down, NULL for the zero time.
func millis(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: !t.IsZero()}
}

func fromMillis(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.Int64).UTC()
}

// scan reads a row of the columns owner, expires, revision, data.
func scan(row interface{ Scan(...any) error }, r *store.Record, more ...any) error {
	var expires sql.NullInt64
	var revision []byte
	dest := append([]any{&r.Owner, &expires, &revision, &r.Data}, more...)
	if err := row.Scan(dest...); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return store.ErrNotFound
		}
		return err
	}
	r.Expires, r.Revision = fromMillis(expires), formatRevision(revision)
	return nil
}
