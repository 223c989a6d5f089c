package factor

import (
	"testing"
	"time"
)

// RFC 6238, appendix B: the SHA-1 vectors, of which six digits are kept.
func TestVectorsOfRFC6238(t *testing.T) {
	secret := []byte("12345678901234567890")
	for at, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		if got := totpCode(secret, at/totpPeriod); got != want {
			t.Errorf("the code at %d is %s, want %s", at, got, want)
		}
	}
}

func TestWaitsDouble(t *testing.T) {
	for wrong, want := range map[int]time.Duration{
		0: 0, 1: 0, 4: 0, 5: 30 * time.Second, 6: time.Minute, 7: 2 * time.Minute, 8: 4 * time.Minute, 9: 8 * time.Minute,
		10: 15 * time.Minute, 11: 15 * time.Minute, 99: 15 * time.Minute,
	} {
		if got := waitAfter(wrong); got != want {
			t.Errorf("after %d wrong codes the wait is %s, want %s", wrong, got, want)
		}
	}
}
