package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// schemaVersion is the layout that this code reads and writes.
const schemaVersion = 1

// The tables. The file may be shared with another program's tables, and PRAGMA user_version may be that program's, so
// the version of our layout is a row of our own.
//
// Kinds, keys and owners are BLOBs, because they are bytes: TEXT would change with the encoding of the database, and
// SQLite promises nothing for a NUL or for invalid UTF-8 in it. For a look by hand: SELECT CAST(key AS TEXT), ... FROM
// dex_record WHERE kind = CAST('client' AS BLOB).
//
// The table has a rowid although its key is not one. WITHOUT ROWID puts the documents into the key's tree, where each
// insert moves them about: with 700 bytes a document and 20,000 records, 55 to 75 µs of CPU for an insert instead of 20
// to 30. Reads are the same.
const layout = `
CREATE TABLE dex_schema (version INTEGER NOT NULL);
CREATE TABLE dex_record (
	kind     BLOB NOT NULL,
	key      BLOB NOT NULL,
	owner    BLOB NOT NULL,
	expires  INTEGER,          -- Unix time in milliseconds; NULL: never
	revision INTEGER NOT NULL,
	data     BLOB NOT NULL,
	PRIMARY KEY (kind, key)
);
CREATE INDEX dex_record_expires ON dex_record (kind, expires) WHERE expires IS NOT NULL;
INSERT INTO dex_schema (version) VALUES (1);
`

// The index of the owners is missing while many records are created, and until the next start if that was cut off.
const (
	makeOwnerIndex = "CREATE INDEX IF NOT EXISTS dex_record_owner ON dex_record (kind, owner, key) WHERE owner <> x''"
	dropOwnerIndex = "DROP INDEX IF EXISTS dex_record_owner"
)

// migrate makes our tables if they are not there. The transaction keeps another process from doing the same meanwhile.
func migrate(ctx context.Context, conn *sql.Conn) (err error) {
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, rollback := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			err = errors.Join(err, rollback)
		}
	}()
	switch version, err := storedVersion(ctx, conn); {
	case err != nil:
		return err
	case version == 0:
		if _, err := conn.ExecContext(ctx, layout); err != nil {
			return err
		}
	case version != schemaVersion:
		return fmt.Errorf("the tables dex_* have version %d, which this program does not know", version)
	}
	if _, err := conn.ExecContext(ctx, makeOwnerIndex); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

// storedVersion returns the version of the layout in the database, 0 if there is none yet.
func storedVersion(ctx context.Context, conn *sql.Conn) (int, error) {
	var found bool
	const exists = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'dex_schema')"
	if err := conn.QueryRowContext(ctx, exists).Scan(&found); err != nil || !found {
		return 0, err
	}
	var version int
	if err := conn.QueryRowContext(ctx, "SELECT version FROM dex_schema").Scan(&version); err != nil {
		return 0, fmt.Errorf("version of the tables dex_*: %w", err)
	}
	return version, nil
}
