package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	_ "modernc.org/sqlite"             // the driver sqlite
)

// litter is how many expired codes fill a storage, and the statement that creates them: that many logins would take too long.
// Each is as large as a login's.
var litter = map[string]struct {
	records   int
	statement string
}{
	"postgres": {1_000_000, `INSERT INTO dex_record (kind, key, owner, expires, revision, data)
		SELECT 'code', ('old code ' || i)::bytea, '', 1000000000000 + i, gen_random_uuid(), repeat('x', 600)::bytea
		FROM generate_series(1, $1::integer) AS i`},
	"mysql": {200_000, "INSERT INTO dex_record (kind, `key`, owner, expires, revision, data)" +
		` SELECT 'code', CONCAT('old code ', seq), '', 1000000000000 + seq, UNHEX(MD5(seq)), REPEAT('x', 600)
		FROM seq_1_to_10000000 WHERE seq <= ?`},
	"sqlite3": {200_000, `WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < ?)
		INSERT INTO dex_record (kind, key, owner, expires, revision, data)
		SELECT CAST('code' AS BLOB), CAST('old code ' || n AS BLOB), x'', 1000000000000 + n, n, CAST(printf('%.600c', 'x') AS BLOB) FROM i`},
}

// TestOldRecordsAreSweptAway shows that a million expired records are removed from a database while people sign in, and that
// the server's memory does not grow with their number.
func TestOldRecordsAreSweptAway(t *testing.T) {
	for kind, l := range litter {
		t.Run(kind, func(t *testing.T) {
			c := newConfiguration(t).withoutConsent().withStorage(t, kind)
			startServer(t, binaries.release, c, nil).stop(t) // creates the tables
			db := c.openDatabase(t)
			if _, err := db.ExecContext(t.Context(), l.statement, l.records); err != nil {
				t.Fatal(err)
			}
			d, other := startServer(t, binaries.release, c, nil), c.startReplica(t)
			began := time.Now()
			logins, slowest := 0, time.Duration(0)
			for left := l.records; left > 0; left = countOld(t, db) {
				if time.Since(began) > 5*time.Minute {
					t.Fatalf("%d of %d old codes are left after 5 minutes", left, l.records)
				}
				for end := time.Now().Add(2 * time.Second); time.Now().Before(end); logins++ {
					one := time.Now()
					d.mustLogin(t, "mock")
					slowest = max(slowest, time.Since(one))
				}
			}
			peak := max(d.memory(t, "VmHWM"), other.memory(t, "VmHWM"))
			t.Logf("%d old codes are gone %v after the start, %s of CPU for the servers; %d logins meanwhile, the slowest took %v; "+
				"memory peak %d MiB", l.records, time.Since(began).Round(time.Second), d.cpu(t)+other.cpu(t), logins,
				slowest.Round(time.Millisecond), peak>>20)
			const swept = `msg="garbage collection run" kind=code`
			if strings.Contains(d.log.String(), swept) == strings.Contains(other.log.String(), swept) {
				t.Error("not exactly one of the two replicas has swept")
			}
			if limit := 80 << 20; peak > limit {
				t.Errorf("the server used up to %d MiB of memory, want no more than %d", peak>>20, limit>>20)
			}
			if slowest > 5*time.Second {
				t.Errorf("a login took %v while old records were removed", slowest)
			}
		})
	}
}

// startReplica starts another, unused server on the same storage.
func (c *configuration) startReplica(t *testing.T) *dex {
	t.Helper()
	replica, _ := c.replica(t)
	p := startProcess(t, "replica", binaries.release, "serve", replica.write(t))
	replica.waitUntilReady(t)
	return &dex{process: p, configuration: replica}
}

func countOld(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	// Looking for one of them is cheap, counting a million is not.
	const query = "SELECT COUNT(*) FROM (SELECT 1 FROM dex_record WHERE expires < 1500000000000 LIMIT 1) AS old"
	if err := db.QueryRowContext(context.WithoutCancel(t.Context()), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// openDatabase opens the server's database directly.
func (c *configuration) openDatabase(t *testing.T) *sql.DB {
	t.Helper()
	storage := c.root["storage"].(section)
	settings, _ := storage["config"].(section)
	text := func(key string) string { return fmt.Sprint(settings[key]) }
	address := net.JoinHostPort(text("host"), text("port"))
	driver, dsn := "sqlite", c.database
	switch storage["type"] {
	case "postgres":
		u := url.URL{Scheme: "postgres", User: url.UserPassword(text("user"), text("password")), Host: address,
			Path: text("database"), RawQuery: "sslmode=disable"}
		driver, dsn = "pgx", u.String()
	case "mysql":
		m := mysql.NewConfig()
		m.Net, m.Addr, m.User, m.Passwd, m.DBName = "tcp", address, text("user"), text("password"), text("database")
		driver, dsn = "mysql", m.FormatDSN()
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// cpu returns the processor time that the process has used.
func (p *process) cpu(t *testing.T) time.Duration {
	t.Helper()
	stat, err := readProc(p.cmd.Process.Pid, "stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	var ticks time.Duration
	for _, field := range fields[11:13] { // utime and stime, see proc_pid_stat(5)
		var n int64
		if _, err := fmt.Sscan(field, &n); err != nil {
			t.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}
