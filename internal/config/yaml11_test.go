package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scalars has a field for each way to read a scalar.
type scalars struct {
	Bool bool           `key:"bool"`
	Int  int            `key:"int"`
	Text string         `key:"text"`
	Any  any            `key:"any"`
	Map  map[string]any `key:"map"`
}

// TestYAML11 has the readings of YAML 1.1 that files rely on. An empty problem means that there is none.
func TestYAML11(t *testing.T) {
	const (
		notBool = "dex.yaml:2:17: connectors[0].config.bool: must be true or false"
		notInt  = "dex.yaml:2:16: connectors[0].config.int: must be a whole number"
	)
	for _, test := range []struct {
		text    string
		want    scalars
		problem string
	}{
		{"{bool: y}", scalars{Bool: true}, ""},
		{"{bool: Y}", scalars{Bool: true}, ""},
		{"{bool: yes}", scalars{Bool: true}, ""},
		{"{bool: Yes}", scalars{Bool: true}, ""},
		{"{bool: YES}", scalars{Bool: true}, ""},
		{"{bool: on}", scalars{Bool: true}, ""},
		{"{bool: On}", scalars{Bool: true}, ""},
		{"{bool: ON}", scalars{Bool: true}, ""},
		{"{bool: true}", scalars{Bool: true}, ""},
		{"{bool: True}", scalars{Bool: true}, ""},
		{"{bool: TRUE}", scalars{Bool: true}, ""},
		{"{bool: n}", scalars{}, ""},
		{"{bool: N}", scalars{}, ""},
		{"{bool: no}", scalars{}, ""},
		{"{bool: No}", scalars{}, ""},
		{"{bool: NO}", scalars{}, ""},
		{"{bool: off}", scalars{}, ""},
		{"{bool: Off}", scalars{}, ""},
		{"{bool: OFF}", scalars{}, ""},
		{"{bool: false}", scalars{}, ""},
		{"{bool: False}", scalars{}, ""},
		{"{bool: FALSE}", scalars{}, ""},
		{"{bool: yEs}", scalars{}, notBool},
		{"{bool: 1}", scalars{}, notBool},
		{"{bool: !!bool 'on'}", scalars{Bool: true}, ""},
		{"{bool: !!str on}", scalars{}, notBool + ", without quotes"},
		{"{bool: 'true'}", scalars{}, notBool + ", without quotes"},
		{`{bool: "on"}`, scalars{}, notBool + ", without quotes"},

		{"{int: 010}", scalars{Int: 8}, ""},
		{"{int: -010}", scalars{Int: -8}, ""},
		{"{int: 0o17}", scalars{Int: 15}, ""},
		{"{int: 0x1F}", scalars{Int: 31}, ""},
		{"{int: 0b11}", scalars{Int: 3}, ""},
		{"{int: 1_000}", scalars{Int: 1000}, ""},
		{"{int: +5}", scalars{Int: 5}, ""},
		{"{int: 09}", scalars{Int: 9}, ""}, // no octal digit, and so a fraction without a fractional part
		{"{int: 12:30}", scalars{}, notInt},
		{"{int: 2001-01-01}", scalars{}, notInt},
		{"{int: .5}", scalars{}, notInt},
		{"{int: .inf}", scalars{}, notInt},
		{"{int: '5'}", scalars{}, notInt + ", without quotes"},
		{"{int: !!int '5'}", scalars{Int: 5}, ""},

		{"{text: 123}", scalars{Text: "123"}, ""},
		{"{text: 1.30}", scalars{Text: "1.30"}, ""},
		{"{text: yes}", scalars{Text: "yes"}, ""},
		{"{text: 12:30}", scalars{Text: "12:30"}, ""},
		{"{text: 2001-01-01}", scalars{Text: "2001-01-01"}, ""},
		{"{text: .inf}", scalars{Text: ".inf"}, ""},
		{"{text: ~}", scalars{}, ""},
		{"{text: 'null'}", scalars{Text: "null"}, ""},

		{"{any: 12:30}", scalars{Any: "12:30"}, ""},
		{"{any: 2001-01-01}", scalars{Any: "2001-01-01"}, ""},
		{"{any: 010}", scalars{Any: int64(8)}, ""},
		{"{any: '010'}", scalars{Any: "010"}, ""},
		{"{any: off}", scalars{Any: false}, ""},
		{"{any: 1e400}", scalars{Any: "1e400"}, ""},
		{"{any: -.INF}", scalars{}, "dex.yaml:2:16: connectors[0].config.any: must be a finite number; " +
			"write it in quotes if it is meant as text"},

		{"{map: {n: 1}}", scalars{Map: map[string]any{"false": int64(1)}}, ""},
		{"{map: {'n': 1}}", scalars{Map: map[string]any{"n": int64(1)}}, ""},
		{"{map: {on: 1, 010: 2, 1.5: 3}}", scalars{Map: map[string]any{"true": int64(1), "8": int64(2), "1.5": int64(3)}}, ""},
		{"{map: {a: 1, A: 2}}", scalars{Map: map[string]any{"a": int64(1), "A": int64(2)}}, ""},
		{"{map: {no: 1, off: 2}}", scalars{Map: map[string]any{"false": int64(2)}},
			"dex.yaml:2:24: connectors[0].config.map.false: is given twice; the value further down is used"},
		{"{map: {~: 1}}", scalars{Map: map[string]any{}},
			"dex.yaml:2:17: connectors[0].config.map: a key must be text, not a mapping, a list or null"},
	} {
		t.Run(test.text, func(t *testing.T) {
			var got scalars
			problem := ""
			// Nothing in an expanded section is quoted for good; so this one isn't.
			for _, p := range section(t, "# env: DEX_EXPAND_ENV=false\n", test.text).Decode(&got) {
				problem += p.String()
			}
			if problem != test.problem {
				t.Errorf("problem: got %q, want %q", problem, test.problem)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
		})
	}
}
