package takeover_test

import (
	"slices"
	"testing"
	"time"

	"dex/internal/faulttest"
	"dex/internal/store/memory"
	"dex/internal/takeover"
)

// Nobody knew which keys were upstream's, and until when it signed with them.
var _ = faulttest.Add("U1", func(t *testing.T) {
	s := memory.New()
	if none, err := takeover.Tokens(t.Context(), s); err != nil || len(none.KeyIDs) > 0 {
		t.Errorf("before: %+v, %v", none, err)
	}
	path := newDatabase(t, "step13")
	keys, err := source(t, path, layout13).Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run(t, takeover.SQLite(openDatabase(t, path)), s, discard)
	got, err := takeover.Tokens(t.Context(), s)
	if err != nil || !slices.Contains(got.KeyIDs, keys.Current.KeyID) || time.Until(got.Until) < 0 {
		t.Errorf("got %+v, %v; want key %s", got, err, keys.Current.KeyID)
	}
})
