package sealed_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	_ "dex/internal/signing" // declares the kind keys
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/store/sealed"
	"dex/internal/store/sqlite"
	"dex/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	firstText  = "the first key, which is long enough to be one"
	secondText = "the second key, which is long enough too"
)

func keys(t testing.TB, texts ...string) sealed.Keys {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(strings.Join(texts, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := sealed.ReadKeys(environment(nil), file)
	if err != nil {
		t.Fatalf("ReadKeys: %v", err)
	}
	return k
}

func environment(variables map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}
}

func newMemory(t testing.TB) store.Store {
	t.Helper()
	s := memory.New()
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func openSQLite(t testing.TB, file string) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{File: file}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	k := keys(t, firstText, secondText)
	for name, open := range map[string]func(t *testing.T) store.Store{
		"Memory":      func(t *testing.T) store.Store { return sealed.New(newMemory(t), k, nil) },
		"SQLite":      func(t *testing.T) store.Store { return sealed.New(openSQLite(t, ":memory:"), k, nil) },
		"WithoutKeys": func(t *testing.T) store.Store { return sealed.New(newMemory(t), sealed.Keys{}, nil) },
	} {
		t.Run(name, func(t *testing.T) { storetest.Run(t, open) })
	}
}

func put(t *testing.T, s store.Store, kind, key, document string) {
	t.Helper()
	if _, err := s.Create(t.Context(), store.Record{Kind: kind, Key: key, Data: []byte(document)}); err != nil {
		t.Fatalf("Create %s %s: %v", kind, key, err)
	}
}

func get(t *testing.T, s store.Store, kind, key string) store.Record {
	t.Helper()
	r, err := s.Get(t.Context(), kind, key)
	if err != nil {
		t.Fatalf("Get %s %s: %v", kind, key, err)
	}
	return r
}

func wantDocument(t *testing.T, s store.Store, kind, key, want string) {
	t.Helper()
	if got := get(t, s, kind, key).Data; string(got) != want {
		t.Errorf("%s %s: got %q, want %q", kind, key, got, want)
	}
}

func TestNothingOfADocumentIsInTheDatabase(t *testing.T) {
	const secret = "a secret that must not be found"
	file := filepath.Join(t.TempDir(), "dex.db")
	below := openSQLite(t, file)
	s := sealed.New(below, keys(t, firstText), []string{"open"})
	for _, kind := range []string{"keys", "refresh", "offline"} {
		put(t, s, kind, "a", `{"secret":"`+secret+`"}`)
		r := get(t, s, kind, "a")
		r.Data = bytes.Replace(r.Data, []byte("{"), []byte("{ "), 1)
		if _, err := s.Replace(t.Context(), r); err != nil {
			t.Fatalf("Replace: %v", err)
		}
	}
	if bytes.Contains(dump(t, file), []byte(secret)) {
		t.Error("the document of a sealed kind is in the database's files")
	}
	put(t, s, "open", "a", `{"secret":"`+secret+`"}`)
	if !bytes.Contains(dump(t, file), []byte(secret)) {
		t.Error("the document of an open kind is not in the database's files: the test would not find anything")
	}
}

// dump returns all that a thief of the database's files gets.
func dump(t *testing.T, file string) []byte {
	t.Helper()
	names, err := filepath.Glob(file + "*")
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	return all
}

func TestTheSameDocumentIsNeverStoredTheSame(t *testing.T) {
	below := newMemory(t)
	s := sealed.New(below, keys(t, firstText), nil)
	put(t, s, "offline", "a", "{}")
	before := get(t, below, "offline", "a")
	if _, err := s.Replace(t.Context(), get(t, s, "offline", "a")); err != nil {
		t.Fatalf("Replace: %v", err)
	}
	if bytes.Equal(before.Data, get(t, below, "offline", "a").Data) {
		t.Error("a document was sealed twice in the same way")
	}
}

func TestKeysAreStoredAsAnObject(t *testing.T) {
	below := newMemory(t)
	s := sealed.New(below, keys(t, firstText), nil)
	put(t, s, "keys", "openid-connect-keys", `{"signingKey":{}}`)
	var members map[string]string
	if err := json.Unmarshal(get(t, below, "keys", "openid-connect-keys").Data, &members); err != nil {
		t.Fatalf("the stored document is not an object of texts: %v", err)
	}
	if len(members) != 1 || members["sealed"] == "" {
		t.Errorf("got members %v, want only sealed", members)
	}
	// A backend may write the object in its own way, and an operator may add to it.
	r := get(t, below, "keys", "openid-connect-keys")
	r.Data = []byte(`{ "note": "x",` + "\n" + ` "sealed" : "` + members["sealed"] + `" }`)
	if _, err := below.Replace(t.Context(), r); err != nil {
		t.Fatalf("Replace: %v", err)
	}
	wantDocument(t, s, "keys", "openid-connect-keys", `{"signingKey":{}}`)
}

func TestAnObjectTooLargeToSealIsRefused(t *testing.T) {
	s := sealed.New(newMemory(t), keys(t, firstText), nil)
	large := bytes.Repeat([]byte("x"), store.MaxData)
	_, err := s.Create(t.Context(), store.Record{Kind: "keys", Key: "a", Data: large})
	if err == nil || !strings.Contains(err.Error(), "must be at most") {
		t.Errorf("got error %v", err)
	}
	put(t, s, "keys", "b", string(large[:700<<10]))
	wantDocument(t, s, "keys", "b", string(large[:700<<10]))
}

func TestDocumentsCannotBeSwapped(t *testing.T) {
	below := newMemory(t)
	s := sealed.New(below, keys(t, firstText), nil)
	for _, place := range [][2]string{{"ab", "c"}, {"a", "bc"}, {"ab", "d"}, {"keys", "x"}, {"keys", "y"}} {
		put(t, s, place[0], place[1], `{"of":"`+place[0]+` `+place[1]+`"}`)
	}
	for _, swap := range [][2][2]string{
		{{"ab", "c"}, {"a", "bc"}}, {{"ab", "c"}, {"ab", "d"}}, {{"keys", "x"}, {"keys", "y"}},
	} {
		from, to := swap[0], swap[1]
		r := get(t, below, to[0], to[1])
		r.Data = get(t, below, from[0], from[1]).Data
		if _, err := below.Replace(t.Context(), r); err != nil {
			t.Fatalf("Replace: %v", err)
		}
		_, err := s.Get(t.Context(), to[0], to[1])
		if !errors.Is(err, sealed.ErrNotAuthentic) {
			t.Errorf("document of %q in the place of %q: got error %v", from, to, err)
		}
		if _, err := s.List(t.Context(), to[0], store.Query{}); !errors.Is(err, sealed.ErrNotAuthentic) {
			t.Errorf("List with the document of %q in the place of %q: got error %v", from, to, err)
		}
	}
}

func TestChangedDocumentsDoNotOpen(t *testing.T) {
	for _, kind := range []string{"keys", "other"} {
		below := newMemory(t)
		s := sealed.New(below, keys(t, firstText), nil)
		put(t, s, kind, "a", `{"n":1}`)
		r := get(t, below, kind, "a")
		whole := slices.Clone(r.Data)
		for i := range whole {
			r.Data = slices.Clone(whole)
			r.Data[i] ^= 1
			var err error
			if r.Revision, err = below.Replace(t.Context(), r); err != nil {
				t.Fatalf("Replace: %v", err)
			}
			got, err := s.Get(t.Context(), kind, "a")
			// A change of what marks a sealed document makes it one that is not, which holds nothing.
			if err == nil && (string(got.Data) == `{"n":1}` || !bytes.Equal(got.Data, r.Data)) {
				t.Errorf("%s: byte %d of %d was changed, and it opens as %q", kind, i, len(whole), got.Data)
			}
			if errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: byte %d changed: got error %v", kind, i, err)
			}
		}
	}
}

