package expression_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"dex/internal/expression"
)

var everything = expression.Variables{Identity: true, Request: true, Claims: true, ExistingClaims: true}

func jane() expression.Input {
	return expression.Input{
		Identity: &expression.Identity{
			UserID: "1", Username: "Jane Doe", PreferredUsername: "jane", Email: "jane@example.com", EmailVerified: true,
			Groups: []string{"team/dev", "team/ops", "admins"},
		},
		Request: &expression.Request{
			ClientID: "app", ConnectorID: "ldap", RedirectURI: "https://app.example.com/cb", Scopes: []string{"openid", "email"},
		},
		Claims: map[string]any{
			"name": "Jane", "n": json.Number("12"), "half": 0.5, "tags": []any{"a", "b", 3.0},
			"realm_access": map[string]any{"roles": []any{"x", "y"}}, "address": nil,
		},
		ExistingClaims: map[string]any{"aud": "app"},
	}
}

func compile(t testing.TB, text string, want expression.Type) *expression.Program {
	t.Helper()
	p, err := expression.Compile(text, everything, want)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

func TestValues(t *testing.T) {
	for text, want := range map[string]any{
		`identity.user_id + identity.username`:                     "1Jane Doe",
		`identity.preferred_username`:                              "jane",
		`identity.email_verified`:                                  true,
		`"admins" in identity.groups`:                              true,
		`"admin" in identity.groups`:                               false,
		`identity.groups.size()`:                                   int64(3),
		`identity.groups[2]`:                                       "admins",
		`identity.groups + ["x"]`:                                  []any{"team/dev", "team/ops", "admins", "x"},
		`identity.groups.exists(g, g.startsWith("team/"))`:         true,
		`identity.groups.filter(g, g.endsWith("ops"))`:             []any{"team/ops"},
		`identity.groups == ["team/dev", "team/ops", "admins"]`:    true,
		`has(identity.email)`:                                      true,
		`dyn(identity).email`:                                      "jane@example.com",
		`identity == identity`:                                     true,
		`type(identity) == type(request)`:                          false,
		`request.client_id + request.connector_id`:                 "appldap",
		`request.redirect_uri.startsWith("https://")`:              true,
		`"email" in request.scopes`:                                true,
		`claims.name`:                                              "Jane",
		`claims.n + 1`:                                             int64(13),
		`claims.half`:                                              0.5,
		`claims.tags`:                                              []any{"a", "b", 3.0},
		`claims.address`:                                           nil,
		`claims.realm_access.roles.map(r, "kc:" + r)`:              []any{"kc:x", "kc:y"},
		`"roles" in claims.realm_access`:                           true,
		`has(claims.department) ? claims.department : "none"`:      "none",
		`existing_claims.aud`:                                      "app",
		`{"a": [1, 2.5, null, true], "b": {"c": "d"}}`:             map[string]any{"a": []any{int64(1), 2.5, nil, true}, "b": map[string]any{"c": "d"}},
		`dex.emailDomain(identity.email)`:                          "example.com",
		`dex.emailDomain("user@name@example.com")`:                 "name@example.com",
		`dex.emailDomain("user")`:                                  "",
		`dex.emailLocalPart("user@name@example.com")`:              "user",
		`dex.emailLocalPart("user")`:                               "user",
		`dex.groupMatches(identity.groups, "team/*")`:              []any{"team/dev", "team/ops"},
		`dex.groupMatches(identity.groups, "*")`:                   []any{"admins"},
		`dex.groupMatches(identity.groups, "team/[de]*")`:          []any{"team/dev"},
		`dex.groupMatches(identity.groups, "team/?ev")`:            []any{"team/dev"},
		`dex.groupMatches(["a*", "ab"], "a\\*")`:                   []any{"a*"},
		`dex.groupMatches(claims.tags, "?")`:                       []any{"a", "b"},
		`dex.groupFilter(identity.groups, ["admins", "team/dev"])`: []any{"team/dev", "admins"},
		`dex.groupFilter(claims.tags, ["b"])`:                      []any{"b"},
		`identity.email.split("@")[1]`:                             "example.com",
		`identity.groups.map(g, g.upperAscii()).join(",")`:         "TEAM/DEV,TEAM/OPS,ADMINS",
		`base64.encode(b"hi")`:                                     "aGk=",
		`sets.contains(identity.groups, ["admins"])`:               true,
		`math.greatest(1, 2)`:                                      int64(2),
		`[3, 1, 2].sort()`:                                         []any{int64(1), int64(2), int64(3)},
		`timestamp("2026-01-02T03:04:05Z").getHours()`:             int64(3),
		`string(timestamp("2026-01-02T03:04:05Z"))`:                "2026-01-02T03:04:05Z",
		`identity.email.matches("^[a-z]+@example\\.com$")`:         true,
		`"%s has %d".format([identity.username, 3])`:               "Jane Doe has 3",
		`uint(3)`: int64(3),
		`identity.groups.all(g, g in identity.groups)`:                true,
		`identity.groups.exists(g, request.scopes.exists(s, s == g))`: false,
	} {
		got, err := compile(t, text, expression.Any).Any(t.Context(), jane())
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, want %#v", text, got, want)
		}
	}
}

