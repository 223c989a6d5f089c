package refresh

import (
	"testing"
	"time"

	"dex/internal/faulttest"
)

// The first token isn't given again when it was used, also where tokens don't rotate.
var _ = faulttest.Add("T-family-118", func(t *testing.T) {
	b := newBench(t, Lifetimes{})
	shown := b.begin()
	b.clock = b.clock.Add(time.Second)
	b.mustRefresh(shown)
	if again, begun, err := b.First(t.Context(), "f", "code"); again != "" || !begun.At.IsZero() || err != nil {
		t.Errorf("after its use: got %q of %+v and error %v", again, begun, err)
	}
})
