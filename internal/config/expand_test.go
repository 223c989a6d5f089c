package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const variables = `
# env: A=a
# env: _b1=b
# env: EMPTY=
# env: PORT=5432
# env: ON=yes
# env: QUOTE="\ '
# env: A:-x=odd
`

func unset(key, name string) string {
	return "warning dex.yaml:2:17: connectors[0].config." + key + ": the environment variable " + name +
		" is not set, and stands for an empty text\n"
}

func TestExpansionOfText(t *testing.T) {
	for _, test := range []struct{ text, want, problems string }{
		{"$A", "a", ""},
		{"${A}", "a", ""},
		{"x$A-$_b1.${_b1}y", "xa-b.by", ""},
		{"$EMPTY", "", ""},
		{"$QUOTE", `"\ '`, ""},
		{"$NONE", "", unset("text", "NONE")},
		{"$NONE$NONE", "", unset("text", "NONE")},
		{"$A1", "", unset("text", "A1")},
		{"$$", "", unset("text", "$")},
		{"$1", "", unset("text", "1")},
		{"$12", "2", unset("text", "1")},
		{"$?$-", "", unset("text", "-") + unset("text", "?")},
		{"p@$$w0rd", "p@w0rd", unset("text", "$")},
		{`\$A`, `\a`, ""},
		{"x${", "x", ""},
		{"x${}y", "xy", ""},
		{"${A", "A", ""},
		{"$", "$", ""},
		{"$ x", "$ x", ""},
		{"$é", "$é", ""},
		{"a$", "a$", ""},
		{"${B:-x}", "", unset("text", "B:-x")},
		{"${A:-x}", "odd", ""},
		{"$.A", "$.A", ""},
	} {
		t.Run(test.text, func(t *testing.T) {
			var got scalars
			problems := section(t, variables, "{text: '"+test.text+"'}").Decode(&got)
			if diff := cmp.Diff(test.problems, lines(problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if got.Text != test.want {
				t.Errorf("got %q, want %q", got.Text, test.want)
			}
		})
	}
}

func TestExpansionByType(t *testing.T) {
	var got kinds
	problems := section(t, variables, "{port: $PORT, bool: $ON, int: '$PORT', duration: '${PORT}s', $A: x, free: $PORT, "+
		"list: [$A, '1'], any: {$A: [$A, [$A, {a: $A}], {a: $A}]}, map: {$A: $A}, pointer: {name: $A}}").Decode(&got)
	want := kinds{
		Port: 5432, Bool: true, Int: 5432, Duration: 5432e9, Free: "5432", List: []string{"a", "1"},
		Any: map[string]any{"$A": []any{"a", []any{"$A", map[string]any{"a": "$A"}}, map[string]any{"a": "a"}}},
		Map: map[string]string{"$A": "a"}, Pointer: &inner{Name: "a"},
	}
	if diff := cmp.Diff(want, got, ignoreSections, cmp.AllowUnexported(kinds{}, base{}), sameAddress); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	if len(problems) != 1 || problems[0].Key != "connectors[0].config.$A" {
		t.Errorf("problems: %v", problems)
	}
}

func TestExpansionThatDoesNotFit(t *testing.T) {
	want := `error   dex.yaml:2:17: connectors[0].config.port: must be a whole number from 0 to 65535
error   dex.yaml:2:27: connectors[0].config.bool: must be true or false
warning dex.yaml:2:27: connectors[0].config.bool: the environment variable NONE is not set, and stands for an empty text
`
	problems := section(t, variables, "{port: $A, bool: '${NONE}', int: '7'}").Decode(&kinds{})
	if diff := cmp.Diff(want, lines(problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestExpansionIsOff(t *testing.T) {
	var got scalars
	problems := section(t, variables+"# env: DEX_EXPAND_ENV=false\n", "{text: $A}").Decode(&got)
	if got.Text != "$A" || len(problems) > 0 {
		t.Errorf("got %q, problems %v", got.Text, problems)
	}
}

// Only a value that is clearly meant as a variable is named, because others may be passwords with a dollar sign.
func TestExpansionOfSecrets(t *testing.T) {
	type secrets struct {
		Password string `key:"bindPW"`
	}
	const unnamed = "warning dex.yaml:2:19: connectors[0].config.bindPW: a $ here begins the name of an environment " +
		"variable that is not set, and both are removed; write a $ as ${text:$}\n"
	for text, want := range map[string]string{
		"$NONE":      "warning dex.yaml:2:19: connectors[0].config.bindPW: the environment variable NONE is not set, and stands for an empty text\n",
		"${none}":    "warning dex.yaml:2:19: connectors[0].config.bindPW: the environment variable none is not set, and stands for an empty text\n",
		"$unter2":    unnamed,
		"h$UNTER2":   unnamed,
		"${A-unter}": unnamed,
		"$A":         "",
	} {
		problems := section(t, variables, "{bindPW: '"+text+"'}").Decode(&secrets{})
		if diff := cmp.Diff(want, lines(problems)); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", text, diff)
		}
	}
}
