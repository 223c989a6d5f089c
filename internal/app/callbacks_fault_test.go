package app_test

import (
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/faulttest"
)

// Nothing told operators that their providers share an address, at which one can get the codes of another (RFC 9700, 4.4).
var _ = faulttest.Add("R4", func(t *testing.T) {
	check := func(first, second string) string {
		yaml := `
issuer: https://dex.test/dex
storage: {type: memory}
web: {http: 127.0.0.1:0}
connectors:
- {type: oidc, id: one, name: One, config: {issuer: "https://one.test", clientID: dex` + first + `}}
- type: oauth
  id: the/other
  name: Other
  config: {clientID: dex, authorizationURL: "https://o.test/a", tokenURL: "https://o.test/t", userInfoURL: "https://o.test/u"` + second + `}
`
		_, problems := app.Check(config.Source{Name: "dex.yaml", Data: []byte(yaml), Env: environment})
		return app.Report(problems)
	}
	const own = `, redirectURI: "https://dex.test/dex/callback/the%2Fother"`
	for name, c := range map[string]struct{ first, second, want string }{
		"shared":          {"", "", `dex.yaml:10:3: connectors[1].config.redirectURI: is that of connector "one" too`},
		"shared in words": {`, redirectURI: "https://dex.test/dex/callback"`, "", `is that of connector "one" too`},
		"its own":         {"", own, ""},
		"nobody's":        {`, redirectURI: "https://dex.test/callback"`, own, `is https://dex.test/callback, and must be https://dex.test/dex/callback/one, or`},
	} {
		got := check(c.first, c.second)
		if !strings.Contains(got, c.want) || c.want == "" && strings.Contains(got, "redirectURI") {
			t.Errorf("%s: %s", name, got)
		}
	}
})
