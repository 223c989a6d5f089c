package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/event"
)

// A guild is a source whose users have groups, of which it tells only if it is asked.
type guild struct {
	mu      sync.Mutex
	members map[string]connector.Identity // by name
	asked   []bool                        // each time: for the groups
}

func (g *guild) AsksPassword() bool { return false } // so that sessions don't ask for the groups in any case

func (g *guild) Open(context.Context, connector.Env) (any, error) { return g, nil }

func (*guild) Prompt() string { return "" }

func (g *guild) tell(name string, s connector.Scopes) connector.Identity {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, s.Groups)
	who := g.members[name]
	who.UserID, who.Username = name, name
	if !s.Groups {
		who.Groups = nil
	}
	return who
}

func (g *guild) Login(_ context.Context, s connector.Scopes, name, word string) (connector.Identity, bool, error) {
	return g.tell(name, s), word == "p", nil
}

func (g *guild) Refresh(_ context.Context, s connector.Scopes, id connector.Identity) (connector.Identity, error) {
	return g.tell(id.UserID, s), nil
}

// set says who somebody is from now on.
func (g *guild) set(name, email string, verified bool, groups ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.members == nil {
		g.members = map[string]connector.Identity{}
	}
	g.members[name] = connector.Identity{Email: email, EmailVerified: verified, Groups: groups}
}

// inGuild has members of the guild sign in to shop, which has the rules that are put into it, and till, which has none.
const inGuild = `
issuer: http://dex.test/dex
storage: {type: memory}
web: {http: 127.0.0.1:0}
sessions: {ssoSharedWithDefault: all}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2: {skipApprovalScreen: true, grantTypes: [authorization_code, refresh_token, password], passwordConnector: guild}
connectors:
- {type: mockPassword, id: guild, name: Guild, config: {username: u, password: p}%s}
staticClients:
- {id: shop, secret: shop-secret, name: Shop, redirectURIs: ["https://shop.test/cb"]%s}
- {id: till, secret: till-secret, name: Till, redirectURIs: ["https://till.test/cb"]}
`

func startGuild(t *testing.T, ofSource, ofClient string, events ...event.Sink) (*server, *guild) {
	t.Helper()
	plan, g := planOf(t, fmt.Sprintf(inGuild, ofSource, ofClient)), &guild{}
	plan.ReplaceConnector("guild", g)
	core, err := app.New(t.Context(), plan, app.Options{Log: slog.New(slog.DiscardHandler), Events: events})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := core.Close(); err != nil {
			t.Error(err)
		}
	})
	return &server{t: t, handler: core.Handler()}, g
}

// A page tells users whom the policy refuses whom to ask, instead of to report a service that works as it should.
func TestPageForRefusedUsers(t *testing.T) {
	t.Parallel()
	const here = "You may not use this application with this account."
	for _, c := range []struct{ ofSource, ofClient, want string }{
		{"", ", deniedGroups: [b]", here},
		{"", ", allowedGroups: [a]", here},
		{"", ", allowedEmails: [ann@y.test]", here},
		{"", ", authPolicy: [{expression: 'true', message: \"'Come back tomorrow.'\"}]", "Come back tomorrow."},
		{", requireGroups: [a]", "", "You are not in a group that may log in here."},
	} {
		s, g := startGuild(t, c.ofSource, c.ofClient)
		g.set("ann", "ann@x.test", true, "b")
		body := s.browser().join("shop", "ann", "openid").wantStatus(http.StatusForbidden).body
		if !strings.Contains(body, c.want) || !strings.Contains(body, "If you think you should, ask the people who run this service.") {
			t.Errorf("%+v: no advice in\n%s", c, body)
		}
	}
}

// join signs somebody in to a client, and returns what comes of it.
func (b *browser) join(client, name, scope string) answer {
	b.t.Helper()
	form := b.visit(to(client, "connector_id", "guild", "scope", scope)).wantStatus(http.StatusFound)
	return b.post(form.path(), url.Values{"login": {name}, "password": {"p"}})
}

