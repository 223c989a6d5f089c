package kubernetes

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"dex/internal/store"
)

func TestEarliest(t *testing.T) {
	first := earliest{limit: 3}
	for i, second := range []int64{5, 3, 9, 3, 7, 1, 3, 8} {
		r := store.Record{Key: fmt.Sprint(second, " ", i), Expires: time.Unix(second, 0)}
		if first.wants(r.Expires) {
			first.add(r)
		}
	}
	var keys []string
	for _, r := range first.records {
		keys = append(keys, r.Key)
	}
	if want := []string{"1 5", "3 1", "3 3"}; !slices.Equal(keys, want) {
		t.Errorf("got %q, want %q", keys, want)
	}
}
