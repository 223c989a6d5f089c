package limit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/connector"
	"dex/internal/faulttest"
	"dex/internal/telemetry"
)

// Spellings that a directory takes for the same name got around the limit on one user's passwords.
var _ = faulttest.Add("R8", func(t *testing.T) {
	spellings := []string{
		"jane doe", "JANE DOE", "jane\u00a0doe", " jane\u2003doe", "ja\u00adne doe", "ja\u200bne doe", "j\u034fane doe", "ｊane doe", "𝐣ane doe",
		"jane doe\ufe0f",
	}
	synctest.Test(t, func(t *testing.T) {
		s, source := NewSet(), &checker{}
		for i := range 9 {
			for _, name := range spellings {
				_, _, err := s.CheckPassword(telemetry.WithRequest(t.Context(), "id", "192.0.2.1"), "ldap", source, connector.Scopes{}, name, "wrong")
				if _, exceeded := errors.AsType[*Exceeded](err); exceeded != (i > 0) {
					t.Errorf("try %d as %q: %v", i, name, err)
				}
			}
		}
		if source.asked != 10 {
			t.Errorf("the source was asked %d times, want 10", source.asked)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, source := NewSet(), &checker{}
		guess := func(name string) {
			_, _, _ = s.CheckPassword(telemetry.WithRequest(t.Context(), "id", "192.0.2.1"), "ldap", source, connector.Scopes{}, name, "wrong")
		}
		// However long a name is, what nobody sees of it makes no other one of it.
		for _, name := range []string{"jane doe", strings.Repeat("\u200b", 1000) + "jane doe", "jane doe" + strings.Repeat(" ", 3000)} {
			for range 9 {
				guess(name)
			}
		}
		if source.asked != 10 {
			t.Errorf("long spellings: the source was asked %d times, want 10", source.asked)
		}
		// Names that differ late are others.
		for _, length := range []int{340, 20000} {
			source.asked = 0
			for i := range 20 {
				guess(strings.Repeat("\ufdfa", length) + fmt.Sprint(i))
			}
			if source.asked != 20 {
				t.Errorf("names of %d characters share a limit: the source was asked %d times, want 20", length, source.asked)
			}
		}
	})
})

// finder is a source whose user has many names.
type finder struct {
	checker
	found []string
}

func (f *finder) LoginFound(
	ctx context.Context, s connector.Scopes, username, password string, found func(string) error,
) (connector.Identity, bool, error) {
	f.found = append(f.found, username)
	if strings.HasPrefix(username, "nobody") {
		return connector.Identity{}, false, nil
	}
	if err := found("cn=" + username[:1]); err != nil {
		return connector.Identity{}, false, err
	}
	return f.Login(ctx, s, username, password)
}

// Where the source says whom it has found, that user's tries count together under all names.
var _ = faulttest.Add("R8", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, source := NewSet(), &finder{}
		try := func(address, name, password string) (bool, error) {
			_, ok, err := s.CheckPassword(telemetry.WithRequest(t.Context(), "id", address), "ldap", source, connector.Scopes{}, name, password)
			return ok, err
		}
		for i := range 30 {
			_, err := try("192.0.2.1", fmt.Sprint("jane", i), "wrong")
			if _, exceeded := errors.AsType[*Exceeded](err); exceeded != (i >= 10) {
				t.Errorf("try %d: %v", i, err)
			}
		}
		if source.asked != 10 {
			t.Errorf("%d passwords were checked, want 10", source.asked)
		}
		ok, err := try("192.0.2.1", "jane again", "right")
		if _, exceeded := errors.AsType[*Exceeded](err); ok || !exceeded {
			t.Errorf("the right password is told: %t, %v", ok, err)
		}
		if ok, err := try("192.0.2.1", "mary", "right"); !ok {
			t.Errorf("another user: %v", err)
		}
		if ok, err := try("192.0.2.2", "jane 3", "right"); !ok {
			t.Errorf("from elsewhere: %v", err)
		}
		// What is refused for the user counts for the address.
		for i := range 100 {
			_, _ = try("192.0.2.1", fmt.Sprint("jane by yet another name ", i), "wrong")
		}
		asked := len(source.found)
		_, err = try("192.0.2.1", "mary", "right")
		if _, exceeded := errors.AsType[*Exceeded](err); !exceeded || len(source.found) != asked {
			t.Errorf("an address finds users without end: %v", err)
		}
		// A right password costs nothing.
		s, source = NewSet(), &finder{}
		for i := range 200 {
			if ok, err := try("192.0.2.1", fmt.Sprint("jane", i%3), "right"); !ok {
				t.Fatalf("right password %d: %v", i, err)
			}
		}
		// Nobody waits twice.
		for i := range 1000 {
			_, _ = try(fmt.Sprintf("192.0.%d.%d", i/200, i%200), "jane", "wrong")
		}
		began := time.Now()
		if ok, err := try("203.0.113.1", "jane", "right"); !ok || time.Since(began) > longestPause {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if slices.Contains(source.found, "") {
			t.Error("empty name")
		}
	})
})
