package configtemplate_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dex/internal/configtemplate"
)

func environ(t *testing.T) []string {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"NAME=Jane", "EMPTY=", "SECRET_FILE=" + secret, "LOST_FILE=/nowhere/to/be/found", `HARD="a": #b = $c`, "LIST=a,b"}
}

func TestRender(t *testing.T) {
	for template, want := range map[string]string{
		`{{ .Env.NAME }}`:                           "Jane",
		`{{ $.Env.HARD }}`:                          `"a": #b = $c`,
		`{{ env.Env.NAME }}`:                        "Jane",
		`{{ getenv "NAME" }}`:                       "Jane",
		`{{ getenv "NOBODY" }}`:                     "",
		`{{ getenv "NOBODY" "x" }}`:                 "x",
		`{{ getenv "NOBODY" 5 }}`:                   "5",
		`{{ getenv "EMPTY" "x" }}`:                  "x",
		`{{ getenv "SECRET" "x" }}`:                 "s3cret",
		`{{ env.Getenv "SECRET" }}`:                 "s3cret",
		`{{ env.HasEnv "EMPTY" }}`:                  "true",
		`{{ env.HasEnv "NOBODY" }}`:                 "false",
		`{{ env.ExpandEnv "${NAME} and $SECRET" }}`: "Jane and s3cret",
		`{{ file.Read .Env.SECRET_FILE }}`:          "s3cret\n",
		`{{ file.Exists .Env.SECRET_FILE }}`:        "true",
		`{{ file.Exists "/nowhere" }}`:              "false",

		`{{ getenv "HARD" | toJSON }}`:                               `"\"a\": #b = $c"`,
		`{{ getenv "HARD" | data.ToJSON }}`:                          `"\"a\": #b = $c"`,
		`{{ getenv "HARD" | toJson }}`:                               `"\"a\": #b = $c"`,
		`{{ getenv "HARD" | quote }}`:                                `"\"a\": #b = $c"`,
		`{{ getenv "HARD" | squote }}`:                               `'"a": #b = $c'`,
		`{{ "it's" | strings.Squote }}`:                              `'it''s'`,
		`{{ dict "b" 1 "a" (slice 1 "x") | toJSON }}`:                `{"a":[1,"x"],"b":1}`,
		`{{ dict "a" (coll.Slice 1 "x") | toYAML }}`:                 "a:\n    - 1\n    - x\n",
		`{{ (json "{\"a\": {\"b\": 1}}").a.b }}`:                     "1",
		`{{ index (jsonArray "[1, 2]") 1 }}`:                         "2",
		`{{ (data.YAML "a: b").a }}`:                                 "b",
		`{{ range yamlArray "[a, b]" }}<{{ . }}>{{ end }}`:           "<a><b>",
		`{{ join (coll.Keys (dict "b" 1 "a" 2)) "+" }}`:              "a+b",
		`{{ range strings.Split "," .Env.LIST }}- {{ . }};{{ end }}`: "- a;- b;",
		`{{ range split .Env.LIST "," }}- {{ . }};{{ end }}`:         "- a;- b;",
		`{{ index (splitN .Env.LIST "," 2) 1 }}`:                     "b",
		`{{ index (strings.SplitN "," 2 .Env.LIST) 1 }}`:             "b",

		`{{ default "x" "" }}{{ "" | default "y" }}{{ default "x" "z" }}`:                                           "xyz",
		`{{ conv.Default "x" .Env.EMPTY }}`:                                                                         "x",
		`{{ if bool "yes" }}1{{ end }}{{ if conv.ToBool "false" }}2{{ end }}{{ if conv.Bool "perhaps" }}3{{ end }}`: "1",
		`{{ if eq .Env.NAME "Jane" }}yes{{ else }}no{{ end }}`:                                                      "yes",
		`{{ ternary "a" "b" true }}{{ test.Ternary "a" "b" "off" }}`:                                                "ab",
		`{{ has (slice "a" "b") "b" }} {{ coll.Has (dict "k" 1) "x" }}`:                                             "true false",
		`{{ required "no name" .Env.NAME }}{{ test.Required .Env.NAME }}`:                                           "JaneJane",
		`{{ conv.ToInt " 5 " }} {{ conv.ToFloat64 "1.5" }} {{ conv.ToString 5 }}`:                                   "5 1.5 5",
		`{{ strings.ToUpper "a" }}{{ toUpper "b" }}{{ upper "c" }}`:                                                 "ABC",
		`{{ strings.ToLower "A" }}{{ toLower "B" }}{{ lower "C" }}`:                                                 "abc",
		`{{ strings.Title "jane doe" }}`:                                                                            "Jane Doe",
		`{{ strings.TrimSpace " a " }}|{{ trimSpace " b " }}`:                                                       "a|b",
		`{{ strings.Trim "/" "/a/" }}{{ trim "/b/" "/" }}`:                                                          "ab",
		`{{ strings.TrimPrefix "a" "ab" }}{{ strings.TrimSuffix "b" "ab" }}`:                                        "ba",
		`{{ trimPrefix "a" "ab" }}{{ trimSuffix "b" "ab" }}`:                                                        "ba",
		`{{ strings.TrimLeft "a" "aba" }}{{ strings.TrimRight "a" "aba" }}`:                                         "baab",
		`{{ strings.Contains "b" "abc" }} {{ contains "abc" "b" }}`:                                                 "true true",
		`{{ strings.HasPrefix "a" "abc" }} {{ hasPrefix "abc" "a" }}`:                                               "true true",
		`{{ strings.HasSuffix "c" "abc" }} {{ hasSuffix "abc" "c" }}`:                                               "true true",
		`{{ strings.ReplaceAll "." "," "1.5" }}{{ "1.5" | replaceAll "." ";" }}`:                                    "1,51;5",
		`{{ strings.Repeat 3 "a" }}{{ strings.Trunc 2 "abc" }}{{ repeat 1 "x" }}`:                                   "aaaabx",
		`{{ "a\nb" | strings.Indent 2 }}|{{ indent 1 "- " "c" }}|{{ "d" | nindent 2 }}`:                             "  a\n  b|- c|\n  d",
		`{{ base64.Encode "a" }} {{ base64.Decode "YQ==" }} {{ "a" | b64enc }}`:                                     "YQ== a YQ==",
		`{{ regexp.Replace "[0-9]+" "n" "a1b22" }} {{ regexp.Match "^a" "ab" }}`:                                    "anbn true",
		`{{ coalesce "" "b" }}{{ list 1 2 | len }}{{ empty "" }}`:                                                   "b2true",
		"{{/* nothing */}}a{{- /* nothing */ -}} b":                                                                 "ab",
		`{{ define "part" }}<{{ . }}>{{ end }}{{ template "part" "x" }}`:                                            "<x>",
		"{{ `{{ literal }}` }}": "{{ literal }}",
	} {
		out, err := configtemplate.Render(template, environ(t))
		if err != nil {
			t.Errorf("%s: %v", template, err)
		} else if got := string(out.Text); got != want {
			t.Errorf("%s becomes %q, want %q", template, got, want)
		}
	}
}

