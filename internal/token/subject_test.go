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
