package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/config"
)

// folder returns a folder with files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// filled is the settings of a connector, % standing for a folder and files being read.
func filled(t *testing.T, dir, env, text string) config.Section {
	t.Helper()
	s := source("connectors: [{type: ldap, id: a, name: A,\n config: " + strings.ReplaceAll(text, "%", dir) + "}]\n# env: CREDENTIALS_DIRECTORY=" + dir + "\n" + env)
	s.Files = config.NewFiles()
	cfg, problems := s.Load()
	if cfg == nil {
		t.Fatal(problems)
	}
	return settings(cfg)
}

func TestReferences(t *testing.T) {
	dir := folder(t, map[string]string{
		"secret": "s3cr$A\n", "windows": "a\r\n\r\n", "lines": "a\nb\n", "again": "${file:/etc/passwd}", "empty": "\n",
		"binary": "\xff\xfe", "large": strings.Repeat("x", 64<<10+1), "full": strings.Repeat("x", 64<<10),
	})
	const at = "error   dex.yaml:2:17: connectors[0].config.text: "
	for text, want := range map[string]struct{ text, problems string }{
		"${file:%/secret}":               {"s3cr$A", ""},
		"${file:%/windows}":              {"a", ""},
		"${file:%/lines}":                {"a\nb", ""},
		"${file:%/again}":                {"${file:/etc/passwd}", ""},
		"${file:%/full}":                 {strings.Repeat("x", 64<<10), ""},
		"${credential:secret}":           {"s3cr$A", ""},
		"x-${env:A}-${file:%/secret}-$A": {"x-a-s3cr$A-a", ""},
		"${env:CREDENTIALS_DIRECTORY}/x": {dir + "/x", ""},
		"p${text:@$$w0r}d":               {"p@$$w0rd", ""},
		"${text:${file:/etc/passwd}}":    {"${file:/etc/passwd}", ""},
		"${text:}x":                      {"x", ""},
		"$${env:A}":                      {"$a", ""},
		"${FILE:x}":                      {"", "warning dex.yaml:2:17: connectors[0].config.text: the environment variable FILE:x is not set, and stands for an empty text\n"},
		"${file:%/none}":                 {"", at + "can't open " + dir + "/none: no such file or directory\n"},
		"${file:%}":                      {"", at + dir + " is not a regular file\n"},
		"${file:}":                       {"", at + "can't open : no such file or directory\n"},
		"${file:%/empty}":                {"", at + dir + "/empty is empty\n"},
		"${file:%/binary}":               {"", at + dir + "/binary is not a text in UTF-8\n"},
		"${file:%/large}":                {"", at + dir + "/large is larger than 65536 bytes\n"},
		"${file:%/secret":                {"", at + "a reference such as ${file:/path} is not closed by a }\n"},
		"${env:NONE}":                    {"", at + "the environment variable NONE is not set or is empty; it must hold the value\n"},
		"${env:EMPTY}":                   {"", at + "the environment variable EMPTY is not set or is empty; it must hold the value\n"},
		"${env:hunter2!}":                {"", at + "must be the name of an environment variable: letters, digits and underscores\n"},
		"${credential:../secret}":        {"", at + "${credential:NAME} needs the name of a credential: letters, digits, dots, hyphens and underscores\n"},
		"${credential:..}":               {"", at + "${credential:NAME} needs the name of a credential: letters, digits, dots, hyphens and underscores\n"},
		"${credential:none}":             {"", at + "can't open " + dir + "/none: no such file or directory\n"},
	} {
		t.Run(text, func(t *testing.T) {
			var got scalars
			problems := filled(t, dir, variables, "{text: '"+text+"'}").Decode(&got)
			if diff := cmp.Diff(want.problems, lines(problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if want.problems == "" && got.Text != want.text {
				t.Errorf("got %q, want %q", got.Text, want.text)
			}
		})
	}
}

// References work for every kind of value and in every section, also where variables are not expanded.
func TestReferencesEverywhere(t *testing.T) {
	dir := folder(t, map[string]string{"host": "https://id.example.net\n", "span": "15m\n"})
	s := source("# alone\nissuer: ${file:" + dir + "/host}\nstorage: {type: memory}\nweb: {http: '${env:LISTEN}'}\n" +
		"telemetry: {enableProfiling: '${env:ON}'}\nexpiry: {idTokens: '${file:" + dir + "/span}'}\npasswordHashCost: ${env:COST}\n" +
		"frontend: {extra: {a: $A, b: '${env:ON}'}}\noauth2: {grantTypes: ['${env:GRANT}']}\n" +
		"# env: LISTEN=127.0.0.1:1\n# env: ON=yes\n# env: COST=11\n# env: GRANT=password\n# env: DEX_EXPAND_ENV=false\n# env: A=a\n")
	s.Files = config.NewFiles()
	cfg, problems := s.Load()
	if problems.HasErrors() {
		t.Fatal(lines(problems))
	}
	if cfg.Issuer != "https://id.example.net" || cfg.Web.HTTP != "127.0.0.1:1" || !cfg.Telemetry.EnableProfiling ||
		cfg.Expiry.IDTokens != 15*time.Minute || cfg.PasswordHashCost != 11 || cfg.Frontend.Extra["a"] != "$A" ||
		cfg.Frontend.Extra["b"] != "yes" || cfg.OAuth2.GrantTypes[0] != "password" {
		t.Errorf("got %+v", cfg)
	}
}

type withSecrets struct {
	Secret string `key:"clientSecret" secret:"file"`
	Own    string `key:"ownSecret" secret:"file"`
	File   string `key:"ownSecretFile"`
}

func TestSecretFiles(t *testing.T) {
	dir := folder(t, map[string]string{"secret": "${text:x}$A\n"})
	for text, want := range map[string]struct{ secret, problems string }{
		"{clientSecretFile: %/secret}":                              {"${text:x}$A", ""},
		"{clientsecretfile: '%/$S'}":                                {"${text:x}$A", ""},
		"{clientSecretFile: '${env:CREDENTIALS_DIRECTORY}/secret'}": {"${text:x}$A", ""},
		"{clientSecretFile: '', clientSecret: b}":                   {"b", ""},
		"{clientSecretFile: null, clientSecret: b}":                 {"b", ""},
		"{clientSecret: '', clientSecretFile: %/secret}":            {"${text:x}$A", ""},
		"{clientSecretFile: %/none}":                                {"", "error   dex.yaml:2:29: connectors[0].config.clientSecretFile: can't open " + dir + "/none: no such file or directory\n"},
		"{clientSecretFile: [a]}":                                   {"", "error   dex.yaml:2:11: connectors[0].config.clientSecretFile: must be the path of a file, not a list\n"},
		"{clientSecretFile: %/secret, clientSecret: hunter2}":       {"hunter2", "error   dex.yaml:2:29: connectors[0].config.clientSecretFile: give clientSecret or clientSecretFile, not both\n"},
		"{clientSecretFiles: a}":                                    {"", "warning dex.yaml:2:11: connectors[0].config.clientSecretFiles: unknown key, ignored; did you mean \"clientSecretFile\"?\n"},
	} {
		t.Run(text, func(t *testing.T) {
			var got withSecrets
			problems := filled(t, dir, "# env: S=secret\n", text).Decode(&got)
			if diff := cmp.Diff(want.problems, lines(problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if got.Secret != want.secret {
				t.Errorf("got %q, want %q", got.Secret, want.secret)
			}
		})
	}
	var own withSecrets
	if problems := filled(t, dir, "", "{ownSecretFile: /no/such/file}").Decode(&own); len(problems) > 0 || own.Own != "" || own.File != "/no/such/file" {
		t.Errorf("a key of its own: %+v %v", own, problems)
	}
}

// Whoever may write to the storage can't read files or the environment with it.
func TestStoredSettingsReadNothing(t *testing.T) {
	dir := folder(t, map[string]string{"secret": "hunter2"})
	s, err := config.SectionFromJSON("connector a", []byte(`{"clientSecret": "${file:`+dir+`/secret}${env:HOME}", "ownSecret": "${text:x}"}`))
	if err != nil {
		t.Fatal(err)
	}
	var got withSecrets
	if problems := s.Decode(&got); len(problems) > 0 || got.Secret != "${file:"+dir+"/secret}${env:HOME}" || got.Own != "${text:x}" {
		t.Errorf("got %+v %v", got, problems)
	}
	s, err = config.SectionFromJSON("connector a", []byte(`{"clientSecretFile": "`+dir+`/secret"}`))
	if err != nil {
		t.Fatal(err)
	}
	got = withSecrets{}
	if problems := s.Decode(&got); got.Secret != "" || !strings.Contains(lines(problems), "files are read for the configuration file only") {
		t.Errorf("got %+v %v", got, problems)
	}
}

// Where files are skipped, nothing is reported about settings that come from them; without a reader they are errors.
func TestSkippedFiles(t *testing.T) {
	const text = "staticClients: [{id: a, name: A, secretFile: /none, redirectURIs: ['https://a.test/cb']}, {id: b, name: B, secret: '${file:/none}'," +
		" redirectURIs: ['https://a.test/cb']}, {id: c, name: C, secret: '${credential:none}', redirectURIs: ['https://a.test/cb']}]\nenablePasswordDB: true\n" +
		"staticPasswords: [{email: a@a.test, hashFile: /none, userID: a}]\nexpiry: {idTokens: '${file:/none}'}\n"
	s := source(text)
	s.Files = config.SkipFiles()
	if _, problems := check(s); problems.HasErrors() {
		t.Errorf("skipped: %s", lines(problems))
	}
	s.Files = nil
	_, problems := check(s)
	if got := strings.Count(lines(problems), "files can't be read here"); got != 4 || strings.Contains(lines(problems), "is required") {
		t.Errorf("without a reader: %s", lines(problems))
	}
}

func TestState(t *testing.T) {
	dir := folder(t, map[string]string{"a": "a", "b": "b"})
	files := config.NewFiles()
	for _, name := range []string{"a", "b", "none"} {
		_, _ = files.Read(filepath.Join(dir, name), 10) // one is missing
	}
	state := files.State()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !state.Now().Equal(state) {
		t.Error("nothing has changed")
	}
	write("b", "c")
	if state.Now().Equal(state) {
		t.Error("a change is not seen")
	}
	write("b", "b")
	if !state.Now().Equal(state) {
		t.Error("it is as before")
	}
	write("none", "x")
	if state.Now().Equal(state) {
		t.Error("a new file is not seen")
	}
}
