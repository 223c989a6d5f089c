package app_test

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/faulttest"
)

// There was no guide for applications, no complete configuration, no unit for systemd and no page about moving from upstream.
var _ = faulttest.Add("N12", func(t *testing.T) {
	t.Run("annotated configuration", testAnnotatedConfiguration)
	t.Run("links", testGuideLinks)
	t.Run("redirect URIs", testGuideRedirectURIs)
	t.Run("systemd", testSystemdUnit)
})

var switchedOff = regexp.MustCompile(`(?m)^( *)#([A-Za-z]|- )`)

// The annotated configuration can be used as it is, and with everything that is switched off in it; it has every key.
func testAnnotatedConfiguration(t *testing.T) {
	data, err := os.ReadFile("../../examples/config-annotated.yaml")
	if err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) {
		switch name {
		case "CORPORATE_CLIENT_SECRET", "MAIL_CLIENT_SECRET", "MAIL_CLIENT_ID", "MAIL_PREVIOUS_SECRET", "SMTP_PASSWORD":
			return "from " + name, true
		case "JOHN_HASH":
			return passwordHash, true
		}
		return "", false
	}
	check := func(text string) config.Problems {
		_, problems := app.Check(config.Source{Name: "config-annotated.yaml", Data: []byte(text), Env: env, Files: config.SkipFiles()})
		return problems
	}
	if problems := check(string(data)); len(problems) > 0 {
		t.Errorf("as it is:\n%s", app.Report(problems))
	}
	whole := switchedOff.ReplaceAllString(string(data), "$1$2")
	for _, p := range check(whole) {
		if p.IsError() || strings.Contains(p.Message, "unknown key") || strings.Contains(p.Message, "is given twice") {
			t.Errorf("with everything: %s", p)
		}
	}
	for _, key := range keys(reflect.TypeFor[config.Config](), "") {
		top, _, _ := strings.Cut(key, ".")
		last := key[strings.LastIndex(key, ".")+1:]
		later := top == "mfa" || slices.Contains([]string{"mfaChain", "signingKeys", "cookieEncryptionKey", "keyEnv"}, last) // the last three are not needed
		if later || strings.Contains(key, "compatibility.") {                                                                // those are in docs/standards.md
			continue
		}
		if !regexp.MustCompile(`(?m)^[ -]*` + regexp.QuoteMeta(last) + `:|\{` + regexp.QuoteMeta(last) + `:`).MatchString(whole) {
			t.Errorf("no %s", key)
		}
	}
}

// Newcomers find the guides and the examples.
func testGuideLinks(t *testing.T) {
	readme := docs(t)["README.md"]
	for _, target := range []string{
		"docs/applications.md", "docs/upgrade.md", "examples/config-annotated.yaml", "deploy/systemd/dex.service",
		"examples/ldap/", "examples/config-ad-kubelogin.yaml", "examples/example-app",
	} {
		if !strings.Contains(readme, "]("+target) {
			t.Errorf("no link to %s", target)
		}
	}
	if lines := strings.Count(readme, "\n"); lines > 120 {
		t.Errorf("README.md has %d lines, and should stay short", lines)
	}
}

var guideAddress = regexp.MustCompile("`((?:URL|http://(?:localhost|127\\.0\\.0\\.1))[^` ]*)`")

// What the guide says to register can be registered.
func testGuideRedirectURIs(t *testing.T) {
	yaml := "issuer: https://dex.example.com/dex\nstorage: {type: memory}\nweb: {http: ':5556'}\nenablePasswordDB: true\n" +
		"staticClients:\n- id: app\n  name: App\n  secret: s\n  redirectURIs:\n"
	found := 0
	for line := range strings.Lines(docs(t)["docs/applications.md"]) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, address := range guideAddress.FindAllStringSubmatch(cells[2], -1) {
			found++
			yaml += "  - " + strings.NewReplacer("URL", "https://app.example.com", "NAME", "dex").Replace(address[1]) + "\n"
		}
	}
	if _, problems := app.Check(config.Source{Name: "applications.md", Data: []byte(yaml)}); len(problems) > 0 || found < 20 {
		t.Errorf("%d addresses:\n%s", found, app.Report(problems))
	}
}

func testSystemdUnit(t *testing.T) {
	data, err := os.ReadFile("../../deploy/systemd/dex.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nExecStart=/usr/local/bin/dex serve /etc/dex/config.yaml\n", "\nExecReload=/bin/kill -HUP $MAINPID\n",
		"\nStateDirectory=dex\n", "\nDynamicUser=yes\n", "\nRestart=on-failure\n",
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no line %q", strings.TrimSpace(want))
		}
	}
}
