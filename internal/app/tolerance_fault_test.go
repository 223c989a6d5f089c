package app_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/faulttest"
)

const passwordHash = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"

// passwordTokens signs in with a password, approves, and redeems the code.
func (s *server) passwordTokens() answer {
	s.t.Helper()
	b := s.browser()
	page := b.post(b.passwordForm(), credentials()).wantStatus(http.StatusSeeOther).path()
	q := b.post(page, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther).location().Query()
	return s.token(codeForm(q.Get("code"))).wantStatus(http.StatusOK)
}

// Two clients, users or connectors of one id stopped the start, though tools write such files and the last one has always
// been used.
var _ = faulttest.Add("P3", func(t *testing.T) {
	yaml := strings.NewReplacer("HASH", passwordHash).Replace(`issuer: http://dex.test/dex
storage: {type: memory}
web: {http: 127.0.0.1:0}
enablePasswordDB: true
staticPasswords:
- {email: admin@example.com, hash: $2a$10$XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX, userID: first}
- {email: Admin@example.com, hash: HASH, userID: last}
connectors:
- {type: ldap, id: mock, name: First, config: {nonsense: 1}}
- {type: mockCallback, id: mock, name: Last}
- {type: mockCallback, id: local, name: Hidden}
staticClients:
- {id: app, secret: first, name: First, redirectURIs: ["https://first.test/callback"]}
- {id: app, secret: app-secret, name: Last, redirectURIs: ["https://app.test/callback"]}
`)
	plan, problems := app.Check(config.Source{Name: "dex.yaml", Data: []byte(yaml)})
	report := app.Report(problems)
	for _, want := range []string{
		`error: dex.yaml:7:11: staticPasswords[1].email: "Admin@example.com" is the e-mail address of staticPasswords[0] too, ` +
			`regardless of case; this one is used, and staticPasswords[0] on line 6 is not`,
		`error: dex.yaml:10:28: connectors[1].id: "mock" is the ID of connectors[0] too; this one is used, and connectors[0] on line 9 is not`,
		`error: dex.yaml:11:28: connectors[2].id: "local" is the ID of the password database (enablePasswordDB: true); this connector is left out`,
		`error: dex.yaml:14:8: staticClients[1].id: "app" is the ID of staticClients[0] too; this one is used, and staticClients[0] on line 13 is not`,
	} {
		if !strings.Contains(report, want) {
			t.Errorf("no %q", want)
		}
	}
	if plan == nil || !problems.HasErrors() || t.Failed() {
		t.Fatalf("plan: %v, problems:\n%s", plan != nil, report)
	}
	for _, p := range problems {
		if p.Consequence != "" && !p.Warning {
			t.Errorf("more than a warning in the log: %s", p)
		}
	}

	s := startWith(t, yaml)
	choice := s.get(authPath()).body
	if strings.Contains(choice, "First") || strings.Contains(choice, "Hidden") || strings.Count(choice, "with <bdi>Last</bdi>") != 1 {
		t.Errorf("the choice:\n%s", choice)
	}
	if got := claims(t, s.passwordTokens().text("id_token"))["sub"]; got != "CgRsYXN0EgVsb2NhbA" { // last, local
		t.Errorf("sub is %q", got)
	}
})

// A user without an ID stopped the start, where upstream signs them in by an empty one.
var _ = faulttest.Add("U2", func(t *testing.T) {
	for name, id := range map[string]string{"absent": "", "empty": "userID: ''", "null": "userID:"} {
		t.Run(name, func(t *testing.T) {
			yaml := strings.Replace(configuration, "userID: 08a8684b-db88-4b73-90a9-3cd1661f5466", id, 1)
			_, problems := app.Check(config.Source{Name: "dex.yaml", Data: []byte(yaml), Env: environment})
			if report := app.Report(problems); problems.HasErrors() || !strings.Contains(report, "staticPasswords[0].userID: is missing") {
				t.Errorf("want a warning:\n%s", report)
			}
			s := startWith(t, yaml)
			first := s.passwordTokens()
			if got := claims(t, first.text("id_token"))["sub"]; got != "EgVsb2NhbA" {
				t.Errorf("sub is %q", got)
			}
			s.token(refreshForm(first.text("refresh_token"))).wantStatus(http.StatusOK)
		})
	}
})

// One connector that can't be used, or one user whose hash can't, stopped the start for everybody.
var _ = faulttest.Add("U5", func(t *testing.T) {
	yaml := strings.Replace(configuration, "connectors:\n", `- email: weak@example.com
  hash: "`+strings.Replace(passwordHash, "$10$", "$04$", 1)+`"
  userID: weak
connectors:
- {type: ldap, id: broken, name: Directory, config: {host: ldap.example.com, userSearch: {baseDN: "dc=example"}, groupSearch: 1}}
`, 1)
	check := func(env config.Environment) (*app.Plan, config.Problems) {
		return app.Check(config.Source{Name: "dex.yaml", Data: []byte(yaml), Env: env})
	}
	plan, problems := check(environment)
	report := app.Report(problems)
	for _, want := range []string{`; connector "broken" is left out`, "bcrypt cost 4", "; this user can't sign in"} {
		if !strings.Contains(report, want) {
			t.Errorf("no %q in\n%s", want, report)
		}
	}
	if plan == nil || !problems.HasErrors() {
		t.Fatalf("plan: %v, problems:\n%s", plan != nil, report)
	}
	for _, flag := range []string{"DEX_CONTINUE_ON_CONNECTOR_FAILURE=false", "DEX_CONFIG_DISALLOW_UNKNOWN_FIELDS=true"} {
		set, value, _ := strings.Cut(flag, "=")
		if plan, _ := check(func(name string) (string, bool) { return value, name == set }); plan != nil {
			t.Errorf("%s does not stop the start", flag)
		}
	}

	var log bytes.Buffer
	a, err := app.New(t.Context(), plan, app.Options{
		Log: slog.New(slog.NewTextHandler(&log, nil)), WrapStore: withKeys(t, plan, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close() //nolint:errcheck // memory
	h := a.Handler()
	s := &server{t: t, handler: h}
	if body := s.get(authPath()).wantStatus(http.StatusOK).body; strings.Contains(body, "Directory") {
		t.Error("the connector is offered")
	}
	s.tokens() // others sign in
	b := s.browser()
	b.post(b.passwordForm(), url.Values{"login": {"weak@example.com"}, "password": {"password"}}).wantStatus(http.StatusUnauthorized)

	operators := &server{t: t, handler: a.Telemetry()}
	detail := operators.get("/healthz/ready").body
	for _, want := range []string{`"connector/broken"`, "groupSearch", `"staticPasswords[1].hash"`} {
		if !strings.Contains(detail, want) {
			t.Errorf("no %q in\n%s", want, detail)
		}
	}
})
