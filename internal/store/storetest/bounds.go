package storetest

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"

	"dex/internal/store"
)

var oddKeys = []string{
	"\x00", "\x00\x00", "\x01", "\t\n", " ", "  ", "%", "%00", "%2f", "'", "''", "';--", "*", "../..", "/", "//",
	"1", "10", "2", "?", "A", "Z", "\\", "_", "`", "a", "a\x00", "a\x00b", "a ", "a%", "a/b", "a_b", "aB", "ab", "z",
	"{}", "~", "\x7f", "\x80", "é", "ß", "日本", "\U0001f511", "\xc3", "\xff", "\xff\xff",
}

var boundsCases = []testCase{
	{"OddKeys", func(f *fixture) {
		for _, key := range oddKeys {
			f.create(f.record(key))
		}
		for _, key := range oddKeys {
			f.wantRecord(f.record(key))
		}
		order := f.list(store.Query{})
		f.wantSameKeys(order, oddKeys)
		for i, key := range order {
			if got := f.list(store.Query{After: key}); !slices.Equal(got, order[i+1:]) {
				f.Errorf("List after %q: got %q, want %q", key, got, order[i+1:])
			}
		}
		for _, key := range oddKeys {
			if err := f.Delete(f.ctx, f.kind, key, ""); err != nil {
				f.Errorf("Delete %q: %v", key, err)
			}
			f.wantNotFound(key)
		}
	}},
	{"OddOwners", func(f *fixture) {
		for i, owner := range oddKeys {
			r := f.record(string(rune('a' + i)))
			r.Owner = owner
			f.create(r)
			f.wantRecord(r)
		}
		for i, owner := range oddKeys {
			want := []string{string(rune('a' + i))}
			if got := f.list(store.Query{Owner: owner}); !slices.Equal(got, want) {
				f.Errorf("List of owner %q: got %q, want %q", owner, got, want)
			}
		}
	}},
	{"KeysAreCaseSensitive", func(f *fixture) {
		f.create(f.record("key"))
		f.wantNotFound("KEY")
		f.create(f.record("KEY"), f.record("Key"))
		f.wantRecord(f.record("key"))
		f.wantRecord(f.record("KEY"))
	}},
	{"LongestKey", func(f *fixture) {
		longest := strings.Repeat("k", store.MaxKey)
		r := f.record(longest)
		r.Owner = strings.Repeat("o", store.MaxKey)
		f.create(r)
		f.wantRecord(r)
		if got := f.list(store.Query{Owner: r.Owner}); !slices.Equal(got, []string{longest}) {
			f.Errorf("List by the longest owner: got %d keys", len(got))
		}
		wide := f.record(strings.Repeat("\xff", store.MaxKey))
		f.create(wide)
		f.wantRecord(wide)
	}},
	{"RecordsOverTheBoundsAreRefused", func(f *fixture) {
		long := strings.Repeat("k", store.MaxKey+1)
		for what, r := range map[string]store.Record{
			"no kind":    {Key: "a"},
			"no key":     {Kind: f.kind},
			"long kind":  {Kind: long, Key: "a"},
			"long key":   {Kind: f.kind, Key: long},
			"long owner": {Kind: f.kind, Key: "a", Owner: long},
			"large data": {Kind: f.kind, Key: "a", Data: make([]byte, store.MaxData+1)},
		} {
			_, err := f.Create(f.ctx, r)
			f.wantRefused("Create with "+what, err)
			_, err = f.Replace(f.ctx, r)
			f.wantRefused("Replace with "+what, err)
		}
		f.wantNotFound("a")
	}},
	{"KeysOverTheBoundsAreNotFound", func(f *fixture) {
		f.create(f.record("a"))
		for _, key := range []string{"", strings.Repeat("k", store.MaxKey+1), strings.Repeat("k", 1<<20)} {
			f.wantNotFound(key)
			f.wantError("Delete", f.Delete(f.ctx, f.kind, key, ""), store.ErrNotFound)
			_, err := f.Get(f.ctx, key, "a")
			f.wantError("Get of such a kind", err, store.ErrNotFound)
		}
		long := strings.Repeat("z", store.MaxKey+1)
		if got := f.list(store.Query{Owner: long}); len(got) != 0 {
			f.Errorf("List of an owner over the bounds: got %q", got)
		}
	}},
	{"Data", func(f *fixture) {
		everyByte := make([]byte, 256)
		for i := range everyByte {
			everyByte[i] = byte(i)
		}
		for key, data := range map[string][]byte{
			"none":    nil,
			"empty":   {},
			"binary":  everyByte,
			"json":    []byte(`{"a": "b\u0000", "c":1.0}`), // kept as it is, not parsed
			"largest": bytes.Repeat(everyByte, store.MaxData/len(everyByte)),
		} {
			r := store.Record{Kind: f.kind, Key: key, Data: data}
			r.Revision = f.create(r)
			f.wantRecord(r)
			if _, err := f.Replace(f.ctx, r); err != nil {
				f.Errorf("Replace %s: %v", key, err)
			}
			r.Revision = ""
			f.wantRecord(r)
		}
		if got := f.list(store.Query{}); len(got) != 5 {
			f.Errorf("List: got %q", got)
		}
	}},
	{"ZeroFields", func(f *fixture) {
		f.create(store.Record{Kind: f.kind, Key: "a"})
		r := f.get("a")
		if r.Owner != "" || !r.Expires.IsZero() || len(r.Data) != 0 {
			f.Errorf("got %+v, want no owner, expiry or data", r)
		}
	}},
	{"TimeZones", func(f *fixture) {
		for _, offset := range []int{-8, 0, 14} {
			r := f.record(string(rune('o' + offset)))
			r.Expires = time.Now().Add(time.Hour).In(time.FixedZone("", offset*3600))
			f.create(r)
			f.wantRecord(r)
		}
	}},
}

// wantRefused checks for an error that does not say anything about a record.
func (f *fixture) wantRefused(what string, err error) {
	f.Helper()
	switch {
	case err == nil:
		f.Errorf("%s: got no error", what)
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrExists), errors.Is(err, store.ErrConflict):
		f.Errorf("%s: got error %v, which is an answer about a record", what, err)
	}
}
