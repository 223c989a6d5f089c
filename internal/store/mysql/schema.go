package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// schemaVersion is the layout that this code reads and writes.
const schemaVersion = 1

// schemaLock is how long one replica waits for another that makes the tables.
const schemaLock = 20 * time.Second

// layout are the statements that make the tables, each of which may find its work done: on this server they can't be
// one transaction. The version comes last, when the tables that it stands for are there.
//
// Kinds, keys and owners are bytes: VARBINARY is compared byte by byte, without padding and whatever the collation of
// the database. They can't be longer than store.MaxKey, so an index of all three has 1536 bytes, half of what the
// format allows, and all that it allows with pages of 8 KiB. For a look by hand:
// SELECT CONVERT(`key` USING utf8mb4), ... FROM dex_record WHERE kind = 'client'.
//
// In dex_change there is a row for each announced kind. Its counter grows in the transaction of every write of
// the kind; that is what other replicas look for.
var layout = []string{
	`CREATE TABLE IF NOT EXISTS dex_record (
		kind     VARBINARY(512) NOT NULL,
		` + "`key`" + `    VARBINARY(512) NOT NULL,
		owner    VARBINARY(512) NOT NULL,
		expires  BIGINT NULL COMMENT 'Unix time in milliseconds; NULL: never',
		revision BINARY(16) NOT NULL,
		data     MEDIUMBLOB NOT NULL,
		PRIMARY KEY (kind, ` + "`key`" + `),
		KEY dex_record_owner (kind, owner, ` + "`key`" + `),
		KEY dex_record_expires (kind, expires)
	) ENGINE = InnoDB ROW_FORMAT = DYNAMIC`,
	`CREATE TABLE IF NOT EXISTS dex_change (
		kind    VARBINARY(512) NOT NULL PRIMARY KEY,
		counter BIGINT UNSIGNED NOT NULL
	) ENGINE = InnoDB ROW_FORMAT = DYNAMIC`,
	`CREATE TABLE IF NOT EXISTS dex_schema (
		version INT NOT NULL PRIMARY KEY
	) ENGINE = InnoDB ROW_FORMAT = DYNAMIC`,
	`INSERT INTO dex_schema (version) VALUES (1)`,
}

// migrate makes our tables if they are not there. Where they are, it only reads, so that the user needs no more rights
// than on the rows of these tables.
//
// Locks belong to one server. In a cluster there is none: its servers make tables one after the other, and whoever comes
// second to insert the version has lost a race.
func migrate(ctx context.Context, db *sql.DB, inCluster bool) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // goes back to the pool
	if done, err := migrated(ctx, conn); done || err != nil {
		return err
	}
	if inCluster {
		return makeTables(ctx, conn)
	}
	unlock, err := lockSchema(ctx, conn)
	if err != nil {
		return err
	}
	defer unlock()
	if done, err := migrated(ctx, conn); done || err != nil { // by another, while this one waited
		return err
	}
	return makeTables(ctx, conn)
}

func makeTables(ctx context.Context, conn *sql.Conn) error {
	for _, text := range layout {
		_, err := conn.ExecContext(ctx, text)
		for lost := 0; lostRace(err) && backOff(ctx, lost, err); lost++ {
			_, err = conn.ExecContext(ctx, text)
		}
		if err != nil && number(err) != errDuplicate { // the version, by another server of the cluster
			return fmt.Errorf("make the tables dex_*: %w", err)
		}
	}
	return nil
}

// migrated reports whether the tables are there. Those of another version are an error.
func migrated(ctx context.Context, conn *sql.Conn) (bool, error) {
	var version int
	switch err := conn.QueryRowContext(ctx, pingText).Scan(&version); {
	case number(err) == errNoTable, errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("version of the tables dex_*: %w", err)
	case version != schemaVersion:
		return false, fmt.Errorf("the tables dex_* have version %d, which this program does not know", version)
	}
	return true, nil
}

// lockName names the lock after the database, since locks of this sort belong to the server. It has 60 characters of the
// 64 that it may have.
const lockName = "CONCAT('dex.', SHA2(DATABASE(), 224))"

// lockSchema keeps other replicas from making the tables until unlock is called or the connection ends.
func lockSchema(ctx context.Context, conn *sql.Conn) (unlock func(), err error) {
	var got sql.NullInt64
	err = conn.QueryRowContext(ctx, "SELECT GET_LOCK("+lockName+", ?)", int(schemaLock.Seconds())).Scan(&got)
	if err != nil {
		return nil, fmt.Errorf("lock the making of tables: %w", err)
	}
	if got.Int64 != 1 {
		return nil, fmt.Errorf("another replica has been making the tables dex_* for %v", schemaLock)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), operationTimeout)
		defer cancel()
		// Without the lock's release the connection is broken, and the server releases it.
		_, _ = conn.ExecContext(ctx, "DO RELEASE_LOCK("+lockName+")")
	}, nil
}
