package federation

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/mock"
	"dex/internal/rule"
)

// read returns the connectors of a configuration with some settings.
func read(t *testing.T, settings string) []*Definition {
	t.Helper()
	src := config.Source{
		Name: "dex.yaml", Data: []byte("issuer: https://dex.test\nstorage: {type: memory}\nweb: {http: ':80'}\n" + settings),
		Env: func(name string) (string, bool) { return "s3cret", name == "PASSWORD" },
	}
	cfg, problems := src.Load()
	definitions, found := Read(cfg)
	if err := append(problems, found...).Err(); err != nil {
		t.Fatal(err)
	}
	return definitions
}

// Every member of a connector is read from the file, stored, and read again: one that is forgotten anywhere is missed here.
func TestEveryMember(t *testing.T) {
	const settings = `{"password":"s3cret","username":"u"}`
	decoded := &mock.PasswordConfig{Username: "u", Password: "s3cret"}
	var want Definition
	var file strings.Builder
	special := map[string]string{
		"type": "mockPassword", "grantTypes": "implicit", "logoURL": "static/logo.svg", "domains": "example.com",
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Definition]()) {
		value := reflect.ValueOf(&want).Elem().FieldByIndex(field.Index)
		key := field.Tag.Get("key")
		if field.Anonymous {
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" || !field.IsExported() {
			continue
		}
		word := name
		if other, ok := special[name]; ok {
			word = other
		}
		written := word
		switch v := value.Addr().Interface().(type) {
		case *string:
			*v = word
		case *[]string:
			*v, written = []string{word}, "["+word+"]"
		case *int:
			*v, written = 7, "7"
		case *bool:
			*v, written = true, "true"
		case *map[string]string:
			*v, written = map[string]string{"de": word}, "{de: "+word+"}"
		case **rule.SourceGroups:
			*v = &rule.SourceGroups{Groups: rule.Groups{Match: []string{"m"}, Rename: map[string]string{"a": "b"}, Case: rule.Upper, Prefix: "p"}, AllowSystem: true}
			written = "{match: [m], rename: {a: b}, case: upper, prefix: p, allowSystem: true}"
		case *[]rule.Refusal:
			*v = []rule.Refusal{{Expression: "true", Message: "'m'"}}
			written = `[{expression: "true", message: "'m'"}]`
		case **rule.TokenPolicy:
			*v = &rule.TokenPolicy{Claims: []rule.Claim{{Key: "'k'", Value: "'v'", Condition: "false"}}, Filter: &rule.Refusal{Expression: "true"}}
			written = `{claims: [{key: "'k'", value: "'v'", condition: "false"}], filter: {expression: "true"}}`
		case *[]byte: // the file has settings where the storage has JSON
			*v, written, key = []byte(settings), "{username: u, password: $PASSWORD}", "config"
		default:
			t.Fatalf("%s has the type %s: say how it is written", field.Name, field.Type)
		}
		if key != name {
			t.Errorf("%s is %q in the file and %q in the storage", field.Name, key, name)
		}
		fmt.Fprintf(&file, "  %s: %s\n", key, written)
	}
	definitions := read(t, "connectors:\n- # all\n"+file.String()+
		"sessions: {}\nmfa: {authenticators: [{id: mfaChain, type: TOTP, config: {}}]}\n")
	unstored := cmpopts.IgnoreTypes(config.Section{})
	configured := want
	configured.Config = decoded
	if diff := cmp.Diff([]*Definition{&configured}, definitions, unstored); diff != "" {
		t.Errorf("from the file (-want +got):\n%s", diff)
	}
	document, err := json.Marshal(definitions[0])
	if err != nil {
		t.Fatal(err)
	}
	var stored Definition
	if err := json.Unmarshal(document, &stored); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, stored, unstored); diff != "" {
		t.Errorf("from the storage (-want +got):\n%s", diff)
	}
	if again, _, err := stored.decode(); err != nil || cmp.Diff(decoded, again) != "" {
		t.Errorf("its settings are %+v, %v", again, err)
	}
}

// Members as upstream's objects have them.
func TestStoredForm(t *testing.T) {
	got, err := json.Marshal(Definition{ID: "i", Type: "oidc", Name: "n", Settings: []byte("{}"), Config: &mock.CallbackConfig{}})
	if want := `{"id":"i","type":"oidc","name":"n","config":"e30="}`; err != nil || string(got) != want {
		t.Errorf("got %s, want %s, error %v", got, want, err)
	}
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		connector Definition
		want      string
	}{
		{Definition{ID: "a", Type: "mockCallback"}, ""},
		{Definition{Type: "mockCallback"}, "id: is required: it is part of addresses and of what applications know their users by"},
		{Definition{ID: "a", Type: "local"}, `type: "local" is the password database, which enablePasswordDB: true switches on`},
		{Definition{ID: "a", Type: "odic"}, `type: "odic" is not allowed; did you mean "oidc"?`},
		{Definition{ID: "a", Type: "mockCallback", GrantTypes: []string{"any"}}, `grantTypes[0]: "any" is not allowed; it must be one of `},
		{Definition{ID: "a", Type: "mockCallback", Domains: []string{"example.com", "@example.com"}}, `domains[1]: "@example.com" must be a domain`},
		{Definition{ID: "a", Type: "mockCallback", Domains: []string{"*"}}, `domains[0]: "*" must be a domain`},
		{Definition{ID: "a", Type: "mockCallback", Names: map[string]string{"deutsch!": "x"}}, `names.deutsch!: "deutsch!" must be the tag of a language`},
		{Definition{ID: "a", Type: "mockCallback", LogoURL: "javascript:alert(1)"}, `logoURL: "javascript:alert(1)" must be a file below`},
		{Definition{ID: "a", Type: "mockCallback", LogoURL: "//cdn.test/logo.svg"}, `logoURL: "//cdn.test/logo.svg" must be a file below`},
		{Definition{ID: "a", Type: "mockCallback", LogoURL: "https://cdn.test/logo.svg"}, ""},
		{Definition{ID: "a", Type: "mockPassword", Settings: []byte(`{"username": []}`)}, "connector a: username: must be text, not a list"},
		{Definition{ID: "a", Type: "mockCallback", Settings: []byte(`x`)}, "connector a: not a JSON object: "},
	} {
		got := ""
		if err := test.connector.Validate(); err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%+v:\ngot  %s\nwant %s", test.connector, got, test.want)
		}
	}
}

// What is in a key that is ignored, such as a value that JSON doesn't have, keeps nobody from signing in.
func TestIgnoredSettingsBreakNothing(t *testing.T) {
	for _, ignored := range []string{".nan", "{[a, b]: x}"} {
		d := read(t, "connectors:\n- {type: mockPassword, id: c, name: C, config: {username: u, password: p, ignored: "+ignored+"}}\n")[0]
		want := &mock.PasswordConfig{Username: "u", Password: "p"}
		if diff := cmp.Diff(connector.Config(want), d.Config); diff != "" || d.Broken != nil {
			t.Errorf("%s: %v (-want +got):\n%s", ignored, d.Broken, diff)
		}
	}
}
