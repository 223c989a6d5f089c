package relyingparty_test

import (
	"testing"
	"time"

	"dex/internal/faulttest"
	"dex/internal/relyingparty"
)

// A time that a provider writes as a text counted as none, so that tokens seemed to have expired.
var _ = faulttest.Add("C-31", func(t *testing.T) {
	for said, want := range map[string]int64{
		`1700000000`: 1700000000, `"1700000000"`: 1700000000, `1700000000.7`: 1700000000, `"soon"`: 0, `""`: 0, `"NaN"`: 0, `"Inf"`: 0,
		`-5`: 0, `1e300`: 0, `true`: 0, `null`: 0, `["1700000000"]`: 0,
	} {
		claims, err := relyingparty.ReadClaims([]byte(`{"exp": ` + said + `}`))
		if err != nil {
			t.Fatal(err)
		}
		got := claims.Time("exp")
		if want == 0 && !got.IsZero() || want != 0 && !got.Equal(time.Unix(want, 0)) {
			t.Errorf("%s is %v", said, got)
		}
	}
})
