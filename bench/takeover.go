package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver
)

const (
	takeoverName = "takeover"
	// takeoverTokens is how many refresh tokens a large deployment of upstream has, and takeoverLimit how long their
	// import may take.
	takeoverTokens = 1_000_000
	takeoverLimit  = time.Minute
	// takeoverPatience is how long to wait for the import, to find out by how much it misses the limit.
	takeoverPatience = 10 * time.Minute
)

// upstreams creates the tables by which upstream's database is recognized, and fills the one with refresh tokens.
const upstreams = `
CREATE TABLE client (id text primary key, secret text, redirect_uris blob, trusted_peers blob, public boolean, name text, logo_url text);
CREATE TABLE auth_request (id text primary key);
CREATE TABLE refresh_token (
	id text not null primary key, client_id text, scopes blob, nonce text, claims_user_id text, claims_username text,
	claims_email text, claims_email_verified boolean, claims_groups blob, connector_id text, connector_data blob,
	token text, created_at timestamp, last_used timestamp
);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
INSERT INTO refresh_token
	SELECT lower(hex(randomblob(12))), '` + clientID + `', '["openid","email","groups","offline_access"]', '', 'user-' || i, 'user ' || i,
		'user-' || i || '@example.com', 1, '["staff","team-a"]', 'mock', NULL, lower(hex(randomblob(12))),
		'2026-08-01 10:00:00+00:00', '2026-08-01 10:00:00+00:00' FROM n;
`

// measureTakeover measures the first start on a SQLite file left by upstream, prints how long it takes, and returns how
// many starts took too long.
func measureTakeover(ctx context.Context, out io.Writer, o options) (failed int, err error) {
	dir, err := os.MkdirTemp("", "dex-bench-")
	if err != nil {
		return 0, err
	}
	srv := &server{setup: setup{storage: "sqlite3", algorithm: "ES256"}, dir: dir, binary: o.dex, patience: takeoverPatience}
	defer func() { err = errors.Join(err, srv.stop()) }()
	if err := srv.configure(ctx); err != nil {
		return 0, err
	}
	if err := leaveTokens(ctx, filepath.Join(dir, "dex.db")); err != nil {
		return 0, err
	}
	if err := srv.launch(ctx); err != nil {
		return 0, err
	}
	_, err = fmt.Fprintf(out, "\ntakeover of %d refresh tokens on SQLite: %v; the limit is %v\n",
		takeoverTokens, srv.firstReply.Round(time.Millisecond), takeoverLimit)
	if srv.firstReply > takeoverLimit {
		failed = 1
	}
	return failed, err
}

func leaveTokens(ctx context.Context, file string) error {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf(upstreams, takeoverTokens))
	return errors.Join(err, db.Close())
}