// Each rule about users lets in whom it should, and nobody else; the application never has to ask for the groups.
func TestWhoMayUseAClient(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ofSource, ofClient string
		email              string
		unverified         bool
		groups             []string
		refused            bool
	}{
		"no rules":                       {},
		"in a group":                     {ofClient: ", allowedGroups: [a, b]", groups: []string{"b"}},
		"in none":                        {ofClient: ", allowedGroups: [a, b]", groups: []string{"c"}, refused: true},
		"without groups":                 {ofClient: ", allowedGroups: [a]", refused: true},
		"by a pattern":                   {ofClient: `, allowedGroups: ["team-*-x"]`, groups: []string{"team-1-x"}},
		"by half a pattern":              {ofClient: `, allowedGroups: ["team-*-x"]`, groups: []string{"team-1-xy"}, refused: true},
		"overlapping pattern":            {ofClient: `, allowedGroups: ["ab*ba"]`, groups: []string{"aba"}, refused: true},
		"another case":                   {ofClient: ", allowedGroups: [a]", groups: []string{"A"}, refused: true},
		"denied":                         {ofClient: ", allowedGroups: [a], deniedGroups: [b]", groups: []string{"a", "b"}, refused: true},
		"not denied":                     {ofClient: ", deniedGroups: [b]", groups: []string{"a"}},
		"address":                        {ofClient: ", allowedEmails: [ann@x.test]", email: "Ann@X.test"},
		"another address":                {ofClient: ", allowedEmails: [ann@x.test]", email: "bob@x.test", refused: true},
		"address of nobody":              {ofClient: ", allowedEmails: [ann@x.test]", email: "ann@x.test", unverified: true, refused: true},
		"domain":                         {ofClient: ", allowedEmailDomains: [x.test]", email: "bob@X.TEST"},
		"subdomain":                      {ofClient: ", allowedEmailDomains: [x.test]", email: "bob@a.x.test", refused: true},
		"longer domain":                  {ofClient: ", allowedEmailDomains: [x.test]", email: "bob@x.test.evil.test", refused: true},
		"two ats":                        {ofClient: ", allowedEmailDomains: [x.test]", email: `"bob@evil.test"@x.test`, refused: true},
		"a Kelvin sign":                  {ofClient: ", allowedEmails: [kate@x.test]", email: "\u212Aate@x.test", refused: true},
		"no claims":                      {ofClient: ", authPolicy: [{expression: \"has(claims.level) && claims.level > 1\"}]"},
		"a claim that isn't there":       {ofClient: ", authPolicy: [{expression: \"claims.level > 1\"}]", refused: true},
		"no address":                     {ofClient: ", allowedEmailDomains: [x.test]", refused: true},
		"address or domain":              {ofClient: ", allowedEmails: [ann@y.test], allowedEmailDomains: [x.test]", email: "ann@y.test"},
		"source's domain":                {ofSource: ", allowedDomains: [x.test]", email: "ann@x.test"},
		"not the source's domain":        {ofSource: ", allowedDomains: [x.test]", email: "ann@y.test", refused: true},
		"a group of the source":          {ofSource: `, requireGroups: ["*"]`, groups: []string{"any"}},
		"none of the source":             {ofSource: `, requireGroups: ["*"]`, refused: true},
		"by the new name":                {ofSource: ", groups: {prefix: 'g:'}", ofClient: ", allowedGroups: ['g:a']", groups: []string{"a"}},
		"by the old name":                {ofSource: ", groups: {prefix: 'g:'}", ofClient: ", allowedGroups: [a]", groups: []string{"a"}, refused: true},
		"a group that doesn't match":     {ofSource: ", groups: {match: [b]}", ofClient: ", allowedGroups: [a]", groups: []string{"a"}, refused: true},
		"in another case":                {ofSource: ", groups: {case: lower}", ofClient: ", allowedGroups: [ä-kreis]", groups: []string{"Ä-Kreis"}},
		"by a Kelvin sign":               {ofSource: ", groups: {case: lower}", ofClient: ", allowedGroups: [keys]", groups: []string{"\u212Aeys"}, refused: true},
		"by a dotless i":                 {ofSource: ", groups: {case: upper}", ofClient: ", allowedGroups: [ADMIN]", groups: []string{"adm\u0131n"}, refused: true},
		"of Kubernetes":                  {ofClient: ", allowedGroups: ['system:masters']", groups: []string{"system:masters"}, refused: true},
		"of Kubernetes, by its case":     {ofSource: ", groups: {case: lower}", ofClient: ", allowedGroups: ['system:masters']", groups: []string{"System:masters"}, refused: true},
		"of Kubernetes, by its prefix":   {ofSource: ", groups: {prefix: system}", ofClient: ", allowedGroups: ['system:masters']", groups: []string{":masters"}, refused: true},
		"of Kubernetes, by the operator": {ofSource: ", groups: {rename: {a: 'system:masters'}}", ofClient: ", allowedGroups: ['system:masters']", groups: []string{"a"}},
		"of Kubernetes, beside that one": {ofSource: ", groups: {rename: {b: 'system:masters'}}", ofClient: ", allowedGroups: ['system:masters']", groups: []string{"system:masters"}, refused: true},
		"of Kubernetes, kept": {
			ofSource: ", groups: {allowSystem: true}", ofClient: ", allowedGroups: ['system:masters']", groups: []string{"system:masters"},
		},
		"by an expression":         {ofClient: `, authPolicy: [{expression: "!('a' in identity.groups)"}]`, groups: []string{"a"}},
		"refused by an expression": {ofClient: `, authPolicy: [{expression: "!('a' in identity.groups)"}]`, groups: []string{"b"}, refused: true},
		"by a computed name":       {ofClient: `, authPolicy: [{expression: "size(dyn(identity)['gro' + 'ups']) == 0"}]`, groups: []string{"a"}},
		"refused by such a name":   {ofClient: `, authPolicy: [{expression: "size(dyn(identity)['gro' + 'ups']) > 0"}]`, groups: []string{"a"}, refused: true},
		"filtered by such a name":  {ofClient: `, tokenPolicy: {filter: {expression: "size(dyn(identity)['gro' + 'ups']) == 0"}}`, groups: []string{"a"}, refused: true},
		"by a filter":              {ofClient: `, tokenPolicy: {filter: {expression: "'a' in identity.groups"}}`, groups: []string{"b"}, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, g := startGuild(t, c.ofSource, c.ofClient)
			g.set("ann", c.email, !c.unverified, c.groups...)
			a := s.browser().join("shop", "ann", "openid")
			if in := a.appCode() != ""; in == c.refused {
				t.Errorf("at the form: %d %s %s", a.status, a.header.Get("Location"), a.body)
			}
			if c.refused && a.status != http.StatusForbidden {
				t.Errorf("the page has the status %d", a.status)
			}
			password := s.token(form("grant_type", "password", "username", "ann", "password", "p", "scope", "openid"), ofClient("shop"))
			if password.hasToken() == c.refused {
				t.Errorf("by the password grant: %d %s", password.status, password.body)
			}
		})
	}
}

