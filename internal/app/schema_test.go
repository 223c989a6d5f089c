package app_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"dex/internal/app"
	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/federation"
)

// compiledSchema returns the schema as a library reads it, which also holds it to the rules of its draft.
func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := app.Schema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	const id = "urn:dex:schema:configuration"
	if err := c.AddResource(id, document); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile(id)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// validate returns what the schema says of a configuration, and false if it is no YAML that JSON can express.
func validate(t *testing.T, schema *jsonschema.Schema, text string) (string, bool) {
	t.Helper()
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return "", false
	}
	if err := schema.Validate(untimed(value)); err != nil {
		return err.Error(), true
	}
	return "", true
}

// untimed returns a value with dates as the texts that they are to other parsers, and to ours.
func untimed(value any) any {
	switch value := value.(type) {
	case time.Time:
		return value.Format(time.DateOnly)
	case map[string]any:
		for name := range value {
			value[name] = untimed(value[name])
		}
	case []any:
		for i := range value {
			value[i] = untimed(value[i])
		}
	}
	return value
}

func TestSchemaTakesEveryExample(t *testing.T) {
	t.Parallel()
	schema := compiledSchema(t)
	for _, name := range []string{
		"config.dev.yaml", "examples/config-annotated.yaml", "examples/config-ad-kubelogin.yaml", "examples/ldap/config-ldap.yaml",
	} {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		if mistake, _ := validate(t, schema, string(text)); mistake != "" {
			t.Errorf("%s: %s", name, mistake)
		}
	}
	for name, text := range docs(t) {
		if name == "docs/kubernetes.md" {
			continue // values of the chart
		}
		blocks, _ := yamlBlocks(text)
		for _, part := range blocks {
			if strings.HasPrefix(part, "server: ") {
				continue // what the commands that call a running server read
			}
			for key, missing := range map[string]string{"issuer:": "issuer: https://dex.example.com\n", "storage:": "storage: {type: memory}\n"} {
				if !strings.Contains("\n"+part, "\n"+key) {
					part += missing
				}
			}
			if mistake, ok := validate(t, schema, part); mistake != "" || !ok {
				t.Errorf("%s: %s\n%s", name, mistake, part)
			}
		}
	}
}

// visible are mistakes that a schema can tell.
var visible = regexp.MustCompile(`must be (true or false|a whole number|a duration|a list|a mapping)|is not allowed; |unknown key`)

// The mistakes that the tests of the configuration have are mistakes to the schema as far as a schema can tell, and what they find
// nothing wrong with isn't.
func TestSchemaAgreesWithCheck(t *testing.T) {
	t.Parallel()
	schema := compiledSchema(t)
	files, err := filepath.Glob("../config/testdata/problems/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	right, wrong := 0, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(text), "==== ")[1:] {
			title, rest, _ := strings.Cut(part, "\n")
			input, problems, _ := strings.Cut(rest, "----\n")
			if !strings.Contains(input, "# alone") {
				for key, missing := range map[string]string{"issuer:": "issuer: https://dex.test\n", "storage:": "storage: {type: memory}\n"} {
					if !strings.Contains("\n"+input, "\n"+key) {
						input += missing
					}
				}
			}
			mistake, ok := validate(t, schema, input)
			switch found := visible.MatchString(problems); {
			case !ok, strings.Contains(input, "DEX_EXPAND_ENV="): // the schema doesn't know the environment
			case found && mistake == "":
				t.Errorf("%s: %s: the schema takes\n%s\n%s", file, title, input, problems)
			case strings.TrimSpace(problems) == "" && mistake != "":
				t.Errorf("%s: %s: the schema refuses\n%s\n%s", file, title, input, mistake)
			case found:
				wrong++
			case mistake == "":
				right++
			}
		}
	}
	t.Logf("%d mistakes are seen, %d configurations taken", wrong, right)
	if wrong < 20 || right < 20 {
		t.Errorf("only %d mistakes, and %d configurations", wrong, right)
	}
}

// Every key that the program knows is in the schema with a description, at its documented spelling.
func TestSchemaHasEveryKey(t *testing.T) {
	t.Parallel()
	schema := compiledSchema(t)
	all := keys(reflect.TypeFor[config.Config](), "")
	for section, item := range map[string]reflect.Type{
		"staticClients": reflect.TypeFor[client.Client](), "staticPasswords": reflect.TypeFor[local.User](),
		"connectors": reflect.TypeFor[federation.Definition](),
	} {
		all = append(all, keys(item, section+"[].")...)
	}
	for _, key := range all {
		at := schema
		for name := range strings.SplitSeq(key, ".") {
			name, isList := strings.CutSuffix(name, "[]")
			if at = at.Properties[name]; at == nil {
				t.Errorf("%s is not in the schema", key)
				break
			}
			if isList {
				at = at.Items2020
			}
		}
		if at != nil && at.Description == "" {
			t.Errorf("%s has no description", key)
		}
	}
}

