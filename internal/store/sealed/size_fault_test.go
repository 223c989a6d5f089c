package sealed_test

import (
	"bytes"
	"strings"
	"testing"

	"dex/internal/faulttest"
	"dex/internal/store"
	"dex/internal/store/sealed"
)

// A document that is sealed as JSON grows by a third, beyond what every storage takes; nothing noticed when that was let
// through.
var _ = faulttest.Add("T-sealed-145", func(t *testing.T) {
	below := newMemory(t)
	s := sealed.New(below, keys(t, firstText), nil)
	document := func(size int) []byte { return append(append([]byte(`"`), bytes.Repeat([]byte("x"), size-2)...), '"') }
	r := store.Record{Kind: "keys", Key: "a", Data: document(store.MaxData - 1)}
	if _, err := s.Create(t.Context(), r); err == nil || !strings.Contains(err.Error(), "when it is sealed") {
		t.Errorf("Create of a document that grows too large: %v", err)
	}
	small := store.Record{Kind: "keys", Key: "a", Data: document(store.MaxData / 2)}
	revision, err := s.Create(t.Context(), small)
	if err != nil {
		t.Fatal(err)
	}
	r.Revision = revision
	if _, err := s.Replace(t.Context(), r); err == nil || !strings.Contains(err.Error(), "when it is sealed") {
		t.Errorf("Replace by a document that grows too large: %v", err)
	}
	if kept := get(t, below, "keys", "a"); len(kept.Data) > store.MaxData || kept.Revision != revision {
		t.Errorf("a document of %d bytes is kept", len(kept.Data))
	}
})
