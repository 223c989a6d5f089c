package token

import (
	"testing"
)

func TestSubject(t *testing.T) {
	for _, test := range []struct{ user, connector, want string }{
		{"foo", "bar", "CgNmb28SA2Jhcg"},
		{"0-385-28089-0", "mock", "Cg0wLTM4NS0yODA4OS0wEgRtb2Nr"},
		{"a", "", "CgFh"},
		{"08a8684b-db88-4b73-90a9-3cd1661f5466", "local", "CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs"},
	} {
		if got := Subject(test.user, test.connector); got != test.want {
			t.Errorf("Subject(%q, %q) = %s, want %s", test.user, test.connector, got, test.want)
		}
	}
}

func TestRefreshTokenString(t *testing.T) {
	for token, want := range map[string][2]string{
		"CgR0ZXN0EgNiYXI": {"test", "bar"},
		"CgNhYmMSA2RlZg":  {"abc", "def"},
	} {
		if got := encodeRefreshToken(want[0], want[1]); got != token {
			t.Errorf("encode %v: got %s, want %s", want, got, token)
		}
		if id, secret := decodeRefreshToken(token); id != want[0] || secret != want[1] {
			t.Errorf("decode %s: got %q, %q", token, id, secret)
		}
	}
}

func FuzzDecodeRefreshToken(f *testing.F) {
	f.Add("CgR0ZXN0EgNiYXI")
	f.Add("")
	f.Add("CgR0ZXN0EgNiYXI=")
	f.Add("gICAgICAgICAgA")
	f.Fuzz(func(t *testing.T, s string) {
		id, secret := decodeRefreshToken(s)
		again, againSecret := decodeRefreshToken(encodeRefreshToken(id, secret))
		if again != id || againSecret != secret {
			t.Errorf("%q decodes to %q, %q, which doesn't come back: %q, %q", s, id, secret, again, againSecret)
		}
		readSecret(secret)
	})
}