// Whatever may read the groups counts as reading them: their source is asked for them only then.
func TestReadsGroups(t *testing.T) {
	for text, want := range map[string]bool{
		`identity.email_verified && identity.username != "x"`:              false,
		`has(identity.email) && dyn(identity).email == ""`:                 false,
		`type(dyn(identity)["email"]) == type(dyn(dyn(identity)).user_id)`: false,
		`"admins" in claims.groups`:                                        false, // which are the source's own
		`request.client_id in ["groups"]`:                                  false,
		`["identity"].exists(x, x == identity.email)`:                      false,
		`"a" in identity.groups`:                                           true,
		`has(identity.groups)`:                                             true,
		`size(dyn(identity).groups) == 0`:                                  true,
		`size(dyn(identity)["groups"]) == 0`:                               true,
		`size(dyn(identity)["gro" + "ups"]) == 0`:                          true,
		`size(dyn(identity)[claims.field]) == 0`:                           true,
		`size(dyn([identity][0])["gro" + "ups"]) == 0`:                     true,
		`[identity].exists(i, size(i.groups) == 0)`:                        true,
		`[dyn(identity)][0] == 1`:                                          true,
		`{"i": identity}.i.email == ""`:                                    true, // can't be told
		`(identity.email_verified ? identity : identity) == dyn(1)`:        true,
	} {
		if got := compile(t, text, expression.Bool).ReadsGroups(); got != want {
			t.Errorf("%s: got %t", text, got)
		}
	}
}

func TestTypedResults(t *testing.T) {
	in := jane()
	if got, err := compile(t, `claims.name == "Jane"`, expression.Bool).Bool(t.Context(), in); err != nil || !got {
		t.Error(got, err)
	}
	if got, err := compile(t, `claims.name`, expression.String).String(t.Context(), in); err != nil || got != "Jane" {
		t.Error(got, err)
	}
	for _, text := range []string{`claims.realm_access.roles`, `["x", "y"]`, `["x"] + ["y"]`} {
		got, err := compile(t, text, expression.StringList).Strings(t.Context(), in)
		if err != nil || !reflect.DeepEqual(got, []string{"x", "y"}) {
			t.Error(text, got, err)
		}
	}
	if got, err := compile(t, `[]`, expression.StringList).Strings(t.Context(), in); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
}

func TestRefusedWhenEvaluated(t *testing.T) {
	in := jane()
	for text, want := range map[string]string{
		`claims.missing`:                         "no such key: missing",
		`claims.name.x`:                          "no such",
		`int(identity.email)`:                    "",
		`[1, 2][2]`:                              "out of",
		`1 / 0`:                                  "by zero",
		`timestamp("2026-01-02T03:04:05Z")`:      "a value of the type google.protobuf.Timestamp",
		`b"x"`:                                   "a value of the type bytes",
		`type(1)`:                                "a value of the type type",
		`identity`:                               "a value of the type cel.IdentityVal",
		`{1: 2}`:                                 "a map whose keys are int",
		`0.0 / 0.0`:                              "JSON",
		`18446744073709551615u`:                  "too large",
		`dex.groupMatches(identity.groups, "[")`: "no pattern",
		`dex.groupMatches([], "[")`:              "no pattern",
		`dex.groupMatches(["x"], "abc[")`:        "no pattern",
		`[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]`:  "too large",
		`lists.range(9000)`:                      "too large",
	} {
		got, err := compile(t, text, expression.Any).Any(t.Context(), in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v; want an error with %q", text, got, err, want)
		}
	}
	if _, err := compile(t, `claims.n`, expression.Bool).Bool(t.Context(), in); err == nil {
		t.Error("a number passed for a bool")
	}
	if _, err := compile(t, `claims.n`, expression.String).String(t.Context(), in); err == nil {
		t.Error("a number passed for a string")
	}
	for _, text := range []string{`claims.tags`, `claims.name`} {
		if _, err := compile(t, text, expression.StringList).Strings(t.Context(), in); err == nil {
			t.Errorf("%s passed for a list of strings", text)
		}
	}
}

