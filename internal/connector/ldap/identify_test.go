package ldap_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	"dex/internal/connector/ldap"
)

func TestIdentifyWithoutAPassword(t *testing.T) {
	s := serve(t, nil, jane(), group("staff", jane().dn))
	c := open(t, users(s)+everything)
	want := mustLogin(t, c, offline, "jane", "foo")
	binds := len(s.binds)
	got, err := ldap.Identify(t.Context(), c, offline, "jane")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v, identity (-login +identify):\n%s", err, diff)
	}
	if len(s.binds) != binds {
		t.Errorf("%d binds", len(s.binds)-binds)
	}
	if _, err := ldap.Identify(t.Context(), c, offline, "nobody"); !errors.Is(err, ldap.ErrNoUser) {
		t.Errorf("nobody: got %v", err)
	}
	disabled := jane()
	disabled.attributes["nsAccountLock"] = []string{"true"}
	s.change(disabled)
	if _, err := ldap.Identify(t.Context(), c, offline, "jane"); connector.OutcomeOf(err) != connector.Refused {
		t.Errorf("disabled: got %v", err)
	}
}
