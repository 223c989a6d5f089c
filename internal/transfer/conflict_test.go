package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/transfer"
)

func TestRecordsThatAreThereAlready(t *testing.T) {
	source, target := newMemory(t), newMemory(t)
	put(t, source, odd()...)
	put(t, source, record("keys", "a", `{"a":1,"b":[{"c":1.50}]}`))
	put(t, target, record("keys", "a", "{ \"b\": [{\"c\":1.50}],\n\"a\": 1 }")) // as another backend may write it
	file := export(t, source, nil)
	n := len(odd()) + 1
	counts, err := importInto(t, target, file, transfer.Options{})
	if want := (transfer.Count{Records: n, Created: n - 1, Same: 1}); err != nil || counts != want {
		t.Errorf("Import: got %+v and error %v, want %+v", counts, err, want)
	}
	counts, err = importInto(t, target, file, transfer.Options{})
	if want := (transfer.Count{Records: n, Same: n}); err != nil || counts != want {
		t.Errorf("Import again: got %+v and error %v, want %+v", counts, err, want)
	}
}

func TestConflictsKeepEverythingAsItIs(t *testing.T) {
	source := newMemory(t)
	put(t, source, record("client", "a", `{"n":1}`), record("client", "new", `{}`))
	file := export(t, source, nil)
	in := time.Now().Add(time.Hour)
	for what, other := range map[string]store.Record{
		"another value":   record("client", "a", `{"n":2}`),
		"another number":  record("client", "a", `{"n":1.0}`),
		"a member more":   record("client", "a", `{"n":1,"m":null}`),
		"not JSON":        record("client", "a", `{"n":1`),
		"another owner":   {Kind: "client", Key: "a", Owner: "o", Data: []byte(`{"n":1}`)},
		"another expiry":  {Kind: "client", Key: "a", Expires: in, Data: []byte(`{"n":1}`)},
		"nothing in it":   record("client", "a", ""),
		"something after": record("client", "a", `{"n":1}{}`),
	} {
		target := newMemory(t)
		put(t, target, other)
		before := content(t, target)
		counts, err := importInto(t, target, file, transfer.Options{})
		conflict, ok := errors.AsType[*transfer.ConflictError](err)
		if !ok || conflict.Count != 1 || conflict.Written || !slices.Equal(conflict.Records, []string{`client "a"`}) {
			t.Errorf("%s: got error %v", what, err)
		}
		if want := (transfer.Count{Records: 2, Created: 1, Conflicts: 1}); counts != want {
			t.Errorf("%s: got %+v, want %+v", what, counts, want)
		}
		if got := content(t, target); !slices.Equal(got, before) {
			t.Errorf("%s: the storage was changed to %q", what, got)
		}
		counts, err = importInto(t, target, file, transfer.Options{Overwrite: true})
		if want := (transfer.Count{Records: 2, Created: 1, Replaced: 1}); err != nil || counts != want {
			t.Errorf("%s: overwriting: got %+v and error %v, want %+v", what, counts, err, want)
		}
		wantSame(t, target, source)
	}
}

func TestConflictsAreListed(t *testing.T) {
	source, target := newMemory(t), newMemory(t)
	for i := range 50 {
		put(t, source, record("client", fmt.Sprint("c", i), `{"n":1}`))
		put(t, target, record("client", fmt.Sprint("c", i), `{"n":2}`))
	}
	_, err := importInto(t, target, export(t, source, nil), transfer.Options{})
	if text := fmt.Sprint(err); strings.Count(text, `  client "c`) != 20 || !strings.Contains(text, "50 records") ||
		!strings.Contains(text, "and 30 more") || !strings.Contains(text, "nothing was written") {
		t.Errorf("got error %v", err)
	}
	if strings.Contains(fmt.Sprint(err), "signing keys") {
		t.Errorf("the error speaks of keys, and there are none: %v", err)
	}

	put(t, source, record("keys", "openid-connect-keys", `{"n":1}`))
	put(t, target, record("keys", "openid-connect-keys", `{"n":2}`))
	_, err = importInto(t, target, export(t, source, nil), transfer.Options{})
	if !strings.Contains(fmt.Sprint(err), "before the import made its own") {
		t.Errorf("got error %v", err)
	}
}

