package transfer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/store/sealed"
	"dex/internal/store/sqlite"
	"dex/internal/transfer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var kinds = []string{"keys", "client", "refresh", "offline"}

func newMemory(t testing.TB) store.Store {
	t.Helper()
	s := memory.New()
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newSQLite(t testing.TB) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{File: filepath.Join(t.TempDir(), "dex.db")},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func storageKeys(t testing.TB, text string) *sealed.Keys {
	t.Helper()
	keys, err := sealed.ReadKeys(func(name string) (string, bool) {
		return strings.Repeat(text, 32), name == sealed.KeyVariable
	}, "")
	if err != nil {
		t.Fatalf("ReadKeys: %v", err)
	}
	return &keys
}

func put(t *testing.T, s store.Store, records ...store.Record) {
	t.Helper()
	for _, r := range records {
		if _, err := s.Create(t.Context(), r); err != nil {
			t.Fatalf("Create %s %q: %v", r.Kind, r.Key, err)
		}
	}
}

func record(kind, key, data string) store.Record {
	return store.Record{Kind: kind, Key: key, Data: []byte(data)}
}

// odd are records that are hard to write down.
func odd() []store.Record {
	inAnHour := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	records := []store.Record{
		record("client", "numbers", `{"a":12345678901234567890,"b":1.0,"c":1e400,"d":-0}`),
		record("client", "escapes", `{"a":"<\u003c&\u2028"}`),
		record("client", "separators", "{\"a\":\"\u2028\u2029\"}"),
		record("client", "spaces", "{ \"a\" :\n1 }\n"),
		record("client", "twice", `{"a":1,"a":2}`),
		record("client", "null", "null"),
		record("client", "text", `"text"`),
		record("client", "empty", ""),
		record("client", "not JSON", "plain"),
		record("client", "not UTF-8", "{\"a\":\"\xff\"}"),
		record("client", "binary", "\x00\x01\xff"),
		record("client", strings.Repeat("\x01", store.MaxKey), "{}"),
		{Kind: "refresh", Key: "owned", Owner: "owner", Expires: inAnHour, Data: []byte(`{}`)},
		{Kind: "refresh", Key: "odd owner", Owner: "\x00\xff", Data: []byte(`{}`)},
	}
	for _, key := range []string{"\x00", "\xff", "\xff\xfe", "\n", "é", "\ufffd", "日本", `"`, "\\", " ", "</a>", "\u2028"} {
		records = append(records, record("offline", key, `{"of":1}`))
	}
	return records
}

// large are records as large as they may be.
func large() []store.Record {
	return []store.Record{
		record("client", "large", `"`+strings.Repeat("x", store.MaxData-2)+`"`),
		record("client", "large binary", strings.Repeat("\xff", store.MaxData)),
	}
}

// content returns all that a store holds of the kinds, a text for each record.
func content(t *testing.T, s store.Store) []string {
	t.Helper()
	var all []string
	for _, kind := range kinds {
		for q := (store.Query{}); ; {
			page, err := s.List(t.Context(), kind, q)
			if err != nil {
				t.Fatalf("List: %v", err)
			}
			for _, r := range page {
				all = append(all, fmt.Sprintf("%s %q of %q until %d: %.100q, sum %x",
					r.Kind, r.Key, r.Owner, r.Expires.UnixMilli(), r.Data, sha256.Sum256(r.Data)))
			}
			if len(page) < store.MaxLimit {
				break
			}
			q.After = page[len(page)-1].Key
		}
	}
	slices.Sort(all)
	return all
}

func wantSame(t *testing.T, got, want store.Store) {
	t.Helper()
	g, w := content(t, got), content(t, want)
	if slices.Equal(g, w) {
		return
	}
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Fatalf("got %d records, want %d; the first that differs is %.200v, want %.200v",
				len(g), len(w), g[min(i, len(g)):min(i+1, len(g))], w[min(i, len(w)):min(i+1, len(w))])
		}
	}
}

func export(t *testing.T, s store.Store, keys *sealed.Keys) []byte {
	t.Helper()
	var file bytes.Buffer
	if _, err := transfer.Export(t.Context(), s, kinds, &file, keys, nil); err != nil {
		t.Fatalf("Export: %v", err)
	}
	return file.Bytes()
}

func importInto(t *testing.T, s store.Store, file []byte, o transfer.Options) (transfer.Count, error) {
	t.Helper()
	o.Kinds = kinds
	counts, err := transfer.Import(t.Context(), s, bytes.NewReader(file), o)
	return counts.Total(), err
}

