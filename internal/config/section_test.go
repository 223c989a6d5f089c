package config_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/config"
)

// section returns the config of a connector, written as a flow mapping that begins at dex.yaml:2:10.
func section(t *testing.T, env, text string) config.Section {
	t.Helper()
	return settings(load(t, "connectors: [{type: ldap, id: a, name: A,\n config: "+text+"}]\n"+env))
}

// settings returns the config of the first connector.
func settings(cfg *config.Config) config.Section { return connectors(cfg)[0].Config }

// connectors returns what there is of the connectors in this room.
func connectors(cfg *config.Config) (list []struct {
	Config config.Section `key:"config" expand:"env"`
}) {
	cfg.Connectors.Decode(&list)
	return list
}

type names []string

// UnmarshalConfig accepts one text for a list of one.
func (n *names) UnmarshalConfig(s config.Section) config.Problems {
	if s.IsList() {
		return s.Decode((*[]string)(n))
	}
	var name string
	problems := s.Decode(&name)
	if name == "nobody" {
		problems = append(problems, s.Problem("", "must not be nobody"))
	}
	*n = names{name}
	return problems
}

type base struct {
	Host string `key:"host"`
}

type inner struct {
	Name  string `key:"name"`
	Value int    `key:"value"`
}

type kinds struct {
	base

	Bool     bool              `key:"bool"`
	Int      int               `key:"int"`
	Int8     int8              `key:"int8"`
	Port     uint16            `key:"port"`
	Uint64   uint64            `key:"uint64"`
	Duration time.Duration     `key:"duration"`
	Bytes    []byte            `key:"bytes"`
	List     []string          `key:"list"`
	Structs  []inner           `key:"structs"`
	Map      map[string]string `key:"map"`
	Any      map[string]any    `key:"any"`
	Free     any               `key:"free"`
	Inner    inner             `key:"inner"`
	Pointer  *inner            `key:"pointer"`
	Number   *int              `key:"number"`
	Address  netip.Addr        `key:"address"`
	Secret   netip.Addr        `key:"secret"`
	Names    names             `key:"names"`
	Section  config.Section    `key:"section"`
	Func     func()            `key:"func"`
	Ignored  string
}

