package takeover_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/takeover"
)

// counting is a storage that counts its writes, and fails at and after one of them if told so.
type counting struct {
	store.Store
	writes atomic.Int64
	failAt int64 // 0 for never
}

var errKilled = errors.New("killed")

func (c *counting) write() error {
	if n := c.writes.Add(1); c.failAt > 0 && n >= c.failAt {
		return errKilled
	}
	return nil
}

func (c *counting) Create(ctx context.Context, r store.Record) (string, error) {
	if err := c.write(); err != nil {
		return "", err
	}
	return c.Store.Create(ctx, r)
}

func (c *counting) Replace(ctx context.Context, r store.Record) (string, error) {
	if err := c.write(); err != nil {
		return "", err
	}
	return c.Store.Replace(ctx, r)
}

func (c *counting) Delete(ctx context.Context, kind, key, revision string) error {
	if err := c.write(); err != nil {
		return err
	}
	return c.Store.Delete(ctx, kind, key, revision)
}

// Whichever write is the last one before the process dies, the next start finishes what it began.
func TestKilledHalfWay(t *testing.T) {
	path := newDatabase(t, "step13")
	exec(t, path, "UPDATE client SET secret = ''") // as it takes long to hash them
	whole := &counting{Store: memory.New()}
	run(t, takeover.SQLite(openDatabase(t, path)), whole, discard)
	want := everything(t, whole)
	total := whole.writes.Load()
	if total < 15 {
		t.Fatalf("an import has only %d writes: were they counted?", total)
	}
	for n := int64(1); n < total; n++ { // the last one releases the lease, which may fail
		clock := new(atomic.Int64)
		now := func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
		s := &counting{Store: memory.New(memory.WithClock(now)), failAt: n}
		err := takeover.Run(t.Context(), takeover.SQLite(openDatabase(t, path)), target(s), discard)
		if !errors.Is(err, errKilled) {
			t.Fatalf("killed at write %d: Run: %v, want %v", n, err, errKilled)
		}
		mustHave(t, s, "takeover")
		clock.Store(int64(time.Minute)) // until the lease has ended
		s.failAt = 0
		run(t, takeover.SQLite(openDatabase(t, path)), s, discard)
		mustBeSame(t, everything(t, s), want)
	}
}

// mustGrow makes a database with many refresh tokens.
func mustGrow(t testing.TB, path string, rows int) {
	t.Helper()
	exec(t, path, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO refresh_token (id, client_id, scopes, nonce, claims_user_id, claims_username, claims_email,
			claims_email_verified, claims_groups, connector_id, token, created_at, last_used)
		SELECT 'many-' || i, 'gate', '["openid"]', '', 'user-' || i, '', '', 1, '[]', 'ldap', 'secret-' || i,
			'2026-08-01 10:00:00+00:00', '2026-08-01 10:00:00+00:00' FROM n`, rows)
}

func TestReplicasAtOnce(t *testing.T) {
	path := newDatabase(t, "step13")
	mustGrow(t, path, 1000)
	s := &counting{Store: memory.New()}
	var log bytes.Buffer
	shared := slog.New(slog.NewTextHandler(&log, nil))
	var wait sync.WaitGroup
	for range 3 {
		src := takeover.SQLite(openDatabase(t, path))
		wait.Go(func() {
			if err := takeover.Run(t.Context(), src, target(s), shared); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	wait.Wait()
	if n := strings.Count(log.String(), "took over upstream's data"); n != 1 {
		t.Errorf("%d replicas have imported, want 1:\n%s", n, log.String())
	}
	if n := len(keys(t, s, "refresh")); n != store.MaxLimit {
		t.Errorf("%d refresh tokens on a page, want %d", n, store.MaxLimit)
	}
}

func TestReplicaWaitsNoLongerThanItsContext(t *testing.T) {
	s := memory.New()
	if _, ok, err := store.TryAcquire(t.Context(), s, "takeover", time.Minute); err != nil || !ok {
		t.Fatal(ok, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := takeover.Run(ctx, takeover.SQLite(openDatabase(t, newDatabase(t, "step13"))), target(s), discard)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run: %v, want DeadlineExceeded", err)
	}
	mustHave(t, s, "client")
}

func TestErrorsNameWhatFailed(t *testing.T) {
	path := newDatabase(t, "step13")
	db := openDatabase(t, path)
	_ = db.Close()
	err := takeover.Run(t.Context(), takeover.SQLite(db), target(memory.New()), discard)
	if err == nil || !strings.Contains(err.Error(), "look for upstream's tables") {
		t.Errorf("Run on a closed database: %v", err)
	}
	s := &counting{Store: memory.New(), failAt: 4} // the lease, the keys and then clients
	err = takeover.Run(t.Context(), takeover.SQLite(openDatabase(t, path)), target(s), discard)
	if err == nil || !strings.Contains(err.Error(), `clients: client "`) {
		t.Errorf("Run with a storage that fails: %v", err)
	}
}

func BenchmarkTakeOver(b *testing.B) {
	const rows = 20_000
	path := newDatabase(b, "step13")
	mustGrow(b, path, rows)
	for i := range b.N {
		s := openSQLite(b, fmt.Sprintf("%s/%d.db", b.TempDir(), i))
		run(b, takeover.SQLite(openDatabase(b, path)), s, discard)
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "tokens/s")
}
