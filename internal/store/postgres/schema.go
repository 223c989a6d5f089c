package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// schemaVersion is the layout that this code reads and writes.
const schemaVersion = 1

// The tables. The database may be shared with another program's tables, so all of our names begin with dex_. They are
// made in the first schema of the role's search_path.
//
// Kinds, keys and owners are bytea, because they are bytes, compared as such: text can't hold a NUL or what is not valid
// in the encoding of the database, and its order depends on the collation. For a look by hand: SELECT
// convert_from(key, 'UTF8'), convert_from(data, 'UTF8') FROM dex_record WHERE kind = 'client'.
//
// The fill factor leaves room for new versions of a row on the page of the old one. An update that leaves the expiry and
// the owner alone then touches no index, and one that moves the expiry, as each refresh does, still writes fewer pages.
// Documents that are replaced all the time make dead rows at the same rate, so autovacuum must not wait until they
// are a fifth of the table.
const layout = `
CREATE TABLE dex_schema (version integer NOT NULL);
CREATE TABLE dex_record (
	kind     bytea NOT NULL,
	key      bytea NOT NULL,
	owner    bytea NOT NULL,
	expires  bigint,          -- Unix time in milliseconds; NULL: never
	revision uuid NOT NULL,
	data     bytea NOT NULL,
	PRIMARY KEY (kind, key)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX dex_record_owner ON dex_record (kind, owner, key) WHERE owner <> ''::bytea;
CREATE INDEX dex_record_expires ON dex_record (kind, expires) WHERE expires IS NOT NULL;
INSERT INTO dex_schema (version) VALUES (1);
`

// schemaLock is the advisory lock under which tables are made: "dex " and "sche" in ASCII.
const schemaLock = 0x6465782073636865

// migrate makes our tables if they are not there. If they are, it changes nothing, so that a role without the right to
// make tables will do.
func migrate(ctx context.Context, c *pgconn.PgConn) (err error) {
	if made, err := tablesMade(ctx, c); made || err != nil {
		return err
	}
	// Only at READ COMMITTED what another replica did under the lock is seen by the statement after it.
	if err := c.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED").Close(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = c.Exec(ctx, "ROLLBACK").Close() // the first error says why
		}
	}()
	if err := c.Exec(ctx, "SELECT pg_advisory_xact_lock("+strconv.Itoa(schemaLock)+")").Close(); err != nil {
		return err
	}
	made, err := tablesMade(ctx, c)
	if err != nil {
		return err
	}
	if !made {
		if err := c.Exec(ctx, layout).Close(); err != nil {
			return fmt.Errorf("make the tables dex_record and dex_schema: %w", explain(err))
		}
	}
	return c.Exec(ctx, "COMMIT").Close()
}

// tablesStatement looks into the catalogue itself: to_regclass may answer from a cache of before the lock was waited for.
var tablesStatement = newStatement("SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class" +
	" WHERE relname = 'dex_schema' AND pg_catalog.pg_table_is_visible(oid))")

// tablesMade reports whether our tables are there. Tables of a version that this code does not know are an error.
func tablesMade(ctx context.Context, c *pgconn.PgConn) (bool, error) {
	found := once(ctx, c, tablesStatement)
	if found.Err != nil || !truth(only(found)) {
		return false, found.Err
	}
	result := once(ctx, c, pingStatement)
	if result.Err != nil {
		return false, fmt.Errorf("version of the tables dex_*: %w", result.Err)
	}
	if len(result.Rows) == 0 {
		return false, errors.New("the table dex_schema is empty, so the version of the tables dex_* is unknown")
	}
	version, err := integer(only(result))
	if err != nil {
		return false, fmt.Errorf("version of the tables dex_*: %w", err)
	}
	if version != schemaVersion {
		return false, fmt.Errorf("the tables dex_* have version %d, which this program does not know", version)
	}
	return true, nil
}