var sameAddress = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestSectionDecode(t *testing.T) {
	seven := 7
	tests := []struct {
		name, text string
		want       kinds
		problems   string
	}{
		{name: "nothing", text: "{}"},
		{name: "any case", text: "{HOST: a, Int8: -128, PORT: 65535}", want: kinds{base: base{"a"}, Int8: -128, Port: 65535}},
		{
			name: "scalars", text: "{bool: Off, int: -1_000, uint64: 18446744073709551615, duration: 1h30m, bytes: aGk=}",
			want: kinds{Int: -1000, Uint64: 1<<64 - 1, Duration: 90 * time.Minute, Bytes: []byte("hi")},
		},
		{
			name: "integers written as fractions", text: "{int: 1e3, port: 5432.0, uint64: +5}",
			want: kinds{Int: 1000, Port: 5432, Uint64: 5},
		},
		{
			name: "collections", text: "{list: [a, 1], structs: [{name: a, value: 0x1F}], map: {a: 1, on: x}}",
			want: kinds{
				List: []string{"a", "1"}, Structs: []inner{{"a", 31}}, Map: map[string]string{"a": "1", "true": "x"},
			},
		},
		{
			name: "anything", text: "{any: {a: yes, b: 010, c: 1.5, d: [~, '5', {e: f}], 18446744073709551615: 18446744073709551615}, free: x}",
			want: kinds{
				Any: map[string]any{
					"a": true, "b": int64(8), "c": 1.5, "d": []any{nil, "5", map[string]any{"e": "f"}},
					"18446744073709551615": uint64(1<<64 - 1),
				},
				Free: "x",
			},
		},
		{
			name: "structs and pointers", text: "{inner: {name: a}, pointer: {value: 7}, number: 7}",
			want: kinds{Inner: inner{Name: "a"}, Pointer: &inner{Value: 7}, Number: &seven},
		},
		{name: "null", text: "{bool: ~, int: , pointer: null, list: ~, any: ~, names: ~, section: ~}"},
		{
			name: "types that read themselves", text: "{address: 10.0.0.1, names: [a, b]}",
			want: kinds{Address: netip.MustParseAddr("10.0.0.1"), Names: names{"a", "b"}},
		},
		{name: "types that take one for a list", text: "{names: a}", want: kinds{Names: names{"a"}}},
		{
			name: "problems of types that read themselves", text: "{names: nobody, address: here, secret: here}",
			want: kinds{Names: names{"nobody"}},
			problems: `error   dex.yaml:2:18: connectors[0].config.names: must not be nobody
error   dex.yaml:2:35: connectors[0].config.address: cannot be read: ParseAddr("here"): unable to parse IP
error   dex.yaml:2:49: connectors[0].config.secret: cannot be read
`,
		},
		{
			name: "ranges", text: "{int8: 128, port: 65536, uint64: -1, int: 1.5, structs: [{value: x}]}",
			want: kinds{Structs: []inner{{}}},
			problems: `error   dex.yaml:2:17: connectors[0].config.int8: must be a whole number from -128 to 127
error   dex.yaml:2:28: connectors[0].config.port: must be a whole number from 0 to 65535
error   dex.yaml:2:43: connectors[0].config.uint64: must be a whole number from 0 to 18446744073709551615
error   dex.yaml:2:52: connectors[0].config.int: must be a whole number
error   dex.yaml:2:75: connectors[0].config.structs[0].value: must be a whole number
`,
		},
		{
			name: "shapes", text: "{host: {}, bool: [], list: a, map: [], inner: a, bytes: '?', any: {a: .inf}, section: a, func: a}",
			want: kinds{Any: map[string]any{"a": nil}},
			problems: `error   dex.yaml:2:11: connectors[0].config.host: must be text, not a mapping
error   dex.yaml:2:21: connectors[0].config.bool: must be true or false, not a list
error   dex.yaml:2:37: connectors[0].config.list: must be a list, not a single value
error   dex.yaml:2:40: connectors[0].config.map: must be a mapping, not a list
error   dex.yaml:2:56: connectors[0].config.inner: must be a mapping of settings, not a single value
error   dex.yaml:2:66: connectors[0].config.bytes: must be bytes in standard base64
error   dex.yaml:2:80: connectors[0].config.any.a: must be a finite number; write it in quotes if it is meant as text
error   dex.yaml:2:96: connectors[0].config.section: must be a mapping of settings, not a single value
error   dex.yaml:2:105: connectors[0].config.func: cannot be read into the Go type func()
`,
		},
		{
			name: "unknown keys", text: "{hots: a, Ignored: b, pointer: {naem: c}}", want: kinds{Pointer: &inner{}},
			problems: `warning dex.yaml:2:11: connectors[0].config.hots: unknown key, ignored; did you mean "host"?
warning dex.yaml:2:20: connectors[0].config.Ignored: unknown key, ignored; known here are host, bool, int, int8, port, uint64, duration, bytes, list, structs, map, any, free, inner, pointer, number, address, secret, names, section, func; settings of the type stand one level deeper, below section
warning dex.yaml:2:42: connectors[0].config.pointer.naem: unknown key, ignored; did you mean "name"?
`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got kinds
			problems := section(t, "", test.text).Decode(&got)
			if diff := cmp.Diff(test.problems, lines(problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, got, ignoreSections, cmp.AllowUnexported(kinds{}, base{}), sameAddress); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSectionKeepsDefaults(t *testing.T) {
	got := inner{Name: "default", Value: 1}
	problems := section(t, "", "{value: 2, name: ~}").Decode(&got)
	if diff := cmp.Diff(inner{Name: "default", Value: 2}, got); diff != "" || len(problems) > 0 {
		t.Errorf("problems: %v, decoded (-want +got):\n%s", problems, diff)
	}
}

func TestSectionOfSection(t *testing.T) {
	var outer kinds
	problems := section(t, "# env: HOST=h\n", "{section: {name: $HOST, naem: x}}").Decode(&outer)
	var got inner
	problems = append(problems, outer.Section.Decode(&got)...)
	want := "warning dex.yaml:2:34: connectors[0].config.section.naem: unknown key, ignored; did you mean \"name\"?\n"
	if diff := cmp.Diff(want, lines(problems)); diff != "" || got.Name != "h" {
		t.Errorf("name %q, problems (-want +got):\n%s", got.Name, diff)
	}
}

func TestAbsentSection(t *testing.T) {
	for _, text := range []string{"~", ""} {
		s := section(t, "", text)
		got := inner{Name: "default"}
		if problems := s.Decode(&got); len(problems) > 0 || got.Name != "default" {
			t.Errorf("decode: %+v, problems %v", got, problems)
		}
		if data, err := s.JSON(); !s.IsZero() || err != nil || string(data) != "null" || s.Has("x") {
			t.Errorf("zero %t, JSON %s, %v", s.IsZero(), data, err)
		}
	}
	for text, want := range map[string]string{
		"\n- {type: ldap, id: a, name: A}":              "dex.yaml:2:3: connectors[0].config.host: is required",
		" [{type: ldap, id: a, name: A,\n  config: ~}]": "dex.yaml:1:14: connectors[0].config.host: is required",
	} {
		s := settings(load(t, "connectors:"+text+"\n"))
		if got := s.Problem("host", "is required").String(); got != want {
			t.Errorf("problem of an absent section: got %q, want %q", got, want)
		}
	}
	if p := (config.Section{}).Problem("host", "is required"); p.String() != "host: is required" {
		t.Errorf("problem: %s", p)
	}
}

func TestSectionProblem(t *testing.T) {
	s := section(t, "", "{Host: a, list: [x, y], inner: {name: b}, deep: {a: [{b: c}]}}")
	for key, want := range map[string]string{
		"":             "dex.yaml:2:2: connectors[0].config: no",
		"host":         "dex.yaml:2:17: connectors[0].config.host: no",
		"list[1]":      "dex.yaml:2:30: connectors[0].config.list[1]: no",
		"list[2]":      "dex.yaml:2:20: connectors[0].config.list[2]: no",
		"inner.value":  "dex.yaml:2:34: connectors[0].config.inner.value: no",
		"port":         "dex.yaml:2:2: connectors[0].config.port: no",
		"deep.a[0].b":  "dex.yaml:2:67: connectors[0].config.deep.a[0].b: no",
		"deep.a[x].b":  "dex.yaml:2:59: connectors[0].config.deep.a[x].b: no",
		"deep.a[-1].b": "dex.yaml:2:59: connectors[0].config.deep.a[-1].b: no",
	} {
		if got := s.Problem(key, "%s", "no").String(); got != want {
			t.Errorf("problem at %q: got %q, want %q", key, got, want)
		}
	}
}

func TestSectionDecodeNeedsPointer(t *testing.T) {
	s := section(t, "", "{}")
	for _, dst := range []any{nil, inner{}, (*inner)(nil)} {
		if problems := s.Decode(dst); !problems.HasErrors() {
			t.Errorf("decoding into %#v has no problem", dst)
		}
	}
}

func TestSectionFromJSON(t *testing.T) {
	const variable = "$HOME ${HOME}"
	data := `{"host": "` + variable + `", "int": 7, "port": 5.432e3, "Bool": true, "list": [], "pointer": null,
		"uint64": 18446744073709551615, "inner": {"name": "\ud83d\ude00"}, "any": {"a": [1.5, false, null]}}`
	s, err := config.SectionFromJSON("connector ldap", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	var got kinds
	problems := s.Decode(&got)
	want := kinds{
		base: base{variable}, Int: 7, Port: 5432, Bool: true, List: []string{}, Uint64: 1<<64 - 1, Inner: inner{Name: "😀"},
		Any: map[string]any{"a": []any{1.5, false, nil}},
	}
	if diff := cmp.Diff(want, got, ignoreSections, cmp.AllowUnexported(kinds{}, base{}), sameAddress); diff != "" || len(problems) > 0 {
		t.Errorf("problems: %v, decoded (-want +got):\n%s", problems, diff)
	}
}

func TestSectionFromJSONProblems(t *testing.T) {
	s, err := config.SectionFromJSON("connector ldap", []byte(`{"hots": "a", "port": "1", "inner": {"value": "x"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `warning connector ldap: hots: unknown key, ignored; did you mean "host"?
error   connector ldap: inner.value: must be a whole number, without quotes
error   connector ldap: port: must be a whole number from 0 to 65535, without quotes
`
	if diff := cmp.Diff(want, lines(s.Decode(&kinds{}))); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	for _, data := range []string{"", "[]", "{", `{"a":1} {}`, `"x"`, "hunter2"} {
		if _, err := config.SectionFromJSON("connector ldap", []byte(data)); err == nil {
			t.Errorf("%q is read without an error", data)
		}
	}
	if s, err := config.SectionFromJSON("connector ldap", []byte("null")); err != nil || !s.IsZero() {
		t.Errorf("null: zero %t, %v", s.IsZero(), err)
	}
}

func TestSectionJSON(t *testing.T) {
	s := section(t, "# env: PASSWORD=a\"b\n", "{b: [1, 0x1F, 1.5, yes, ~, 'no'], a: {password: $PASSWORD, n: ''}}")
	data, err := s.JSON()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"a":{"false":"","password":"a\"b"},"b":[1,31,1.5,true,null,"no"]}`
	if string(data) != want {
		t.Errorf("got %s, want %s", data, want)
	}
	if _, err := section(t, "", "{a: .nan}").JSON(); err == nil {
		t.Error("NaN becomes JSON")
	}
}

func TestAliasBomb(t *testing.T) {
	bomb := "{a0: &a0 [x, x, x, x, x, x, x, x, x, x]"
	for _, level := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		below := string(level[0] - 1)
		bomb += ", a" + level + ": &a" + level + " [" + strings.Repeat("*a"+below+", ", 10) + "]"
	}
	for name, text := range map[string]string{
		"wide":     bomb + "}",
		"cyclic":   "&a {a: [*a, *a]}",
		"deep":     strings.Repeat("{a: ", 200) + strings.Repeat("}", 200),
		"merges":   "&a {a: {<<: [*a, *a]}, <<: [*a, *a]}",
		"nullable": "{a: [" + strings.Repeat("~, ", 1000) + "]}",
	} {
		t.Run(name, func(t *testing.T) {
			s := section(t, "", text)
			var tree map[string]any
			var typed struct {
				A names `key:"a"`
			}
			problems := append(s.Decode(&tree), s.Decode(&typed)...)
			if !problems.HasErrors() || len(problems) > 2000 {
				t.Errorf("%d problems, the first of them: %v", len(problems), problems[:min(len(problems), 3)])
			}
		})
	}
}