func TestThereAndBackAgain(t *testing.T) {
	for name, keys := range map[string]*sealed.Keys{"clear": nil, "sealed": storageKeys(t, "k")} {
		t.Run(name, func(t *testing.T) {
			var o transfer.Options
			if keys != nil {
				o.Keys = *keys
			}
			first, second, third := newMemory(t), newSQLite(t), newMemory(t)
			put(t, first, append(odd(), large()...)...)
			put(t, first, record("code", "a", "{}")) // is not durable
			n := len(odd()) + len(large())
			for _, step := range []struct{ from, to store.Store }{{first, second}, {second, third}} {
				counts, err := importInto(t, step.to, export(t, step.from, keys), o)
				if want := (transfer.Count{Records: n, Created: n}); err != nil || counts != want {
					t.Fatalf("Import: got %+v and error %v, want %+v", counts, err, want)
				}
				wantSame(t, step.to, first)
			}
			if _, err := third.Get(t.Context(), "code", "a"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("a record that is not durable was moved: error %v", err)
			}
		})
	}
}

func TestDocumentsAreReadableInTheFile(t *testing.T) {
	s := newMemory(t)
	put(t, s, record("client", "gate", `{"id":"gate","n":1.50}`))
	file := string(export(t, s, nil))
	if !strings.Contains(file, `{"kind":"client","key":"gate","data":{"id":"gate","n":1.50}}`+"\n") {
		t.Errorf("got\n%s", file)
	}
}

func TestSealedFiles(t *testing.T) {
	s, keys := newMemory(t), storageKeys(t, "k")
	put(t, s, record("keys", "a", `{"secret":"unspeakable"}`), record("client", "binary", "unspeakable too"),
		record("client", "none", ""))
	file := export(t, s, keys)
	if bytes.Contains(file, []byte("unspeakable")) || bytes.Contains(file, []byte("dW5zcGVha2FibG")) {
		t.Errorf("the file tells the documents:\n%s", file)
	}
	for name, k := range map[string]sealed.Keys{"no key": {}, "another key": *storageKeys(t, "x")} {
		target := newMemory(t)
		if _, err := importInto(t, target, file, transfer.Options{Keys: k}); !errors.Is(err, sealed.ErrSealed) {
			t.Errorf("%s: got error %v", name, err)
		}
		if got := content(t, target); len(got) > 0 {
			t.Errorf("%s: %q was written", name, got)
		}
	}
	target := newMemory(t)
	if _, err := importInto(t, sealed.New(target, *storageKeys(t, "x"), nil), file, transfer.Options{Keys: *keys}); err != nil {
		t.Errorf("into a storage with another key: %v", err)
	}
	wantSame(t, sealed.New(target, *storageKeys(t, "x"), nil), s)
}

func TestExportedWithoutTheExpired(t *testing.T) {
	now := time.Now()
	s := memory.New(memory.WithClock(func() time.Time { return now.Add(-time.Hour) }))
	t.Cleanup(func() { _ = s.Close() })
	put(t, s, store.Record{Kind: "refresh", Key: "past", Expires: now.Add(-time.Minute)},
		store.Record{Kind: "refresh", Key: "future", Expires: now.Add(time.Minute)})
	file := export(t, s, nil) // by the storage's clock both are alive

	target := newMemory(t)
	counts, err := importInto(t, target, file, transfer.Options{})
	if want := (transfer.Count{Records: 2, Created: 1, Expired: 1}); err != nil || counts != want {
		t.Errorf("Import: got %+v and error %v, want %+v", counts, err, want)
	}
	now = now.Add(2 * time.Hour)
	if file := export(t, s, nil); bytes.Contains(file, []byte("future")) || bytes.Contains(file, []byte("past")) {
		t.Errorf("expired records were exported:\n%s", file)
	}
}

func TestProgressAndCounts(t *testing.T) {
	s := newMemory(t)
	for i := range 450 {
		put(t, s, record("refresh", fmt.Sprint(i), "{}"))
	}
	put(t, s, record("keys", "a", "{}"))
	var file bytes.Buffer
	var told []string
	counts, err := transfer.Export(t.Context(), s, kinds, &file, nil, func(kind string, n int) {
		told = append(told, fmt.Sprint(kind, n))
	})
	if err != nil || counts["refresh"].Records != 450 || counts["keys"].Records != 1 || counts.Total().Records != 451 {
		t.Errorf("Export: got %v and error %v", counts, err)
	}
	if got := strings.Join(told, " "); got != "keys1 client0 refresh200 refresh400 refresh450 offline0" {
		t.Errorf("progress: %s", got)
	}
	last := map[string]int{}
	_, err = importInto(t, newMemory(t), file.Bytes(), transfer.Options{Progress: func(step string, n int) { last[step] = n }})
	if err != nil || last[transfer.StepVerify] != 451 || last[transfer.StepCompare] != 451 || last[transfer.StepWrite] != 451 {
		t.Errorf("Import: progress %v, error %v", last, err)
	}
}

