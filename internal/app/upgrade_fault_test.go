package app_test

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/faulttest"
	"dex/internal/federation"
)

// The page about moving from upstream says what is there, and not more. Its configurations are checked with all others.
var _ = faulttest.Add("N12", func(t *testing.T) {
	page := docs(t)["docs/upgrade.md"]
	missing := regexp.MustCompile(`(?m)^\| connectors of the types .*$`).FindString(page) // empty while none are
	for _, kind := range federation.Types() {
		_, available := federation.NewConfig(kind)
		if listed := strings.Contains(missing, "`"+kind+"`"); listed == available {
			t.Errorf("type %s is available: %v; listed as missing: %v", kind, available, listed)
		}
	}

	switches := keys(reflect.TypeFor[config.Compatibility](), "")
	for _, named := range regexp.MustCompile("\\| `([a-zA-Z]+): upstream` \\|").FindAllStringSubmatch(page, -1) {
		yaml := "issuer: https://dex.example.com/dex\nstorage: {type: memory}\nweb: {http: ':5556'}\nenablePasswordDB: true\n" +
			"oauth2: {compatibility: {" + named[1] + ": upstream}}\n"
		if plan, problems := app.Check(config.Source{Name: "upgrade.md", Data: []byte(yaml)}); plan == nil || !slices.Contains(switches, named[1]) {
			t.Errorf("switch %s:\n%s", named[1], app.Report(problems))
		}
	}

	// What the check is said to say, it says of a configuration that upstream takes.
	_, problems := app.Check(config.Source{Name: "config.yaml", Env: environment, Data: []byte(`
issuer: https://dex.example.com/dex
storage: {type: memory}
web: {http: ':5556'}
grpc: {addr: ':5557'}
nonsense: true
sessions: {cookieEncryptionKey: 0123456789abcdef}
mfa: {authenticators: []}
enablePasswordDB: true
staticPasswords:
- {email: a@example.com, hash: "` + passwordHash + `"}
- {email: b@example.com, userID: b, hash: "` + strings.Replace(passwordHash, "$10$", "$04$", 1) + `"}
staticClients:
- {id: a, name: A, secret: s}
- {id: a, name: A, secret: s, redirectURIs: [https://a.example.com/]}
connectors:
- type: oidc
  id: o
  name: O
  config: {issuer: https://o.example.com, clientID: dex, redirectURI: https://dex.example.com/callback, allowedGroups: [g]}
`)})
	report := app.Report(problems)
	_, table, _ := strings.Cut(page, "| `dex check` says |")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := 0
	for line := range strings.Lines(table) {
		said := regexp.MustCompile("^\\| `([^`]+)` \\|").FindStringSubmatch(line)
		if said == nil {
			continue
		}
		rows++
		for _, part := range strings.Split(said[1], "…") {
			if !strings.Contains(report, strings.TrimSpace(part)) {
				t.Errorf("the check does not say %q:\n%s", said[1], report)
			}
		}
	}
	if rows < 8 {
		t.Errorf("%d rows, want 8 or more", rows)
	}
})