// The defaults in the schema are those of a configuration that leaves the settings out. An empty text may mean a default that only the
// room that uses it knows.
func TestSchemaDefaultsAreTrue(t *testing.T) {
	t.Parallel()
	plan, problems := app.Check(config.Source{Name: "least.yaml", Data: []byte(
		"issuer: https://dex.example.com\nstorage: {type: memory}\nweb: {http: 127.0.0.1:5556}\nenablePasswordDB: true\n")})
	if plan == nil {
		t.Fatal(app.Report(problems))
	}
	compared := 0
	var compare func(at *jsonschema.Schema, v reflect.Value, path string)
	compare = func(at *jsonschema.Schema, v reflect.Value, path string) {
		for i := range v.NumField() {
			name := v.Type().Field(i).Tag.Get("key")
			property, field := at.Properties[name], reflect.Indirect(v.Field(i))
			switch {
			case property == nil || !field.IsValid() || name == "enablePasswordDB":
			case property.Default != nil:
				want := fmt.Sprint(*property.Default)
				got := fmt.Sprint(field.Interface())
				if d, ok := field.Interface().(time.Duration); ok {
					wanted, err := time.ParseDuration(want)
					if want, got = wanted.String(), d.String(); err != nil {
						t.Errorf("%s: %v", path+name, err)
					}
				}
				if compared++; got != want && got != "" {
					t.Errorf("the default of %s is %s, and the schema says %s", path+name, got, want)
				}
			case field.Kind() == reflect.Struct && len(property.Properties) > 0:
				compare(property, field, path+name+".")
			}
		}
	}
	compare(compiledSchema(t), reflect.ValueOf(plan.Config).Elem(), "")
	if compared < 25 {
		t.Errorf("compared only %d defaults", compared)
	}
}

// Settings below config are those of the type that stands beside them.
func TestSchemaKnowsTypes(t *testing.T) {
	t.Parallel()
	schema := compiledSchema(t)
	const issuer = "issuer: https://dex.example.com\n"
	for text, right := range map[string]bool{
		"storage: {type: memory}\nconnectors: [{type: ldap, id: a, name: A, config: {startTLS: true, userSearch: {username: [mail]}}}]\n": true,
		"storage: {type: memory}\nconnectors: [{type: ldap, id: a, name: A, config: {startTLS: $TLS, userSearch: {username: mail}}}]\n":   true,
		"storage: {type: memory}\nconnectors: [{type: ldap, id: a, name: A, config: {bindPWFile: /run/secrets/ldap}}]\n":                  true,
		"storage: {type: memory}\nconnectors: [{type: ldap, id: a, name: A, config: {startTLS: sometimes}}]\n":                            false,
		"storage: {type: memory}\nconnectors: [{type: ldap, id: a, name: A, config: {clientID: dex}}]\n":                                  false,
		"storage: {type: memory}\nconnectors: [{type: oidc, id: a, name: A, config: {clientID: dex}}]\n":                                  true,
		"storage: {type: memory}\nconnectors: [{type: odic, id: a, name: A}]\n":                                                           false,
		"storage: {type: sqlite3, config: {file: dex.db}}\n":                                                                              true,
		"storage: {type: postgres, config: {file: dex.db}}\n":                                                                             false,
		"storage: {type: postgres, config: {port: $PORT}}\n":                                                                              true,
		"storage: {type: memory}\nsigner: {type: local, config: {algorithm: ES256}}\n":                                                    true,
		"storage: {type: memory}\nsigner: {type: vault, config: {algorithm: ES256}}\n":                                                    false,
		"storage: {type: memory}\nstaticPasswords: [{email: a@example.com, hashFromEnv: HASH}]\n":                                         true,
		"storage: {type: memory}\nstaticPasswords: [{email: a@example.com}]\n":                                                            false,
		"web: {http: 127.0.0.1:5556}\n": false,
	} {
		if mistake, ok := validate(t, schema, issuer+text); !ok || (mistake == "") != right {
			t.Errorf("taken must be %v of\n%s%s", right, text, mistake)
		}
	}
}
