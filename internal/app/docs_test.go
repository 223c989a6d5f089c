package app_test

import (
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
)

// docs returns the pages that users read.
func docs(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	root := os.DirFS("../..")
	names, err := fs.Glob(root, "docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, "README.md") {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			t.Fatal(err)
		}
		pages[name] = string(text)
	}
	return pages
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// Every configuration in the documentation can be used; parts are completed by what is always needed.
func TestDocumentedConfigurations(t *testing.T) {
	checked := 0
	for name, text := range docs(t) {
		for _, block := range yamlBlock.FindAllStringSubmatch(text, -1) {
			yaml := block[1]
			for key, part := range map[string]string{
				"issuer:":     "issuer: http://127.0.0.1:5556/dex\n",
				"storage:":    "storage: {type: memory}\n",
				"web:":        "web: {http: 127.0.0.1:5556}\n",
				"connectors:": "enablePasswordDB: true\n",
			} {
				if !strings.Contains("\n"+yaml, "\n"+key) && !strings.Contains(yaml, strings.TrimSuffix(part, "\n")) {
					yaml += part
				}
			}
			if _, problems := app.Check(config.Source{Name: name, Data: []byte(yaml)}); len(problems) > 0 {
				t.Errorf("%s\n%s", app.Report(problems), yaml)
			}
			checked++
		}
	}
	if checked < 3 {
		t.Errorf("only %d configurations were found", checked)
	}
}

// Every key of the schema is in the documentation.
func TestEveryKeyIsDocumented(t *testing.T) {
	text := docs(t)["docs/configuration.md"]
	for _, key := range keys(reflect.TypeFor[config.Config](), "") {
		section, _, _ := strings.Cut(key, ".")
		if section == "sessions" || section == "mfa" { // as a whole, until they do something
			key = section
		}
		last := key[strings.LastIndex(key, ".")+1:]
		if !strings.Contains(text, "`"+key) && !strings.Contains(text, "`"+last+"`") {
			t.Errorf("%s is not in docs/configuration.md", key)
		}
	}
}

// keys returns the dotted keys of a struct, lists marked by brackets.
func keys(s reflect.Type, prefix string) []string {
	var all []string
	for i := range s.NumField() {
		name := s.Field(i).Tag.Get("key")
		if name == "-" || name == "" {
			continue
		}
		f, key := s.Field(i).Type, prefix+name
		if f.Kind() == reflect.Pointer {
			f = f.Elem()
		}
		if f.Kind() == reflect.Slice && f.Elem().Kind() == reflect.Struct {
			f, key = f.Elem(), key+"[]"
		}
		if f.Kind() == reflect.Struct && f != reflect.TypeFor[config.Section]() {
			all = append(all, keys(f, key+".")...)
			continue
		}
		all = append(all, key)
	}
	return all
}

func TestCheckReportsEverythingAtOnce(t *testing.T) {
	_, problems := app.Check(config.Source{Name: "bad.yaml", Data: []byte(`issuer: http://dex.test
storage: {type: sqlite3, config: {fil: x}}
web: {http: "5556"}
oauth2: {responseTypes: [code, id_token], grantTypes: [authorization_code, password]}
connectors:
- {type: ldap, id: ldap, name: LDAP, config: {host: ldap.test}}
- {type: mockPassword, id: m, name: M, config: {username: u, pasword: p}}
`)})
	got := app.Report(problems)
	for _, want := range []string{
		`warning: bad.yaml:2:`, `did you mean "file"`,
		`error: bad.yaml:3:13: web.http:`,
		`response type "id_token" is accepted, but does nothing yet`,
		`grant type password is accepted, but does nothing yet`,
		`connector "ldap" is left out`,
		`did you mean "password"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if !problems.HasErrors() {
		t.Error("no error")
	}

	_, problems = app.Check(config.Source{Name: "bad.yaml", Data: []byte(
		"issuer: http://127.0.0.1\nstorage: {type: memory}\nweb: {http: 127.0.0.1:0}\n")})
	got = app.Report(problems)
	for _, want := range []string{"error: bad.yaml", "nobody could sign in"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
