package app_test

import (
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/federation"
)

// needed are settings without which types of connectors don't open.
var needed = map[string]string{
	"ldap":         `{"host": "ldap.test", "userSearch": {"baseDN": "dc=test", "username": "uid", "idAttr": "uid", "emailAttr": "mail"}}`,
	"saml":         `{"ssoURL": "https://idp.test/sso", "insecureSkipSignatureValidation": true, "usernameAttr": "n", "emailAttr": "m"}`,
	"keystone":     `{"domain": "d", "keystoneHost": "https://keystone.test", "keystoneUsername": "u", "keystonePassword": "p"}`,
	"mockPassword": `{"username": "u", "password": "p"}`,
	"authproxy":    `{"refreshMaxAge": "1h"}`,
}

// The table of types says what each connector can do, and which keys let in only some users.
func TestTableOfCapabilities(t *testing.T) {
	text, err := os.ReadFile("../../docs/connectors/README.md")
	if err != nil {
		t.Fatal(err)
	}
	key := regexp.MustCompile("`([A-Za-z]+)`")
	for _, kind := range federation.Types() {
		settings, available := federation.NewConfig(kind)
		if !available || kind == "samlExperimental" {
			continue
		}
		row := regexp.MustCompile("(?m)^\\| `" + kind + "`.*$").FindString(string(text))
		cells := strings.Split(row, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells = cells[1:]; len(cells) != 7 { // the last one is empty
			t.Errorf("the row of %s has %d cells", kind, len(cells))
			continue
		}
		keys := keysOf(reflect.TypeOf(settings).Elem(), "")
		for _, named := range key.FindAllStringSubmatch(cells[4], -1) {
			if !slices.Contains(keys, named[1]) {
				t.Errorf("%s lets in only %s, which is none of its keys", kind, named[1])
			}
		}
		instance := opened(t, kind, settings)
		_, refreshes := instance.(connector.Refresher)
		_, exchanges := instance.(connector.TokenIdentity)
		_, form := instance.(connector.Password)
		if asks, ok := settings.(connector.PasswordForm); form != (ok && asks.AsksPassword()) {
			t.Errorf("%s: that it has our form is %t, and its settings say otherwise", kind, form)
		}
		for what, c := range map[string]struct {
			said string
			can  bool
		}{"refresh": {cells[2], refreshes}, "token exchange": {cells[3], exchanges}} {
			if c.can == (c.said == "no") {
				t.Errorf("%s: that it can %s is %t, and the table says %q", kind, what, c.can, c.said)
			}
		}
		if form != strings.HasPrefix(cells[1], "with our form") {
			t.Errorf("%s: that it has our form is %t, and the table says %q", kind, form, cells[1])
		}
	}
}

// opened returns a connector with the settings that it needs at least.
func opened(t *testing.T, kind string, settings connector.Config) any {
	t.Helper()
	text := needed[kind]
	if text == "" {
		text = `{"clientID": "dex", "clientSecret": "secret", "baseURL": "https://source.test", "issuer": "https://source.test",
			"authorizationURL": "https://source.test/", "tokenURL": "https://source.test/", "userInfoURL": "https://source.test/"}`
	}
	section, err := config.SectionFromJSON("connector", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := section.Decode(settings).Err(); err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	instance, err := settings.Open(t.Context(), connector.Env{
		ID: "x", CallbackURL: "https://dex.test/callback", OwnCallbackURL: "https://dex.test/callback/x", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	if c, ok := instance.(interface{ Close() error }); ok {
		t.Cleanup(func() { _ = c.Close() })
	}
	return instance
}