func ofClient(id string) func(r *http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(id, id+"-secret") }
}

// Why a user is refused is a word that logs, metrics and the audit have, at the form and at the token endpoint.
func TestReasonsOfRefusals(t *testing.T) {
	t.Parallel()
	for rules, want := range map[string]string{
		", allowedGroups: [x]":                         "policy_group_missing",
		", deniedGroups: [a]":                          "policy_group_denied",
		", allowedEmails: [bob@x.test]":                "policy_email_refused",
		", authPolicy: [{expression: 'true'}]":         "policy_expression",
		", authPolicy: [{expression: claims.no == 1}]": "policy_expression_failed",
	} {
		var mu sync.Mutex
		var reasons []string
		s, g := startGuild(t, "", rules, event.Func(func(_ context.Context, e event.Event) {
			mu.Lock()
			defer mu.Unlock()
			switch e := e.(type) {
			case event.LoginFailed:
				reasons = append(reasons, event.ReasonOf(e.Err))
			case event.RequestRefused:
				reasons = append(reasons, event.ReasonOf(e.Err))
			}
		}))
		g.set("ann", "ann@x.test", true, "a")
		s.browser().join("shop", "ann", "openid")
		s.token(form("grant_type", "password", "username", "ann", "password", "p", "scope", "openid"), ofClient("shop"))
		if !slices.Equal(reasons, []string{want, want}) {
			t.Errorf("%s: the reasons are %q", rules, reasons)
		}
	}
}

