package oauth

import (
	"errors"
	"testing"
)

func TestErrorSaysEachThingOnce(t *testing.T) {
	for want, err := range map[string]*Error{
		"access_denied":                          {Code: AccessDenied},
		"access_denied: You are out.":            Errorf(AccessDenied, "You are out."),
		"access_denied: You are out: no group":   Errorf(AccessDenied, "You are out.").Because(errors.New("no group")),
		"access_denied: You are out: no group x": Errorf(AccessDenied, "You are out.").Because(errors.New("You are out: no group x")),
		"access_denied: Not here: no group x":    Errorf(AccessDenied, "Not here: no group.").Because(errors.New("no group x")),
		"access_denied: no group":                Errorf(AccessDenied, "").Because(errors.New("no group")),
	} {
		if got := err.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
