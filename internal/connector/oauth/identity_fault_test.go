package oauth_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

// as signs in a user of whom the provider says what the test says.
func as(t *testing.T, settings object, userInfo string) (connector.Identity, string, error) {
	t.Helper()
	p := newProvider(t)
	p.knows(userInfo)
	id, err := p.signIn(p.open(settings), connector.Scopes{Groups: true})
	return id, p.log.String(), err
}

// Users whose ids are numbers that floating point can't tell apart became one.
var _ = faulttest.Add("R3", func(t *testing.T) {
	for number, want := range map[string]string{
		"1": "1", "1000": "1000", "12345678": "1.2345678e+07", "-7": "-7", "1.0": "1", "1e3": "1000", "1.5": "1.5",
		"9007199254740991": "9.007199254740991e+15", "9007199254740992": "9.007199254740992e+15",
		"9007199254740993": "", "9007199254740994": "", "12345678901234567890": "", "-9007199254740993": "", "1e300": "", "1e999": "",
		"1.00000000000000000001": "", "0.1000000000000000000001": "",
	} {
		id, _, err := as(t, nil, `{"id": `+number+`}`)
		unusable, isUnusable := errors.AsType[*connector.Unusable](err)
		switch {
		case want == "" && (!isUnusable || !strings.Contains(err.Error(), "exactNumericIDs") || unusable.Reason == ""):
			t.Errorf("%s: %q, %v", number, id.UserID, err)
		case want != "" && (err != nil || id.UserID != want):
			t.Errorf("%s: %q, %v", number, id.UserID, err)
		}
		if id, _, err := as(t, object{"exactNumericIDs": true}, `{"id": `+number+`}`); err != nil || id.UserID != number {
			t.Errorf("%s, exact: %q, %v", number, id.UserID, err)
		}
	}
})

// An address that the provider calls unverified in its own spelling counted as one of which it says nothing.
var _ = faulttest.Add("C-11", func(t *testing.T) {
	for said, want := range map[string]bool{`true`: true, `"True"`: true, `"1"`: true, `1`: true, `false`: false, `"FALSE"`: false, `0`: false, `"no"`: false, `null`: false} {
		id, log, err := as(t, object{"insecureSkipEmailVerified": true}, `{"id": "u", "email": "j@x", "email_verified": `+said+`}`)
		if err != nil || id.EmailVerified != want {
			t.Errorf("%s: %v, %v", said, id.EmailVerified, err)
		}
		if odd := said == `"no"` || said == `null`; strings.Contains(log, "email_verified") != odd {
			t.Errorf("%s: the log says %s", said, log)
		}
	}
})

// Groups in an object, or below a name with dots, were not found, and nothing said so.
var _ = faulttest.Add("C-29", func(t *testing.T) {
	keyed := func(key string) object { return object{"claimMapping": object{"groupsKey": key}} }
	const client = `{"id": "u", "resource_access": {"my.app": {"roles": ["b", "a"]}, "back\\slash": {"roles": ["c"]}}}`
	for name, c := range map[string]struct {
		settings object
		userInfo string
		want     []string
		hint     string
	}{
		"object":            {nil, `{"id": "u", "groups": {"dev": {"1": "x"}, "admin": {}, "off": false, "none": null}}`, []string{"admin", "dev"}, ""},
		"dot":               {keyed(`resource_access.my\.app.roles`), client, []string{"b", "a"}, ""},
		"backslash":         {keyed(`resource_access.back\\slash.roles`), client, []string{"c"}, ""},
		"dot, not escaped":  {keyed(`resource_access.my.app.roles`), client, nil, `my.app`},
		"nothing, standard": {nil, client, nil, ""},
	} {
		id, log, err := as(t, c.settings, c.userInfo)
		if err != nil || !slices.Equal(id.Groups, c.want) {
			t.Errorf("%s: %q, %v", name, id.Groups, err)
		}
		if told := strings.Contains(log, "finds nothing"); told != (c.hint != "") || !strings.Contains(log, c.hint) {
			t.Errorf("%s: the log says %s", name, log)
		}
	}
})
