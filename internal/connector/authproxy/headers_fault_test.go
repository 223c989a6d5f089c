package authproxy_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

// When the proxy's own header was dropped on the way, another header became the user's id or verified address.
var _ = faulttest.Add("R6", func(t *testing.T) {
	all := http.Header{
		"X-User": {"jane"}, "X-Id": {"42"}, "X-Name": {"jd"}, "X-Display": {"Jane Doe"}, "X-Mail": {"jane@example.org"}, "X-Teams": {"staff"},
	}
	settings := object{
		"userHeader": "X-User", "userIDHeader": "X-Id", "userNameHeader": "X-Name", "displayNameHeader": "X-Display",
		"emailHeader": "X-Mail", "groupHeader": "X-Teams",
	}
	if _, err := back(t, open(t, settings), all, connector.Scopes{}); err != nil {
		t.Fatal(err)
	}
	for header := range all {
		for name, value := range map[string][]string{"absent": nil, "empty": {""}, "not set": {"(null)"}} {
			headers := maps.Clone(all)
			if headers[header] = value; value == nil {
				delete(headers, header)
			}
			_, err := back(t, open(t, settings), headers, connector.Scopes{})
			if header == "X-Teams" { // users may be in none
				if err != nil {
					t.Errorf("%s is %s: %v", header, name, err)
				}
				continue
			}
			if err == nil || !strings.Contains(err.Error(), header) {
				t.Errorf("%s is %s: %v", header, name, err)
			}
			if header != "X-User" && connector.OutcomeOf(err) != connector.AccountUnusable {
				t.Errorf("%s is %s: %s", header, name, connector.OutcomeOf(err))
			}
		}
	}
	t.Run("as upstream", func(t *testing.T) {
		upstream := maps.Clone(settings)
		upstream["requireHeaders"] = false
		id, err := back(t, open(t, upstream), http.Header{"X-User": {"jane"}}, connector.Scopes{})
		if err != nil || id.UserID != "jane" || id.Email != "jane" || id.Username != "jane" || id.PreferredUsername != "jane" {
			t.Errorf("%+v, %v", id, err)
		}
	})
	t.Run("headers that are not named", func(t *testing.T) {
		if id, err := back(t, open(t, nil), http.Header{"X-Remote-User": {"jane"}}, connector.Scopes{}); err != nil || id.UserID != "jane" {
			t.Errorf("%+v, %v", id, err)
		}
	})
	t.Run("warning", func(t *testing.T) {
		for _, test := range []struct {
			settings object
			warns    bool
		}{
			{object{}, true}, {object{"emailVerified": true}, true},
			{object{"emailVerified": false}, false}, {object{"emailHeader": "X-Mail"}, false},
		} {
			_, problems := decode(t, test.settings)
			found := false
			for _, p := range problems {
				found = found || strings.HasSuffix(p.Key, "emailVerified") && p.Warning
			}
			if found != test.warns {
				t.Errorf("%v: %v", test.settings, problems)
			}
		}
	})
})

// Apache writes "(null)" for a variable that is not set: everybody who had not signed in became one user of that name.
var _ = faulttest.Add("C-32", func(t *testing.T) {
	for _, unset := range []string{"(null)", " (null) ", "-"} {
		_, err := back(t, open(t, nil), http.Header{"X-Remote-User": {unset}}, connector.Scopes{})
		if err == nil || connector.OutcomeOf(err) == connector.Refused || !strings.Contains(err.Error(), "did not sign anybody in") {
			t.Errorf("user %q: %v", unset, err)
		}
		id, err := back(t, open(t, nil), http.Header{
			"X-Remote-User": {"jane"}, "X-Remote-User-Id": {unset}, "X-Remote-User-Name": {unset}, "X-Remote-User-Email": {unset},
			"X-Remote-Group": {unset, "a," + unset + ",b"},
		}, connector.Scopes{})
		if err != nil || id.UserID != "jane" || id.Email != "jane" || id.PreferredUsername != "jane" || !slices.Equal(id.Groups, []string{"a", "b"}) {
			t.Errorf("%q elsewhere: %+v, %v", unset, id, err)
		}
		_, err = back(t, open(t, object{"secretHeader": "X-Secret", "secret": "0123456789abcdef"}),
			http.Header{"X-Remote-User": {"jane"}, "X-Secret": {unset}}, connector.Scopes{})
		if err == nil {
			t.Errorf("secret %q is taken", unset)
		}
	}
})