func TestCheckOnlyWritesNothing(t *testing.T) {
	source, target := newMemory(t), newMemory(t)
	put(t, source, record("keys", "a", `{"n":1}`), record("client", "a", `{"n":1}`), record("client", "b", `{"n":1}`),
		record("client", "c", `{"n":1}`))
	put(t, target, record("client", "a", `{"n":1}`), record("client", "b", `{"n":2}`))
	file, before := export(t, source, nil), content(t, target)

	counts, err := importInto(t, target, file, transfer.Options{CheckOnly: true})
	_, ok := errors.AsType[*transfer.ConflictError](err)
	if want := (transfer.Count{Records: 4, Created: 2, Same: 1, Conflicts: 1}); counts != want || !ok {
		t.Errorf("got %+v and error %v, want %+v and a conflict", counts, err, want)
	}
	counts, err = importInto(t, target, file, transfer.Options{CheckOnly: true, Overwrite: true})
	if want := (transfer.Count{Records: 4, Created: 2, Same: 1, Replaced: 1}); counts != want || err != nil {
		t.Errorf("overwriting: got %+v and error %v, want %+v", counts, err, want)
	}
	if got := content(t, target); !slices.Equal(got, before) {
		t.Errorf("the storage was changed to %q", got)
	}
}

// busy is a storage that somebody else writes to: a record appears when Import is about to create it.
type busy struct {
	store.Store
	appears store.Record
}

func (s busy) Create(ctx context.Context, r store.Record) (string, error) {
	if r.Key == s.appears.Key {
		if _, err := s.Store.Create(ctx, s.appears); err != nil && !errors.Is(err, store.ErrExists) {
			return "", err
		}
	}
	return s.Store.Create(ctx, r)
}

func TestRecordsThatAppearMeanwhile(t *testing.T) {
	source := newMemory(t)
	put(t, source, record("client", "a", `{"n":1}`))
	file := export(t, source, nil)
	for document, overwrite := range map[string]bool{`{"n":1}`: false, `{"n":2}`: true} {
		target := newMemory(t)
		_, err := importInto(t, busy{target, record("client", "a", document)}, file, transfer.Options{Overwrite: overwrite})
		if err != nil {
			t.Errorf("%s: %v", document, err)
		}
		wantSame(t, target, source)
	}
	target := newMemory(t)
	_, err := importInto(t, busy{target, record("client", "a", `{"n":2}`)}, file, transfer.Options{})
	conflict, ok := errors.AsType[*transfer.ConflictError](err)
	if !ok || !conflict.Written {
		t.Errorf("got error %v", err)
	}
	if r, err := target.Get(t.Context(), "client", "a"); err != nil || string(r.Data) != `{"n":2}` {
		t.Errorf("somebody else's record became %q, error %v", r.Data, err)
	}
}

// endless makes up records as they are asked for and forgets those that it is given.
type endless struct {
	store.Store // of the other methods none is called
	records     int
}

func (s *endless) List(_ context.Context, kind string, q store.Query) ([]store.Record, error) {
	from := 0
	if q.After != "" {
		last, err := strconv.Atoi(q.After)
		if err != nil {
			return nil, err
		}
		from = last + 1
	}
	var page []store.Record
	for i := from; i < s.records && len(page) < q.Limit; i++ {
		page = append(page, store.Record{
			Kind: kind, Key: fmt.Sprintf("%08d", i), Data: []byte(`"` + strings.Repeat("x", 1000) + `"`),
		})
	}
	return page, nil
}

func (s *endless) Get(context.Context, string, string) (store.Record, error) {
	return store.Record{}, store.ErrNotFound
}

func (s *endless) Create(context.Context, store.Record) (string, error) { return "1", nil }

func TestMemoryStaysFlat(t *testing.T) {
	const (
		records = 20_000 // 20 MB
		allowed = 5 << 20
	)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := heap(), uint64(0)
	look := func(_ string, n int) {
		if n%2000 == 0 {
			most = max(most, heap())
		}
	}
	file := tempFile(t)
	s := &endless{records: records}
	if _, err := transfer.Export(t.Context(), s, []string{"refresh"}, file, nil, look); err != nil {
		t.Fatalf("Export: %v", err)
	}
	counts, err := transfer.Import(t.Context(), s, file, transfer.Options{Kinds: kinds, Progress: look})
	if err != nil || counts.Total().Created != records {
		t.Fatalf("Import: got %+v and error %v", counts, err)
	}
	if most == 0 || most > before+allowed {
		t.Errorf("the heap grew from %d to %d bytes, more than %d", before, most, allowed)
	}
}

func tempFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "export")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}
