package memory

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The index must agree with a sorted list of the keys of a set.
func TestIndexAgainstASet(t *testing.T) {
	x, set := newIndex(strings.Compare), make(map[string]bool)
	for range 20_000 {
		key := strconv.Itoa(rand.N(500))
		if rand.N(2) == 0 {
			x.add(key)
			set[key] = true
		} else {
			x.remove(key)
			delete(set, key)
		}
		if rand.N(100) > 0 {
			continue
		}
		var want []string
		for k := range set {
			if k >= key {
				want = append(want, k)
			}
		}
		slices.Sort(want)
		if got := slices.Collect(x.from(key)); !slices.Equal(got, want) {
			t.Fatalf("from %s: got %q, want %q", key, got, want)
		}
	}
}
