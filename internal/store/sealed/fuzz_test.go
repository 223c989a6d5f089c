package sealed_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/store/sealed"
)

func inAnHour() time.Time { return time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond) }

// FuzzOpen gives the opener stored documents that anybody may have made. It returns them as they are, or an error; only
// what was sealed opens.
func FuzzOpen(f *testing.F) {
	const document = `{"n":1}`
	k := keys(f, firstText, secondText)
	below := newMemory(f)
	s := sealed.New(below, k, nil)
	genuine := map[string]bool{}
	for _, kind := range []string{"keys", "other"} {
		if _, err := s.Create(f.Context(), store.Record{Kind: kind, Key: "a", Data: []byte(document)}); err != nil {
			f.Fatal(err)
		}
		r, err := below.Get(f.Context(), kind, "a")
		if err != nil {
			f.Fatal(err)
		}
		genuine[string(r.Data)] = true
		f.Add(r.Data, kind)
		f.Add(r.Data[:len(r.Data)/2], kind)
		f.Add(append([]byte(" "), r.Data...), kind)
	}
	for _, seed := range []string{
		"", "{}", document, store.SealedPrefix, store.SealedPrefix + "12345678", `{"sealed":""}`, `{"sealed":null}`,
		`{"sealed":"."}`, `{"sealed":"12345678."}`, `{"sealed":"12345678.AAAA"}`, `{"sealed":{"sealed":"x"}}`, `["sealed"]`,
		`{"sealed":"\ud800"}`, `{"Sealed":"x"}`, `{"sealed":"a","sealed":1}`, strings.Repeat(`{"sealed":`, 50),
	} {
		f.Add([]byte(seed), "other")
	}
	f.Fuzz(func(t *testing.T, data []byte, kind string) {
		r := store.Record{Kind: kind, Key: "fuzzed", Data: data}
		if r.Check() != nil {
			return
		}
		below := newMemory(t)
		if _, err := below.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		got, err := sealed.New(below, k, nil).Get(t.Context(), kind, "fuzzed")
		switch {
		case err != nil && (errors.Is(err, store.ErrNotFound) || !errors.Is(err, sealed.ErrSealed) && !errors.Is(err, sealed.ErrNotAuthentic)):
			t.Errorf("%q: got error %v", data, err)
		case err == nil && !bytes.Equal(got.Data, data):
			t.Errorf("%q opens as %q, and nothing was sealed for this record", data, got.Data)
		case err == nil && genuine[string(data)]:
			t.Errorf("%q was sealed for another record and is taken for one in clear", data)
		}
		if _, err := k.OpenText(kind, "fuzzed", string(data)); err == nil {
			t.Errorf("%q opens", data)
		}
	})
}
