package app_test

import (
	"net/http"
	"testing"
	"time"

	"dex/internal/faulttest"
)

// A token is good from its nbf on, give or take what the clocks of replicas differ by.
var _ = faulttest.Add("T-verify-112", func(t *testing.T) {
	s, kept := startStored(t, configuration)
	key := keyset(t, kept).Current
	for in, status := range map[time.Duration]int{
		time.Minute: http.StatusOK, 10 * time.Minute: http.StatusUnauthorized,
	} {
		c := ownClaims()
		c["nbf"] = time.Now().Add(in).Unix()
		if a := s.bearer(signWith(t, key, c)); a.status != status {
			t.Errorf("a token that is good in %v: %d %s", in, a.status, a.body)
		}
	}
})
