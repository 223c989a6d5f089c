package etcd

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/store"
)

var odd = []string{
	"a", "a/b", "a%2Fb", "%", "/", "//", "a/", "/a", "\x00", "\xff", "é", "a b", "a+b", "..", "records", "refresh", "~",
}

// Different kinds, owners and keys never share a key, and no prefix holds a key of another.
func TestKeysAreUnambiguous(t *testing.T) {
	l := newLayout("namespace/")
	meant := map[string]string{l.changed(): "changed"}
	note := func(key string, parts ...string) {
		what := fmt.Sprintf("%q", parts)
		if other, ok := meant[key]; ok {
			t.Errorf("%q is the key of %s and of %s", key, other, what)
		}
		meant[key] = what
	}
	prefixes := map[string]string{}
	for _, kind := range odd {
		prefixes[l.records(kind)] = fmt.Sprintf("[%q %q ", "record", kind)
		prefixes[l.expiries(kind)] = fmt.Sprintf("[%q %q ", "expires", kind)
		for _, other := range odd {
			note(l.record(kind, other), "record", kind, other)
			note(l.expiry(kind, 1, other), "expires", kind, other)
			prefixes[l.owned(kind, other)] = fmt.Sprintf("[%q %q %q ", "owner", kind, other)
			for _, key := range odd {
				note(l.owned(kind, other)+key, "owner", kind, other, key)
			}
		}
	}
	for prefix, beginning := range prefixes {
		for key, what := range meant {
			if within := key >= prefix && key < end(prefix); within != strings.HasPrefix(what, beginning) {
				t.Fatalf("key %q of %s and prefix %q: within is %v", key, what, prefix, within)
			}
		}
	}
}

func TestAnnouncements(t *testing.T) {
	for _, kind := range odd {
		for _, key := range odd {
			want := store.Change{Kind: kind, Key: key}
			if got := parseAnnouncement(announcement(kind, key)); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
	}
	for _, unknown := range []string{"", "client", "%zz/a"} {
		if got := parseAnnouncement(unknown); got != (store.Change{}) {
			t.Errorf("%q: got %+v, want what stands for everything", unknown, got)
		}
	}
}

var times = []int64{math.MinInt64, -1, 0, 1, time.Now().UnixMilli(), math.MaxInt64 - 1, never}

func TestKeysOfExpirySortAsTheirTimes(t *testing.T) {
	l := newLayout("")
	var keys []string
	for _, ms := range times {
		keys = append(keys, l.expiry("kind", ms, "/"))
		if key, ok := keyOfExpiry(strings.TrimPrefix(keys[len(keys)-1], l.expiries("kind"))); !ok || key != "/" {
			t.Errorf("the key of %d is read as %q, %v", ms, key, ok)
		}
	}
	if !slices.IsSorted(keys) {
		t.Errorf("not sorted: %q", keys)
	}
	for _, short := range []string{"", "0", strings.Repeat("0", timeDigits), strings.Repeat("0", timeDigits+1)} {
		if _, ok := keyOfExpiry(short); ok {
			t.Errorf("%q is taken for a key", short)
		}
	}
}

// The server compares values with valueFrom to tell which records are live.
func TestValuesCompareAsTheirTimes(t *testing.T) {
	for _, expires := range times {
		value := []byte(encode(header{expires: expires}, nil))
		for _, ms := range times {
			if got := bytes.Compare(value, valueFrom(ms)) > 0; got != (expires >= ms) {
				t.Errorf("a value that expires at %d is more than that of %d: %v", expires, ms, got)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(encode(header{expires: never}, []byte(`{"a":1}`))))
	f.Add([]byte(encode(header{expires: 1, owner: strings.Repeat("o", store.MaxKey)}, nil)))
	f.Add([]byte{})
	f.Add([]byte{version, 0, 0, 0, 0, 0, 0, 0, 0, 5, 'a'})
	f.Add([]byte{version + 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, value []byte) {
		h, data, err := decode(value)
		if err != nil {
			return
		}
		again, same, err := decode([]byte(encode(h, data)))
		if err != nil || again != h || !bytes.Equal(same, data) {
			t.Errorf("%+v with %q became %+v with %q, error %v", h, data, again, same, err)
		}
	})
}
