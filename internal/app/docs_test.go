package app_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"dex/internal/app"
	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/store/etcd"
	"dex/internal/store/kubernetes"
	"dex/internal/store/mysql"
	"dex/internal/store/postgres"
	"dex/internal/store/sqlite"
)

// docs returns the pages that users read.
func docs(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	root := os.DirFS("../..")
	names := []string{"README.md"}
	for _, folder := range []string{"docs", "docs/connectors"} {
		pages, err := fs.Glob(root, folder+"/*.md")
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, pages...)
	}
	for _, name := range names {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			t.Fatal(err)
		}
		pages[name] = string(text)
	}
	return pages
}

var (
	yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	variable  = regexp.MustCompile(`\$[A-Z][A-Z0-9_]*|\$\{env:[A-Z][A-Z0-9_]*`)
)

// yamlBlocks returns the configurations of a page, and apart from them the manifests for Kubernetes.
func yamlBlocks(text string) (configurations, manifests []string) {
	for _, block := range yamlBlock.FindAllStringSubmatch(text, -1) {
		if strings.HasPrefix(block[1], "apiVersion:") {
			manifests = append(manifests, block[1])
		} else {
			configurations = append(configurations, block[1])
		}
	}
	return configurations, manifests
}

// Every configuration in the documentation can be used; parts are completed by what is always needed.
func TestDocumentedConfigurations(t *testing.T) {
	documented := map[string]bool{}
	for name, text := range docs(t) {
		if name == "docs/kubernetes.md" || name == "docs/cli.md" {
			continue // values of the chart, which test/chart renders; files of the command line, which cmd/dex tests
		}
		blocks, _ := yamlBlocks(text)
		for _, yaml := range blocks {
			for key, part := range map[string]string{
				"issuer:":     "issuer: " + issuerOf(yaml) + "\n",
				"storage:":    "storage: {type: memory}\n",
				"web:":        "web: {http: 127.0.0.1:5556}\n",
				"connectors:": "enablePasswordDB: true\n",
			} {
				if !strings.Contains("\n"+yaml, "\n"+key) && !strings.Contains(yaml, strings.TrimSuffix(part, "\n")) {
					yaml += part
				}
			}
			named := variable.FindAllString(yaml, -1)
			env := func(name string) (string, bool) {
				if !slices.Contains(named, "$"+name) && !slices.Contains(named, "${env:"+name) && !strings.Contains(yaml, "Env: "+name) {
					return "", false
				}
				return "from the environment", true
			}
			plan, problems := app.Check(config.Source{Name: name, Data: []byte(yaml), Env: env, Files: config.SkipFiles()})
			problems = slices.DeleteFunc(problems, func(p config.Problem) bool { // the documentation may use the connector for trials, and show parts
				return p.Warning && (strings.Contains(p.Message, "it is for trials") || strings.Contains(p.Message, "it works only if one is in the storage"))
			})
			if len(problems) > 0 {
				t.Errorf("%s\n%s", app.Report(problems), yaml)
				continue
			}
			documented[plan.Config.Storage.Type] = true
		}
	}
	for _, storage := range config.StorageTypes {
		if !documented[storage] {
			t.Errorf("there is no configuration with the storage %s", storage)
		}
	}
}

var callbackOf = regexp.MustCompile(`redirectURI: (https://dex\.example\.com\S*)/callback`)

// issuerOf returns the issuer that a part of a configuration is written for.
func issuerOf(yaml string) string {
	if m := callbackOf.FindStringSubmatch(yaml); m != nil {
		return m[1]
	}
	return "https://dex.example.com/dex"
}

// Every setting of a storage is on its page.
func TestEveryStorageKeyIsDocumented(t *testing.T) {
	for page, settings := range map[string]reflect.Type{
		"sqlite": reflect.TypeFor[sqlite.Config](), "postgresql": reflect.TypeFor[postgres.Config](),
		"mysql": reflect.TypeFor[mysql.Config](), "etcd": reflect.TypeFor[etcd.Config](),
		"kubernetes": reflect.TypeFor[kubernetes.Config](),
	} {
		text := docs(t)["docs/storage-"+page+".md"]
		for _, key := range keys(settings, "") {
			if !strings.Contains(text, "`"+key+"`") && !strings.Contains(text, "`storage.config."+key+"`") {
				t.Errorf("%s is not in docs/storage-%s.md", key, page)
			}
		}
	}
}

