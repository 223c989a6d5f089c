package connector_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"dex/internal/connector"
)

func TestAllowGroups(t *testing.T) {
	for _, c := range []struct{ groups, allowed, want []string }{
		{nil, nil, nil},
		{[]string{"b", "a"}, nil, []string{"b", "a"}},
		{[]string{"c", "b", "a"}, []string{"a", "b"}, []string{"b", "a"}},
		{[]string{"A"}, []string{"a"}, nil},
		{nil, []string{"a"}, nil},
	} {
		before := slices.Clone(c.groups)
		got, err := connector.AllowGroups("orgs", c.groups, c.allowed)
		denied, isDenied := errors.AsType[*connector.Denied](err)
		if !slices.Equal(got, c.want) || isDenied != (len(c.allowed) > 0 && c.want == nil) {
			t.Errorf("%q of %q: %q, %v", c.allowed, c.groups, got, err)
		}
		if isDenied && !strings.Contains(denied.Error(), "none of orgs") {
			t.Errorf("the log does not name the setting: %v", denied)
		}
		if !slices.Equal(c.groups, before) {
			t.Errorf("the user's groups were changed to %q", c.groups)
		}
	}
}

func TestNeedsGroups(t *testing.T) {
	for _, c := range []struct {
		wanted  bool
		allowed []string
		want    bool
	}{{false, nil, false}, {true, nil, true}, {false, []string{"a"}, true}} {
		if got := connector.NeedsGroups(connector.Scopes{Groups: c.wanted}, c.allowed); got != c.want {
			t.Errorf("%v: %v", c, got)
		}
	}
}