func TestClearDocumentsAreReadAndSealedWhenWritten(t *testing.T) {
	below := newMemory(t)
	s := sealed.New(below, keys(t, firstText), nil)
	put(t, below, "refresh", "a", `{"n":1}`)
	wantDocument(t, s, "refresh", "a", `{"n":1}`)
	r := get(t, s, "refresh", "a")
	if _, err := s.Replace(t.Context(), r); err != nil {
		t.Fatalf("Replace: %v", err)
	}
	if got := get(t, below, "refresh", "a").Data; bytes.Contains(got, []byte(`"n"`)) {
		t.Errorf("after a write it is still in clear: %q", got)
	}
	wantDocument(t, s, "refresh", "a", `{"n":1}`)
}

func TestWithoutTheKeyTheStorageIsSealed(t *testing.T) {
	below := newMemory(t)
	s := sealed.New(below, keys(t, firstText), nil)
	for _, kind := range []string{"keys", "refresh"} {
		put(t, s, kind, "a", "{}")
		for name, c := range map[string]struct {
			keys sealed.Keys
			open []string
			want string
		}{
			"no key":               {want: "no key is given: set DEX_STORAGE_KEY,"},
			"no key, open kind":    {open: []string{kind}, want: "no key is given: set DEX_STORAGE_KEY,"},
			"another key":          {keys: keys(t, secondText), want: "not among those given"},
			"another key, in List": {keys: keys(t, secondText), want: "not among those given"},
		} {
			other := sealed.New(below, c.keys, c.open)
			_, err := other.Get(t.Context(), kind, "a")
			if strings.HasSuffix(name, "List") {
				_, err = other.List(t.Context(), kind, store.Query{})
			}
			if !errors.Is(err, sealed.ErrSealed) || errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s with %s: got error %v", kind, name, err)
			}
		}
	}
	if _, err := sealed.New(below, sealed.Keys{}, nil).Get(t.Context(), "keys", "b"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an absent record: got error %v", err)
	}
}

