package refresh

import (
	"testing"
)

func TestRefreshTokenString(t *testing.T) {
	for shown, want := range map[string][2]string{
		"CgR0ZXN0EgNiYXI": {"test", "bar"},
		"CgNhYmMSA2RlZg":  {"abc", "def"},
	} {
		if got := encode(want[0], want[1]); got != shown {
			t.Errorf("encode %v: got %s, want %s", want, got, shown)
		}
		if id, secret := decode(shown); id != want[0] || secret != want[1] {
			t.Errorf("decode %s: got %q, %q", shown, id, secret)
		}
	}
}

func FuzzDecodeRefreshToken(f *testing.F) {
	f.Add("CgR0ZXN0EgNiYXI")
	f.Add("")
	f.Add("CgR0ZXN0EgNiYXI=")
	f.Add("gICAgICAgICAgA")
	f.Fuzz(func(t *testing.T, s string) {
		id, secret := decode(s)
		again, againSecret := decode(encode(id, secret))
		if again != id || againSecret != secret {
			t.Errorf("%q decodes to %q, %q, which doesn't come back: %q, %q", s, id, secret, again, againSecret)
		}
		readSecret(secret)
	})
}
