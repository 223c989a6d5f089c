package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dex/internal/faulttest"
)

// Common mistakes were reported without their place, in a parser's words, too late or not at all.
var _ = faulttest.Add("N11", func(t *testing.T) {
	for name, c := range map[string]struct{ more, want string }{
		"hash": {
			"staticPasswords:\n- {email: a@example.com, userID: a, hash: hunter2}\n",
			`error: FILE:6:43: staticPasswords[0].hash: the password hash of "a@example.com" is neither a bcrypt nor an argon2id hash, as dex hash-password prints them`,
		},
		"client without redirect URIs": {
			"staticClients:\n- {id: a, name: A, secret: s}\n",
			"warning: FILE:6:3: staticClients[0].redirectURIs: is empty: nobody can log in",
		},
		"wildcard": {
			"staticClients:\n- {id: a, name: A, secret: s, redirectURIs: ['https://*.example.com/cb']}\n",
			"warning: FILE:6:46: staticClients[0].redirectURIs[0]: has a *, which stands for itself",
		},
		"wildcard in the path": {
			"staticClients:\n- {id: a, name: A, secret: s, redirectURIs: ['https://a.example.com/*']}\n",
			"warning: FILE:6:46: staticClients[0].redirectURIs[0]: has a *, which stands for itself",
		},
		"callback of a connector": {
			"connectors:\n- {type: oidc, id: a, name: A, config: {issuer: 'https://a.example', clientID: a, redirectURI: 'https://id.example.com/cb'}}\n",
			`error: FILE:6:96: connectors[0].config.redirectURI: is https://id.example.com/cb, and must be https://id.example.com/dex/callback/a, or`,
		},
		"callback of a SAML connector": {
			"connectors:\n- {type: saml, id: a, name: A, config: {ssoURL: 'https://a.example', caData: '', insecureSkipSignatureValidation: true, usernameAttr: n, emailAttr: e, redirectURI: 'https://other.example.com/cb'}}\n",
			"warning: FILE:6:165: connectors[0].config.redirectURI: ",
		},
		"risk": {"oauth2: {responseTypes: [code, token]}\n", "warning: FILE:5:10: oauth2.responseTypes: "},
		"misspelled value": {
			"connectors:\n- {type: ldpa, id: a, name: A}\n",
			`error: FILE:6:10: connectors[0].type: "ldpa" is not allowed; did you mean "ldap"?`,
		},
		"level":         {"signer: {type: local, algorithm: ES256}\n", "signer.algorithm: unknown key, ignored; known here are type, config; settings of the type stand one level deeper, below config"},
		"colon":         {"frontend: {}\nname: Acme: the company\n", "error: FILE:6:11: not valid YAML: this colon comes where no key can be: put text that has a colon and a space in it into quotes"},
		"missing colon": {"frontend\n  issuer: Acme\n", "error: FILE:6:9: not valid YAML: this colon comes where no key can be"},
		"quote":         {"frontend:\n  issuer: \"Acme\n", "error: FILE:6:11: not valid YAML: this quote isn't closed"},
		"list":          {"oauth2:\n  responseTypes: [code\nlogger: {}\n", "error: FILE:6:18: not valid YAML: this list isn't closed by a ], or a comma is missing in it"},
		"quote closed by another": {
			"frontend:\n  issuer: \"Acme\n  theme: \"light\"\n",
			`error: FILE:7:11: not valid YAML: this doesn't go with the lines above: look at its indentation, which must be that of the other keys, ` +
				`and for a quote above that is closed too early, or isn't closed, such as the one on line 6`,
		},
		"bracket":     {"oauth2:\n  responseTypes: ]\n", "error: FILE:6:18: not valid YAML: there is no value here"},
		"mapping":     {"logger: {level: debug\n", "error: FILE:5:9: not valid YAML: this mapping isn't closed by a }"},
		"indentation": {"logger:\n    level: debug\n  format: text\n", "error: FILE:7:3: not valid YAML: this doesn't go with the lines above: look at its indentation"},
		"backslash":   {`frontend: {dir: "C:\web"}` + "\n", "error: FILE:5:20: not valid YAML: a backslash in double quotes begins an escape"},
	} {
		t.Run(name, func(t *testing.T) {
			out := checkText(t, c.more)
			if !strings.Contains(out, c.want) {
				t.Errorf("no %q in\n%s", c.want, out)
			}
		})
	}
	t.Run("known keys once", func(t *testing.T) {
		out := checkText(t, "nonsense1: 1\nnonsense2: 2\nnonsense3: 3\n")
		if strings.Count(out, "nonsense") != 3 || strings.Count(out, "known here are") != 1 {
			t.Error(out)
		}
	})
	t.Run("storage one level too high", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "dex.yaml")
		text := "issuer: https://id.example.com\nweb: {http: ':5556'}\nenablePasswordDB: true\nstorage:\n  type: sqlite3\n  file: /var/lib/dex.db\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := dexCommand("check", file)
		if want := ":6:3: storage.file: unknown key, ignored; known here are type, config, keyFile; settings of the type stand one level deeper, below config"; err != nil || !strings.Contains(out, want) {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("command line", testCommandLine)
})

func testCommandLine(t *testing.T) {
	version, err := dexCommand("version")
	if flag, flagErr := dexCommand("--version"); err != nil || flagErr != nil || flag != version {
		t.Errorf("--version prints %q, %v", flag, flagErr)
	}
	for line, want := range map[string]string{
		"serve":          "FILE is missing\nUsage: dex serve [flags] FILE\n",
		"serve --nope x": "unknown flag: --nope\nUsage: dex serve [flags] FILE\n",
		"serve a b":      "unexpected argument \"b\"\nUsage: dex serve [flags] FILE\n",
		"import a":       "FILE is missing\n",
		"chekc x":        "there is no command \"chekc\"; did you mean \"check\"?",
		"--nope":         "unknown flag: --nope",
		"check nowhere":  "read configuration: open nowhere: no such file or directory",
	} {
		root := newRoot()
		root.SetArgs(strings.Fields(line))
		var out strings.Builder
		root.SetOut(&out)
		root.SetErr(&out)
		cmd, err := root.ExecuteC()
		if err == nil {
			t.Errorf("dex %s: no error", line)
			continue
		}
		if got := complaint(cmd, err); out.Len() > 0 || !strings.HasPrefix(got, want) || strings.Count(got, "\n") > 2 {
			t.Errorf("dex %s prints %q and %q, want %q", line, out.String(), got, want)
		}
	}
}

// checkText returns what dex check prints about a small configuration with some lines added.
func checkText(t *testing.T, more string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dex.yaml")
	text := "issuer: https://id.example.com/dex\nstorage: {type: memory}\nweb: {http: ':5556'}\nenablePasswordDB: true\n" + more
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := dexCommand("check", file)
	if strings.Contains(out, "error: ") != (err != nil) {
		t.Errorf("%v\n%s", err, out)
	}
	return strings.ReplaceAll(out, file, "FILE")
}