// Mistakes have their place, say what would be right, and quote no value of the environment.
func TestMistakes(t *testing.T) {
	const above = "a: b\nc: "
	for template, want := range map[string]string{
		`{{ .Env.NOBODY }}`:                                       `2:11: the environment variable NOBODY is not set; {{ getenv "NOBODY" "..." }} would have a default`,
		`{{ getenv "LOST" "default" }}`:                           "2:7: <getenv \"LOST\" \"default\">: LOST_FILE: open /nowhere/to/be/found: no such file or directory",
		`{{ getnev "NAME" }}`:                                     "2:0: there is no function getnev in templates; did you mean getenv?",
		`{{ datasource "x" }}`:                                    "2:0: there is no function datasource in templates; docs/container.md lists those that there are",
		`{{ strings.ToUper "x" }}`:                                "2:14: there is no function strings.ToUper in templates; did you mean strings.ToUpper?",
		`{{ if false }}{{ conv.X "x" }}{{ end }}`:                 "2:25: there is no function conv.X in templates; conv has Bool, Default, Has, Join, Slice, ToBool, ToFloat64, ToInt, ToString",
		`{{ fail "set NAME" }}`:                                   "2:7: set NAME",
		`{{ required "set IT" "" }}`:                              "2:7: set IT",
		`{{ required "" }}`:                                       "2:7: this value is required, and is empty",
		`{{ conv.ToInt .Env.HARD }}`:                              "2:11: <conv.ToInt>: this is not a whole number",
		`{{ base64.Decode .Env.HARD }}`:                           "2:13: <base64.Decode>: this is not base64",
		`{{ b64dec .Env.HARD }}`:                                  "2:7: <b64dec .Env.HARD>: this is not base64",
		`{{ json .Env.HARD }}`:                                    "2:7: <json .Env.HARD>: this is not a JSON object",
		`{{ data.YAMLArray .Env.HARD }}`:                          "2:11: <data.YAMLArray>: this is not a YAML list",
		`{{ if }}`:                                                "2:0: missing value for if",
		`{{ .Env.NAME`:                                            "2:0: unclosed action",
		`{{ .Nothing }}`:                                          `2:7: <.Nothing>: map has no entry for key "Nothing"`,
		`{{ (dict "a" 1).b }}`:                                    `2:17: <1>: map has no entry for key "b"`,
		`{{ strings.Repeat 20000000 "a" }}`:                       `2:14: <strings.Repeat>: this is a wrong number of times`,
		`{{ range 20 }}{{ strings.Repeat 1000000 "a" }}{{ end }}`: "0:0: the rendered configuration is larger than 16 MiB",
	} {
		_, err := configtemplate.Render(above+template, environ(t))
		mistake, ok := errors.AsType[*configtemplate.Error](err)
		if !ok {
			t.Errorf("%s: error %v", template, err)
			continue
		}
		if got := fmt.Sprintf("%d:%d: %s", mistake.Line, mistake.Column, mistake.Message); got != want {
			t.Errorf("%s: %s\nwant %s", template, got, want)
		}
		if strings.Contains(err.Error(), `"a": #b`) {
			t.Errorf("%s: the error %q has a value", template, err)
		}
	}
}

