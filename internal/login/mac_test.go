package login

import (
	"testing"
)

// The addresses of steps are upstream's, so that both can serve one user at the same time.
func TestStepMAC(t *testing.T) {
	key := []byte("spec-vector-key")
	for label, want := range map[string]string{
		"step:continue":        "Bt18YRgl2H1tWkbtzhKwgBKNQmthcXDrFL828l39egw",
		"step:mfa":             "ACiB35w8Umv64heGDWXNZFzJ4KK4LXKLQgajJlD1yAw",
		"step:approval":        "Ypgy0Tg1OcOnMdVieqtOfxWc14CVGAquZtkPtWGX3tY",
		"step:approved":        "UDkvBl176BnL7BhkDgPe9d2yKapNODdwpLFHVsBdKok",
		"authenticator:totp-1": "QAqkKCK7DkHVPoRAYBsBMeh9iI78lifhX5RxsDDdwF0",
	} {
		if got := stepMAC(key, "req-1", label); got != want {
			t.Errorf("%s: got %s, want %s", label, got, want)
		}
		if validMAC(key, "req-1", "step:other", want) || validMAC(key, "req-2", label, want) {
			t.Errorf("%s: is good for another step", label)
		}
	}
}