func TestRefusedWhenCompiled(t *testing.T) {
	for _, c := range []struct {
		text         string
		on           expression.Variables
		want         expression.Type
		line, column int
		message      string
	}{
		{`true &&`, everything, expression.Bool, 1, 8, "Syntax error: it ends too early"},
		{"true &&\n  identity.e", everything, expression.Bool, 2, 11, "undefined field 'e'"},
		{`identity.email`, everything, expression.Bool, 1, 1, "must result in a bool, but results in string"},
		{`true`, everything, expression.String, 1, 1, "must result in a string"},
		{`[1]`, everything, expression.StringList, 1, 1, "must result in a list of strings, but results in list(int)"},
		{`claims.a`, expression.Variables{Identity: true}, expression.Any, 1, 1, `undeclared reference to 'claims'; known here: identity; text is written in quotes of its own, as in "'some text'"`},
		{`request.client_id`, expression.Variables{Identity: true}, expression.Any, 1, 1, "undeclared reference to 'request'"},
		{`identity.email`, expression.Variables{Claims: true}, expression.Any, 1, 1, "undeclared reference to 'identity'"},
		{`existing_claims.a`, expression.Variables{Claims: true}, expression.Any, 1, 1, "undeclared reference to 'existing_claims'"},
		{`"a" == 1`, everything, expression.Bool, 1, 5, "== can't be applied to (string, int)"},
		{`cel.IdentityVal{email: "x"}`, everything, expression.Any, 1, 16, "makes an object"},
		{`"` + strings.Repeat("a", 10_240) + `"`, everything, expression.String, 1, 1, "is 10242 bytes long, and may have 10240"},
		{"", everything, expression.Bool, 1, 1, "Syntax error"},
		{`Not today`, everything, expression.String, 1, 5, `Syntax error: extraneous input 'today'; text is written in quotes of its own`},
		{`!identity.groups`, everything, expression.Bool, 1, 1, "! can't be applied to (list(string))"},
		{`identity.groups.startsWith("a")`, everything, expression.Bool, 1, 27, "startsWith can't be applied to list(string).(string)"},
	} {
		_, err := expression.Compile(c.text, c.on, c.want)
		invalid, ok := errors.AsType[*expression.Invalid](err)
		if !ok {
			t.Errorf("%s: got %v", c.text, err)
			continue
		}
		if invalid.Line != c.line || invalid.Column != c.column || !strings.Contains(invalid.Message, c.message) {
			t.Errorf("%.60s: got %v; want %d:%d: %s", c.text, invalid, c.line, c.column, c.message)
		}
	}
}

// What the place of use offers may be missing all the same.
func TestMissingVariables(t *testing.T) {
	for _, text := range []string{`identity.email == ""`, `request.client_id == ""`, `claims.a == ""`, `existing_claims.a == ""`} {
		if got, err := compile(t, text, expression.Bool).Bool(t.Context(), expression.Input{}); err == nil {
			t.Errorf("%s: got %v without the variable", text, got)
		}
	}
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := compile(t, `true`, expression.Bool).Bool(ctx, jane()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// The estimates of the specification's reference points.
func TestNestedLoopsAreAffordable(t *testing.T) {
	compile(t, `identity.groups.exists(g, identity.groups.exists(h, g == h))`, expression.Bool)
	compile(t, `identity.groups.exists(g, request.scopes.exists(s, s == g))`, expression.Bool)
	_, err := expression.Compile(
		`identity.groups.exists(a, identity.groups.exists(b, identity.groups.exists(c, a == b + c)))`, everything, expression.Bool)
	if err == nil || !strings.Contains(err.Error(), "may cost") {
		t.Error(err)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	in := jane()
	many := jane()
	many.Identity.Groups = nil
	for i := range 10_000 {
		many.Identity.Groups = append(many.Identity.Groups, "team/"+strconv.Itoa(i))
	}
	for _, c := range []struct {
		name, text string
		in         expression.Input
	}{
		{"verified", `identity.email_verified`, in},
		{"in", `"admins" in identity.groups`, in},
		{"and", `identity.email_verified && request.client_id == "app"`, in},
		{"claim", `claims.name == "Jane"`, in},
		{"domain", `dex.emailDomain(identity.email) == "example.com"`, in},
		{"exists", `identity.groups.exists(g, g.startsWith("adm"))`, in},
		{"in-10000", `"admins" in identity.groups`, many},
		{"exists-10000", `identity.groups.exists(g, g.startsWith("adm"))`, many},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, ctx := compile(b, c.text, expression.Bool), b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Bool(ctx, c.in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