// A rule that costs too much for a user with very many groups refuses them, and the log names it; others get in.
func TestRulesThatCostTooMuch(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var causes []string
	s, g := startGuild(t, "", `, authPolicy: [{expression: "identity.groups.exists(a, identity.groups.exists(b, a == b + '-x'))"}]`,
		event.Func(func(_ context.Context, e event.Event) {
			mu.Lock()
			defer mu.Unlock()
			if refused, ok := e.(event.RequestRefused); ok {
				causes = append(causes, refused.Err.Error())
			}
		}))
	groups := make([]string, 10_000)
	for i := range groups {
		groups[i] = fmt.Sprintf("group-%d", i)
	}
	g.set("ann", "", true, groups...)
	g.set("bob", "", true, groups[:20]...)
	as := func(name string) answer {
		return s.token(form("grant_type", "password", "username", name, "password", "p", "scope", "openid"), ofClient("shop"))
	}
	as("bob").wantStatus(http.StatusOK)
	begun := time.Now()
	as("ann").wantError(http.StatusBadRequest, "invalid_grant")
	if took := time.Since(begun); took > 30*time.Second { // unbounded it takes minutes
		t.Errorf("it took %v", took)
	}
	if len(causes) != 1 || !strings.Contains(causes[0], "client shop: authPolicy[0]: operation ") {
		t.Errorf("the log has %q", causes)
	}
}

// Whoever leaves a group is refused at the next refresh, and gets tokens again as soon as they are back.
func TestRefreshesFollowTheGroups(t *testing.T) {
	t.Parallel()
	s, g := startGuild(t, "", ", allowedGroups: [a]")
	g.set("ann", "", true, "a")
	b := s.browser()
	next := b.redeem("shop", b.join("shop", "ann", "openid offline_access")).wantStatus(http.StatusOK).text("refresh_token")
	refresh := func(token string) answer { return s.token(refreshForm(token), ofClient("shop")) }
	g.set("ann", "", true, "b")
	refresh(next).wantError(http.StatusBadRequest, "invalid_grant")
	g.set("ann", "", true, "b", "a")
	if a := refresh(next).wantStatus(http.StatusOK); claims(t, a.text("id_token"))["groups"] != nil {
		t.Error("the application has groups that it has not asked for")
	}
	if slices.Contains(g.asked, false) {
		t.Errorf("the source was asked for the groups: %v", g.asked)
	}
}

// A session in which the source was not asked for the groups is no use where they decide: the user signs in once more.
func TestSessionsWithoutGroupsDecideNothing(t *testing.T) {
	t.Parallel()
	for _, rules := range []string{", allowedGroups: [a]", ", deniedGroups: [b]", `, authPolicy: [{expression: "'b' in identity.groups"}]`} {
		s, g := startGuild(t, "", rules)
		g.set("ann", "", true, "b")
		b := s.browser()
		if b.join("till", "ann", "openid").appCode() == "" {
			t.Fatal("nobody got in where there are no rules")
		}
		silent := b.visit(to("shop", "scope", "openid", "prompt", "none"))
		if silent.location().Query().Get("error") != "login_required" {
			t.Errorf("%s: silently: %d %s", rules, silent.status, silent.header.Get("Location"))
		}
		if a := b.join("shop", "ann", "openid"); a.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", rules, a.status, a.header.Get("Location"))
		}
	}
}

// Scopes that a client may not have are refused, and left out where they were granted before.
func TestScopesOfAClient(t *testing.T) {
	t.Parallel()
	s, g := startGuild(t, "", ", allowedScopes: [email, offline_access]")
	g.set("ann", "ann@x.test", true, "a")
	b := s.browser()
	b.visit(to("shop", "connector_id", "guild", "scope", "openid groups")).wantRedirectError("invalid_scope")
	s.token(form("grant_type", "password", "username", "ann", "password", "p", "scope", "openid profile"), ofClient("shop")).
		wantError(http.StatusBadRequest, "invalid_scope")
	if c := claims(t, b.redeem("shop", b.join("shop", "ann", "openid email")).text("id_token")); c["email"] != "ann@x.test" {
		t.Errorf("the claims are %v", c)
	}
}

