package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"dex/internal/store"
)

// A record is live at the time bound to ? if this holds.
const live = "(expires IS NULL OR expires > ?)"

const (
	columns = "owner, expires, revision, data"

	getText  = "SELECT " + columns + " FROM dex_record WHERE kind = ? AND key = ? AND " + live
	listText = "SELECT " + columns + ", key FROM dex_record" +
		" WHERE kind = ? AND key > ? AND " + live + " ORDER BY key LIMIT ?"
	listOwnerText = "SELECT " + columns + ", key FROM dex_record" +
		" WHERE kind = ? AND owner = ? AND owner <> x'' AND key > ? AND " + live + " ORDER BY key LIMIT ?"
	pingText = "SELECT version FROM dex_schema"

	createText = "INSERT INTO dex_record (kind, key, owner, expires, revision, data) VALUES (?, ?, ?, ?, ?, ?)" +
		" ON CONFLICT (kind, key) DO UPDATE" +
		" SET owner = excluded.owner, expires = excluded.expires, revision = excluded.revision, data = excluded.data" +
		" WHERE dex_record.expires <= ?"
	replaceText = "UPDATE dex_record SET owner = ?, expires = ?, revision = ?, data = ?" +
		" WHERE kind = ? AND key = ? AND revision = ? AND " + live
	deleteText         = "DELETE FROM dex_record WHERE kind = ? AND key = ? AND " + live
	deleteRevisionText = "DELETE FROM dex_record WHERE kind = ? AND key = ? AND revision = ? AND " + live
	existsText         = "SELECT EXISTS (SELECT 1 FROM dex_record WHERE kind = ? AND key = ? AND " + live + ")"
	sweepText          = "DELETE FROM dex_record WHERE rowid IN" +
		" (SELECT rowid FROM dex_record WHERE kind = ? AND expires < ? ORDER BY expires LIMIT ?)"
	expiredText = "SELECT " + columns + ", key FROM dex_record WHERE kind = ? AND expires < ? ORDER BY expires LIMIT ?"
	discardText = "DELETE FROM dex_record WHERE kind = ? AND key = ? AND revision = ?"
)

// A preparer is the pool of readers or the connection of the writer.
type preparer interface {
	PrepareContext(ctx context.Context, text string) (*sql.Stmt, error)
}

func prepare(ctx context.Context, on preparer, texts map[**sql.Stmt]string) error {
	for stmt, text := range texts {
		var err error
		if *stmt, err = on.PrepareContext(ctx, text); err != nil { //nolint:sqlclosecheck // closed with the store
			return fmt.Errorf("prepare %s: %w", text, err)
		}
	}
	return nil
}

// readStatements are prepared on each reading connection when it first needs them.
type readStatements struct {
	get, list, listOwner, expired, ping *sql.Stmt
}

func prepareReads(ctx context.Context, db *sql.DB) (*readStatements, error) {
	read := new(readStatements)
	return read, prepare(ctx, db, map[**sql.Stmt]string{
		&read.get:       getText,
		&read.list:      listText,
		&read.listOwner: listOwnerText,
		&read.expired:   expiredText,
		&read.ping:      pingText,
	})
}

// statements are the writer's, prepared on its connection. The functions below use them within its transaction.
type statements struct {
	begin, commit, rollback *sql.Stmt

	create, replace, remove, removeRevision, exists, sweep, discard *sql.Stmt

	dataVersion *sql.Stmt
}

func (do *statements) texts() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&do.begin:          "BEGIN IMMEDIATE",
		&do.commit:         "COMMIT",
		&do.rollback:       "ROLLBACK",
		&do.create:         createText,
		&do.replace:        replaceText,
		&do.remove:         deleteText,
		&do.removeRevision: deleteRevisionText,
		&do.exists:         existsText,
		&do.sweep:          sweepText,
		&do.discard:        discardText,
		&do.dataVersion:    "PRAGMA data_version",
	}
}

// close ends the statements. Database/sql does not do it with their connection, because they were prepared on it alone,
// and without it SQLite keeps the connection and its files open.
func (do *statements) close() error {
	var errs []error
	for stmt := range do.texts() {
		if *stmt != nil {
			errs = append(errs, (*stmt).Close())
		}
	}
	return errors.Join(errs...)
}

func createRecord(ctx context.Context, do *statements, r store.Record, revision, now int64) error {
	changed, err := affected(do.create.ExecContext(ctx, []byte(r.Kind), []byte(r.Key),
		[]byte(r.Owner), millis(r.Expires), revision, r.Data, now))
	if err != nil {
		return err
	}
	if changed == 0 {
		return store.ErrExists
	}
	return nil
}

func replaceRecord(ctx context.Context, do *statements, r store.Record, revision, now int64) error {
	changed, err := affected(do.replace.ExecContext(ctx, []byte(r.Owner), millis(r.Expires), revision, r.Data,
		[]byte(r.Kind), []byte(r.Key), parseRevision(r.Revision), now))
	if err != nil {
		return err
	}
	if changed == 0 {
		return missed(ctx, do, r.Kind, r.Key, now)
	}
	return nil
}

func deleteRecord(ctx context.Context, do *statements, kind, key, revision string, now int64) error {
	stmt, args := do.remove, []any{[]byte(kind), []byte(key), now}
	if revision != "" {
		stmt, args = do.removeRevision, []any{[]byte(kind), []byte(key), parseRevision(revision), now}
	}
	changed, err := affected(stmt.ExecContext(ctx, args...))
	if err != nil {
		return err
	}
	if changed == 0 {
		return missed(ctx, do, kind, key, now)
	}
	return nil
}

// missed says why a statement that names a revision found no record.
func missed(ctx context.Context, do *statements, kind, key string, now int64) error {
	var exists bool
	if err := do.exists.QueryRowContext(ctx, []byte(kind), []byte(key), now).Scan(&exists); err != nil {
		return err
	}
	if exists {
		return store.ErrConflict
	}
	return store.ErrNotFound
}

func readDataVersion(ctx context.Context, do *statements) (version int64, err error) {
	err = do.dataVersion.QueryRowContext(ctx).Scan(&version)
	return version, err
}

func affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// newRevision draws a revision at random. A counter would need a page of its own written with each commit, and would
// give out its numbers again after the file was restored from a backup, while a caller may still hold one from before.
// That one of 2^63 numbers comes back for the same record is as unlikely as guessing a 63-bit secret at once.
func newRevision() int64 {
	return rand.Int64N(math.MaxInt64) + 1 //nolint:gosec // must differ, need not be secret
}

func formatRevision(revision int64) string { return strconv.FormatInt(revision, 36) }

// parseRevision returns a number that no record has for what formatRevision did not make.
func parseRevision(revision string) int64 {
	n, err := strconv.ParseInt(revision, 36, 64)
	if err != nil {
		return 0
	}
	return n
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
	var revision int64
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