// A manifest is what the tests look at of an object of Kubernetes.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name, Namespace string }
	Rules      []struct {
		APIGroups []string `yaml:"apiGroups"`
		Resources []string
		Verbs     []string
	}
	RoleRef struct{ Kind, Name string } `yaml:"roleRef"`
	Spec    struct {
		Group string
		Names struct{ Plural string }
	}
}

// The manifests in the documentation are whole, and what they define is what they give rights on.
func TestDocumentedManifests(t *testing.T) {
	var all []manifest
	for name, text := range docs(t) {
		_, blocks := yamlBlocks(text)
		for _, block := range blocks {
			for d := yaml.NewDecoder(strings.NewReader(block)); ; {
				var m manifest
				err := d.Decode(&m)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil || m.APIVersion == "" || m.Kind == "" || m.Metadata.Name == "" {
					t.Fatalf("%s: %+v, %v", name, m, err)
				}
				all = append(all, m)
			}
		}
	}
	var defined, allowed []string
	named := map[string]bool{}
	for _, m := range all {
		named[m.Kind+"/"+m.Metadata.Name] = true
		if m.Kind == "CustomResourceDefinition" {
			defined = append(defined, m.Spec.Names.Plural)
			if want := m.Spec.Names.Plural + "." + m.Spec.Group; m.Metadata.Name != want {
				t.Errorf("the definition %s should be called %s", m.Metadata.Name, want)
			}
		}
		if m.Kind == "Role" && slices.Contains(m.Rules[0].APIGroups, "dex.coreos.com") {
			allowed = append(allowed, m.Rules[0].Resources...)
		}
	}
	slices.Sort(defined)
	slices.Sort(allowed)
	if len(defined) == 0 || !slices.Equal(defined, allowed) {
		t.Errorf("defined are %q, rights are given on %q", defined, allowed)
	}
	for _, m := range all {
		if ref := m.RoleRef.Kind + "/" + m.RoleRef.Name; m.RoleRef.Name != "" && !named[ref] {
			t.Errorf("%s %s refers to %s, which is not there", m.Kind, m.Metadata.Name, ref)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)

// Every link between pages leads to a page, and to a heading there.
func TestDocumentedLinks(t *testing.T) {
	pages := docs(t)
	for name, text := range pages {
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			target := name
			if found[1] != "" {
				target = strings.TrimPrefix(name[:strings.LastIndex(name, "/")+1]+found[1], "./")
			}
			page, ok := pages[target]
			if !ok {
				if _, err := os.Stat("../../" + target); err != nil {
					t.Errorf("%s: no page %s", name, target)
				}
				continue
			}
			if anchor := strings.TrimPrefix(found[2], "#"); anchor != "" && !slices.Contains(anchors(page), anchor) {
				t.Errorf("%s: no heading %s in %s", name, found[2], target)
			}
		}
	}
}

// anchors returns the names by which the headings of a page are linked to.
func anchors(page string) []string {
	var all []string
	for line := range strings.Lines(page) {
		title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !ok || !strings.HasPrefix(line, "#") {
			continue
		}
		keep := func(r rune) rune {
			if r == ' ' || r == '-' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return -1
		}
		all = append(all, strings.ReplaceAll(strings.Map(keep, strings.ToLower(strings.TrimSpace(title))), " ", "-"))
	}
	return all
}

// Every key of the schema is in the documentation.
func TestEveryKeyIsDocumented(t *testing.T) {
	text := docs(t)["docs/configuration.md"]
	for _, key := range keys(reflect.TypeFor[config.Config](), "") {
		last := key[strings.LastIndex(key, ".")+1:]
		if !strings.Contains(text, "`"+key) && !strings.Contains(text, "`"+last+"`") {
			t.Errorf("%s is not in docs/configuration.md", key)
		}
	}
	for section, item := range map[string]reflect.Type{
		"staticClients": reflect.TypeFor[client.Client](), "staticPasswords": reflect.TypeFor[local.User](),
		"connectors": reflect.TypeFor[federation.Definition](),
	} {
		for _, key := range keys(item, section+"[].") {
			if !strings.Contains(text, "`"+key) {
				t.Errorf("%s is not in docs/configuration.md", key)
			}
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
connectors:
- {type: ldap, id: ldap, name: LDAP, config: {host: ldap.test}}
- {type: mockPassword, id: m, name: M, config: {username: u, pasword: p}}
`)})
	got := app.Report(problems)
	for _, want := range []string{
		`warning: bad.yaml:2:`, `did you mean "file"`,
		`error: bad.yaml:3:13: web.http:`,
		`connectors[0].config.userSearch.baseDN: is missing`,
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