// Each line of what is rendered is led back to the line of the template that it comes from.
func TestLines(t *testing.T) {
	for _, c := range []struct {
		template, text string
		lines          []int
	}{
		{"a\nb\n", "a\nb\n", []int{1, 2, 3}},
		{"{{- /* a\nlong\ncomment */ -}}\na\nb", "a\nb", []int{4, 5}},
		{"a\n{{- if false }}\nb\n{{- end }}\nc", "a\nc", []int{1, 5}},
		{"a\n{{ range slice 1 2 -}}\nb\n{{ end }}c", "a\nb\nb\nc", []int{1, 3, 3, 4}},
		{"a\n{{ \"x\\ny\" }}\nb", "a\nx\ny\nb", []int{1, 2, 2, 3}},
		{"{{ define \"p\" }}\np\n{{ end -}}\na\n{{ template \"p\" }}\nb", "a\n\np\n\nb", []int{4, 1, 2, 5, 6}},
	} {
		out, err := configtemplate.Render(c.template, nil)
		if err != nil {
			t.Fatal(err)
		}
		if string(out.Text) != c.text || !slices.Equal(out.Lines, c.lines) {
			t.Errorf("%q becomes %q from the lines %v, want %q from %v", c.template, out.Text, out.Lines, c.text, c.lines)
		}
	}
}