func TestOpenKindsAndClearStoragesTakeNothingThatLooksSealed(t *testing.T) {
	below := newMemory(t)
	put(t, sealed.New(below, keys(t, firstText), nil), "other", "a", "{}")
	binary := get(t, below, "other", "a").Data
	for name, s := range map[string]store.Store{
		"open kind": sealed.New(below, keys(t, firstText), []string{"client"}),
		"no key":    sealed.New(below, sealed.Keys{}, nil),
	} {
		for _, document := range []string{string(binary), `{"sealed":"x"}`} {
			_, err := s.Create(t.Context(), store.Record{Kind: "client", Key: "a", Data: []byte(document)})
			if err == nil || errors.Is(err, store.ErrExists) {
				t.Errorf("%s took %q: error %v", name, document, err)
			}
		}
		put(t, s, "client", "not a text, "+name, `{"sealed":true}`)
		put(t, s, "client", "deeper, "+name, `{"a":{"sealed":"x"}}`)
	}
}

func TestSealedKindsTakeWhatLooksSealed(t *testing.T) {
	s := sealed.New(newMemory(t), keys(t, firstText), nil)
	document := store.SealedPrefix + "and what somebody made up"
	put(t, s, "other", "a", document)
	wantDocument(t, s, "other", "a", document)
}

func TestRotation(t *testing.T) {
	below := newMemory(t)
	first, both, second := keys(t, firstText), keys(t, secondText, firstText), keys(t, secondText)
	put(t, sealed.New(below, first, nil), "refresh", "a", "{}")
	s := sealed.New(below, both, nil)
	wantDocument(t, s, "refresh", "a", "{}")
	if _, err := s.Replace(t.Context(), get(t, s, "refresh", "a")); err != nil {
		t.Fatalf("Replace: %v", err)
	}
	wantDocument(t, sealed.New(below, second, nil), "refresh", "a", "{}")
	if _, err := sealed.New(below, first, nil).Get(t.Context(), "refresh", "a"); !errors.Is(err, sealed.ErrSealed) {
		t.Errorf("with the first key only: got error %v", err)
	}
}

func TestWhatIsBelowStaysReachable(t *testing.T) {
	below, k := newMemory(t), keys(t, firstText)
	s := sealed.New(below, k, nil)
	if got := s.(interface{ Unwrap() store.Store }).Unwrap(); got != below {
		t.Errorf("Unwrap: got %v", got)
	}
	if got, ok := sealed.KeysOf(outer{s}); !ok || !got.Any() {
		t.Error("KeysOf finds no keys below another wrapper")
	}
	if got, ok := sealed.KeysOf(sealed.New(below, sealed.Keys{}, nil)); !ok || got.Any() {
		t.Error("KeysOf does not find that there are no keys")
	}
	for _, other := range []store.Store{below, nil, struct{ store.Store }{s}} {
		if _, ok := sealed.KeysOf(other); ok {
			t.Errorf("KeysOf finds keys in %v", other)
		}
	}
}

type outer struct{ store.Store }

func (o outer) Unwrap() store.Store { return o.Store }

// A record whose key is gone must not hide those that expired after it, from those who look for expired records.
func TestExpiredWithoutTheKey(t *testing.T) {
	below := newMemory(t)
	first := sealed.New(below, keys(t, firstText), nil)
	second := sealed.New(below, keys(t, secondText), nil)
	for i, s := range []store.Store{first, second} {
		expires := time.Now().Add(time.Duration(i) * time.Second)
		r := store.Record{Kind: "expired", Key: fmt.Sprint(i), Expires: expires, Data: []byte(`{"a": 1}`)}
		if _, err := s.Create(t.Context(), r); err != nil {
			t.Fatalf("Create: %v", err)
		}
	}
	page, err := second.Expired(t.Context(), "expired", time.Now().Add(time.Hour), 0)
	if err != nil || len(page) != 2 {
		t.Fatalf("Expired: got %d records and error %v", len(page), err)
	}
	if !bytes.HasPrefix(page[0].Data, []byte(store.SealedPrefix)) || string(page[1].Data) != `{"a": 1}` {
		t.Errorf("Expired: got the documents %q and %q", page[0].Data, page[1].Data)
	}
	if n, err := second.Discard(t.Context(), "expired", page); n != 2 || err != nil {
		t.Errorf("Discard removed %d, error %v", n, err)
	}
}
