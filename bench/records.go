package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"time"
)

const (
	recordsName = "records"
	fewRecords  = 10
	manyRecords = 100_000
	pageSize    = 1000
)

// insertRecords creates stored clients and users, as many of each as it is told. The first client has a secret.
const insertRecords = `
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %[1]d)
INSERT INTO dex_record (kind, key, owner, revision, data)
	SELECT CAST('client' AS BLOB), CAST('app-' || i AS BLOB), x'', i, CAST(json_object('id', 'app-' || i, 'name', 'Application ' || i,
		'secret', iif(i = 1, '` + clientSecret + `', ''), 'public', json(iif(i = 1, 'false', 'true')),
		'redirectURIs', json_array('` + redirectURI + `')) AS BLOB) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %[1]d)
INSERT INTO dex_record (kind, key, owner, revision, data)
	SELECT CAST('password' AS BLOB), CAST('user-' || i || '@example.com' AS BLOB), x'', %[1]d + i, CAST(json_object(
		'email', 'user-' || i || '@example.com', 'username', 'user-' || i, 'userID', 'id-' || i,
		'hash', 'JDJhJDEwJDJiMmNVOENQaE9UYUdyczFIUlF1QXVlUzdKVFQ1WkhzSFN6WWlGUG0xbGVaY2s3TWM4VDRX') AS BLOB) FROM n;
`

// measureRecords prints what a login at a stored client costs with few and with many stored clients and users, and what it takes to
// list them all.
func measureRecords(ctx context.Context, out io.Writer, o options) error {
	for _, number := range []int{fewRecords, manyRecords} {
		if err := measureStored(ctx, out, o, number); err != nil {
			return fmt.Errorf("with %d: %w", number, err)
		}
	}
	return nil
}

func measureStored(ctx context.Context, out io.Writer, o options, number int) (err error) {
	srv, err := start(ctx, o, setup{storage: "sqlite3", algorithm: "ES256"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	if err := srv.halt(); err != nil {
		return err
	}
	if err := srv.fill(ctx, number); err != nil {
		return err
	}
	api, err := srv.serveAPI(ctx)
	if err != nil {
		return err
	}
	if err := srv.launch(ctx); err != nil {
		return err
	}
	baseline, err := newSigner(ctx, srv.setup.algorithm)
	if err != nil {
		return err
	}
	login, err := measure(ctx, o, srv, baseline, operation{"login", 2, false, func(ctx context.Context, c *client) (once, error) {
		c.id = "app-1"
		return prepareLogin(ctx, c)
	}})
	if err != nil {
		return err
	}
	before, err := srv.residentBytes()
	if err != nil {
		return err
	}
	listed, peak, took, err := srv.list(ctx, api)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\n%d stored clients and as many users on SQLite: a login %s ms of CPU, %d failed; listing %d in %v, memory from %.1f to %.1f MiB\n",
		number, ms(login.perOperation()), login.failures, listed, took.Round(time.Millisecond), float64(before)/(1<<20), float64(peak)/(1<<20))
	return err
}

func (s *server) fill(ctx context.Context, number int) error {
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "dex.db"))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf(insertRecords, number))
	return errors.Join(err, db.Close())
}

// serveAPI adds the management API to the configuration, and returns its address.
func (s *server) serveAPI(ctx context.Context) (root string, err error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return "", err
	}
	return "http://" + address + "/api/v2", s.addConfiguration(fmt.Sprintf("api: {addr: %q}\nenablePasswordDB: true\n", address))
}

// list reads all clients and users page by page, and returns how many there are and how much memory the server had at most.
func (s *server) list(ctx context.Context, api string) (listed int, peak int64, took time.Duration, err error) {
	began := time.Now()
	for _, kind := range []string{"/clients", "/users"} {
		for next := ""; ; {
			var page struct {
				Items         []json.RawMessage
				NextPageToken string
			}
			query := url.Values{"pageSize": {fmt.Sprint(pageSize)}}
			if next != "" {
				query.Set("pageToken", next)
			}
			c := newClient(s.issuer)
			_, err := c.get(ctx, api+kind+"?"+query.Encode(), http.StatusOK)
			c.close()
			if err == nil {
				err = json.Unmarshal(c.body.Bytes(), &page)
			}
			if err != nil {
				return listed, peak, 0, err
			}
			resident, err := s.residentBytes()
			if err != nil {
				return listed, peak, 0, err
			}
			listed, peak, next = listed+len(page.Items), max(peak, resident), page.NextPageToken
			if next == "" {
				break
			}
		}
	}
	return listed, peak, time.Since(began), nil
}