// What tokens say is what the rules make of what the source says, in all tokens and at UserInfo.
func TestClaimsOfPolicies(t *testing.T) {
	t.Parallel()
	s, g := startGuild(t,
		`, groups: {match: ["*-x"], rename: {old-x: "system:new"}, case: lower, prefix: "g:"}, tokenPolicy: {claims: [{key: "'from'", value: "'guild'"}, {key: "'level'", value: "1"}]}`,
		`, groups: {match: ["g:*", "system:*"]}, tokenPolicy: {claims: [{key: "'level'", value: "size(identity.groups)"}, {key: "'name'", value: "'Ms ' + identity.username"}, {key: "'never'", value: "1", condition: "false"}, {key: "'exp' + ''", value: "1"}, {key: "'all'", value: "existing_claims.level"}]}`)
	g.set("ann", "", true, "Dev-X", "dev-x", "old-x", "other", "SYSTEM:masters-x")
	b := s.browser()
	got := b.redeem("shop", b.join("shop", "ann", "openid profile groups")).wantStatus(http.StatusOK)
	for _, c := range []map[string]any{claims(t, got.text("id_token")), claims(t, got.text("access_token")), s.bearer(got.text("access_token")).json()} {
		if fmt.Sprint(c["groups"]) != "[g:dev-x system:new g:system:masters-x]" || c["from"] != "guild" || c["level"] != float64(3) || c["name"] != "Ms ann" || c["never"] != nil {
			t.Errorf("the claims are %v", c)
		}
		if c["exp"] == float64(1) {
			t.Error("an expression has made a claim of the protocol's")
		}
		if c["all"] != float64(1) {
			t.Errorf("the claim of the connector was %v", c["all"])
		}
	}
}

// A policy that can't be is an error at its line, and so is one that could take long.
func TestPoliciesThatStopTheStart(t *testing.T) {
	for rules, want := range map[string]string{
		`authPolicy: [{expression: "identity.nme == 'x'"}]`: "undefined field",
		`authPolicy: [{expression: "identity.email"}]`:      "bool",
		`authPolicy: [{message: "'x'"}]`:                    "is required",
		`authPolicy: [{expression: "identity.groups.all(a, identity.groups.all(b, identity.groups.all(c, a == b + c)))"}]`: "cost",
		`authPolicy: [{expression: "true", message: "1"}]`:                                                                 "string",
		`tokenPolicy: {claims: [{key: "'sub'", value: "'x'"}]}`:                                                            "belongs to the protocol",
		`tokenPolicy: {claims: [{key: "'email_verified'", value: "'yes'"}]}`:                                               "must result in a bool, but results in string",
		`tokenPolicy: {claims: [{key: "'groups'", value: "identity.email"}]}`:                                              "must result in a list of strings, but results in string",
		`tokenPolicy: {claims: [{key: department, value: "'x'"}]}`:                                                         "undeclared reference to 'department'; known here: identity, request, claims, existing_claims; text is written in quotes",
		`tokenPolicy: {claims: [{key: "'Exp'", value: "1"}]}`:                                                              "belongs to the protocol",
		`tokenPolicy: {claims: [{key: "'ſub'", value: "'x'"}]}`:                                                            "belongs to the protocol",
		`tokenPolicy: {claims: [{key: "'EMAIL'", value: "'x'"}]}`:                                                          "must be spelt email",
		`allowedEmails: [nobody]`:                                                                                          "is not an e-mail address",
		`allowedEmailDomains: ["*.x.test"]`:                                                                                "must be a domain",
		`groups: {case: title}`:                                                                                            "is not allowed",
		`groups: {rename: {a: ""}}`:                                                                                        "empty name",
	} {
		plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(fmt.Sprintf(inGuild, "", ", "+rules)), Env: environment})
		if plan != nil {
			t.Errorf("%s: the server starts", rules)
			continue
		}
		report := app.Report(problems)
		if !strings.Contains(report, "test.yaml:11:") || !strings.Contains(report, "staticClients[0].") || !strings.Contains(report, want) {
			t.Errorf("%s: got %s", rules, report)
		}
	}
}

// Somebody in ten thousand groups is decided about like anybody else.
func TestTenThousandGroups(t *testing.T) {
	t.Parallel()
	s, g := startGuild(t, ", groups: {prefix: 'g:'}", `, allowedGroups: [none, "g:last-*"], groups: {match: ["g:last-*"]}, authPolicy: [{expression: "!('g:last-1' in identity.groups)"}]`)
	groups := make([]string, 10_000)
	for i := range groups {
		groups[i] = fmt.Sprintf("a group with a name of some length, number %d", i)
	}
	g.set("ann", "", true, append(groups, "last-1")...)
	b := s.browser()
	got := b.redeem("shop", b.join("shop", "ann", "openid groups")).wantStatus(http.StatusOK)
	if c := claims(t, got.text("id_token")); fmt.Sprint(c["groups"]) != "[g:last-1]" {
		t.Errorf("the groups are %.100v", c["groups"])
	}
	g.set("bob", "", true, groups...)
	if a := s.browser().join("shop", "bob", "openid groups"); a.status != http.StatusForbidden {
		t.Errorf("somebody else: %d", a.status)
	}
}