// faulty fails at a call, counted from 1, and at all after it.
type faulty struct {
	store.Store
	calls, failAt atomic.Int64
}

var errFault = errors.New("fault")

func (s *faulty) fault() error {
	if n := s.failAt.Load(); n > 0 && s.calls.Add(1) >= n {
		return errFault
	}
	return nil
}

func (s *faulty) Create(ctx context.Context, r store.Record) (string, error) {
	if err := s.fault(); err != nil {
		return "", err
	}
	return s.Store.Create(ctx, r)
}

func (s *faulty) Replace(ctx context.Context, r store.Record) (string, error) {
	if err := s.fault(); err != nil {
		return "", err
	}
	return s.Store.Replace(ctx, r)
}

func (s *faulty) Get(ctx context.Context, kind, key string) (store.Record, error) {
	if err := s.fault(); err != nil {
		return store.Record{}, err
	}
	return s.Store.Get(ctx, kind, key)
}

func (s *faulty) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	if err := s.fault(); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, kind, q)
}

func TestASecondImportFinishesTheFirst(t *testing.T) {
	source := newMemory(t)
	put(t, source, odd()...)
	file := export(t, source, nil)
	for _, overwrite := range []bool{false, true} {
		for failAt := int64(1); ; failAt++ {
			below := newMemory(t)
			if overwrite {
				put(t, below, record("client", "numbers", `{"other":1}`), record("offline", "é", `{"other":1}`))
			}
			target := &faulty{Store: below}
			target.failAt.Store(failAt)
			_, err := importInto(t, target, file, transfer.Options{Overwrite: overwrite})
			if err == nil {
				if failAt < int64(len(odd())) {
					t.Errorf("only %d calls", failAt)
				}
				break
			}
			if !errors.Is(err, errFault) {
				t.Fatalf("fault at call %d: got error %v", failAt, err)
			}
			if _, err := importInto(t, below, file, transfer.Options{Overwrite: overwrite}); err != nil {
				t.Fatalf("after a fault at call %d: %v", failAt, err)
			}
			wantSame(t, below, source)
		}
	}
}

func TestExportFailsWithItsStorageAndItsFile(t *testing.T) {
	source := newMemory(t)
	put(t, source, odd()...)
	for failAt := range int64(len(kinds)) {
		s := &faulty{Store: source}
		s.failAt.Store(failAt + 1)
		var file bytes.Buffer
		if _, err := transfer.Export(t.Context(), s, kinds, &file, nil, nil); !errors.Is(err, errFault) {
			t.Errorf("fault at call %d: got error %v", failAt+1, err)
		}
		if _, err := importInto(t, newMemory(t), file.Bytes(), transfer.Options{}); !errors.Is(err, transfer.ErrDamaged) {
			t.Errorf("fault at call %d: import of what was written: got error %v", failAt+1, err)
		}
	}
	whole := len(export(t, source, nil))
	for _, room := range []int{0, 1, whole / 2, whole - 1} {
		if _, err := transfer.Export(t.Context(), source, kinds, &disk{room: room}, nil, nil); !errors.Is(err, errFault) {
			t.Errorf("room for %d bytes: got error %v", room, err)
		}
	}
	if _, err := transfer.Export(t.Context(), source, kinds, &disk{room: whole}, nil, nil); err != nil {
		t.Errorf("room for all: got error %v", err)
	}
}

// A disk has room for so many bytes.
type disk struct{ room int }

func (d *disk) Write(p []byte) (int, error) {
	if len(p) > d.room {
		return 0, errFault
	}
	d.room -= len(p)
	return len(p), nil
}

func TestContextEndsBoth(t *testing.T) {
	s := newMemory(t)
	put(t, s, record("keys", "a", "{}"))
	file := export(t, s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := transfer.Export(ctx, s, kinds, &bytes.Buffer{}, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Export: got error %v", err)
	}
	target := newMemory(t)
	_, err := transfer.Import(ctx, target, bytes.NewReader(file), transfer.Options{Kinds: kinds})
	if !errors.Is(err, context.Canceled) || len(content(t, target)) > 0 {
		t.Errorf("Import: got error %v", err)
	}
}
