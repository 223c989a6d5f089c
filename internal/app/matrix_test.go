package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"dex/internal/config"
	"dex/internal/oauth"
	"dex/internal/policy"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// A world is a configuration in which every grant may be used, and what of it one policy forbids.
type world struct {
	grants          []string // oauth2.grantTypes
	clientGrants    []string // of the client app
	connectorGrants []string // of the connector mock
	allowed         []string // connectors of the client app
	connectors      string
	secret          string
	client          string // id
	trusting        string // the client that other trusts
	factors         string // mfa.defaultMFAChain
	clientFactors   string // of the client app; empty means the default
	rules           string // more of the client app
	sourceRules     string // more of the connectors
}

// everyGrant is all grants: a new one fails the tests below until it has a scenario.
var everyGrant = config.GrantTypes

// hasUser reports whether somebody signs in for a grant.
func hasUser(grant string) bool { return slices.Contains(oauth.UserGrants(), grant) }

func openWorld() world {
	return world{grants: everyGrant, connectors: "mock", secret: "app-secret", client: "app", trusting: "app"}
}

func (w world) yaml() string {
	list := func(names []string) string { return "[\"" + strings.Join(names, `", "`) + "\"]" }
	optional := func(key string, names []string) string {
		if names == nil {
			return ""
		}
		return ", " + key + ": " + list(names)
	}
	return fmt.Sprintf(`
issuer: http://dex.test/dex
storage: {type: memory}
web: {http: 127.0.0.1:0}
enablePasswordDB: true
sessions: {}
mail: {from: dex@dex.test, host: 127.0.0.1, port: 1}
localUsers: {passwordReset: true, verifyEmail: true, invitations: true}
mfa: {authenticators: [{id: otp, type: TOTP, config: {issuer: Example}}], defaultMFAChain: [%s]}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2:
  skipApprovalScreen: true
  grantTypes: %s
  responseTypes: [code, token, id_token]
  passwordConnector: %s
  compatibility: {endpointGrants: strict}
connectors:
- {type: mockPassword, id: spare, name: Spare, config: {username: u, password: p}}
- {type: mockPassword, id: %s-password, name: Password, config: {username: u, password: p}%s%s}
- {type: mockCallback, id: %s, name: Mock%s%s}
staticClients:
- {id: %s, secret: %s, name: App, redirectURIs: ["https://app.test/callback"]%s%s%s%s}
- {id: other, secret: other-secret, name: Other, redirectURIs: ["https://other.test/cb"], trustedPeers: [%s]}
`, w.factors, list(w.grants), w.connectors+"-password", w.connectors, optional("grantTypes", w.connectorGrants), w.sourceRules, w.connectors,
		optional("grantTypes", w.connectorGrants), w.sourceRules, w.client, w.secret, optional("grantTypes", w.clientGrants),
		optional("allowedConnectors", w.allowed), w.clientFactors, w.rules, w.trusting)
}

// in runs a server of a world on a storage.
func (w world) in(t *testing.T, kept store.Store) *server {
	t.Helper()
	return startOn(t, w.yaml(), func(store.Store) store.Store { return kept })
}

// asApp authenticates the client of the world as it was when the artifacts were made.
func asApp(r *http.Request) { r.SetBasicAuth("app", "app-secret") }

// peerScope asks for tokens that another client accepts too.
const peerScope = "openid email audience:server:client_id:other"

// A scenario gets ready to use a grant at one server and returns how to use it at another: only what happens there is
// looked at.
type scenario func(ready *server) func(there *server) answer

func tokenRequest(form url.Values) func(*server) answer {
	return func(there *server) answer { return there.token(form, asApp) }
}

// scenarios has one for each grant.
var scenarios = map[string]scenario{
	"authorization_code": func(ready *server) func(*server) answer {
		code := ready.browser().throughMock("scope", peerScope).wantStatus(http.StatusSeeOther).params().Get("code")
		return tokenRequest(codeForm(code))
	},
	"implicit": func(*server) func(*server) answer {
		return func(there *server) answer {
			b := there.browser()
			trip := b.visit(authPath("scope", peerScope, "response_type", "id_token token", "connector_id", "mock"))
			if trip.status != http.StatusFound {
				return trip
			}
			return b.visit(trip.path())
		}
	},
	"refresh_token": func(ready *server) func(*server) answer {
		code := ready.browser().throughMock("scope", peerScope+" offline_access").params().Get("code")
		return tokenRequest(refreshForm(ready.token(codeForm(code), asApp).text("refresh_token")))
	},
	"password": func(*server) func(*server) answer {
		return tokenRequest(form("grant_type", "password", "username", "u", "password", "p", "scope", peerScope))
	},
	"client_credentials": func(*server) func(*server) answer {
		return tokenRequest(form("grant_type", "client_credentials", "scope", peerScope))
	},
	"urn:ietf:params:oauth:grant-type:device_code": func(ready *server) func(*server) answer {
		return tokenRequest(form("grant_type", "urn:ietf:params:oauth:grant-type:device_code",
			"device_code", ready.approvedDevice("scope", peerScope)))
	},
	"urn:ietf:params:oauth:grant-type:token-exchange": func(*server) func(*server) answer {
		return tokenRequest(form("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "scope", peerScope, "audience", "other",
			"connector_id", "mock", "subject_token", "x", "subject_token_type", "urn:ietf:params:oauth:token-type:id_token"))
	},
}

// hasToken reports whether an answer gives out a token.
func (a answer) hasToken() bool {
	return strings.Contains(a.body+a.header.Get("Location"), "_token\"") && !strings.Contains(a.body, `"error"`) ||
		strings.Contains(a.header.Get("Location"), "_token=")
}

func without(list []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == name })
}

func ruledBy(rules string) func(w world, grant string) (world, bool) {
	return func(w world, grant string) (world, bool) {
		w.rules = rules
		return w, hasUser(grant)
	}
}

func sourceRuledBy(rules string) func(w world, grant string) (world, bool) {
	return func(w world, grant string) (world, bool) {
		w.sourceRules = rules
		return w, hasUser(grant)
	}
}

// policies is what can be forbidden, by the rule of package policy that it goes through, or by what comes before the policy.
// Each returns the world in which a grant is forbidden; false where there is nothing to forbid.
var policies = map[string]func(w world, grant string) (world, bool){
	policy.RuleGrant: func(w world, grant string) (world, bool) {
		w.clientGrants = without(everyGrant, grant)
		return w, true
	},
	policy.RuleConnector: func(w world, grant string) (world, bool) {
		w.allowed = []string{"spare"}
		return w, hasUser(grant)
	},
	"connector, by its own grants": func(w world, grant string) (world, bool) {
		w.connectorGrants = without(oauth.UserGrants(), grant)
		return w, hasUser(grant)
	},
	policy.RuleAudience: func(w world, _ string) (world, bool) {
		w.trusting = "nobody"
		return w, true
	},
	policy.RuleScopes: func(w world, _ string) (world, bool) { // looks at the audience too; the rest is tested by rows
		w.trusting = "nobody"
		return w, true
	},
	policy.RuleTargets: func(w world, grant string) (world, bool) {
		w.trusting = "nobody"
		return w, grant == "urn:ietf:params:oauth:grant-type:token-exchange"
	},
	policy.RuleSecondFactor: func(w world, grant string) (world, bool) {
		w.factors = "otp"
		return w, hasUser(grant)
	},
	policy.RuleUser:                   ruledBy(", allowedGroups: [nobody]"),
	"user, by an address":             ruledBy(", allowedEmails: [nobody@b.test]"),
	"user, by a domain":               ruledBy(", allowedEmailDomains: [b.test]"),
	"user, by the connector's groups": sourceRuledBy(", requireGroups: [nobody]"),
	"user, by the connector's domain": sourceRuledBy(", allowedDomains: [b.test]"),
	policy.RuleExpressions:            ruledBy(", authPolicy: [{expression: 'request.client_id == \"app\"'}]"),
	"expressions, by the connector":   sourceRuledBy(", authPolicy: [{expression: 'identity.user_id != \"x\"'}]"),
	"expressions that fail":           ruledBy(", authPolicy: [{expression: claims.none == 1}]"),
	policy.RuleClaims:                 ruledBy(", tokenPolicy: {filter: {expression: 'false'}}"),
	"claims, by the connector":        sourceRuledBy(", tokenPolicy: {claims: [{key: '\"email\"', value: 'dyn(1)'}]}"),
	"second factor, by the client's own": func(w world, grant string) (world, bool) {
		w.clientFactors = ", mfaChain: [otp]"
		return w, hasUser(grant)
	},
	"the server's grants": func(w world, grant string) (world, bool) {
		w.grants = without(everyGrant, grant)
		return w, true
	},
	"the secret": func(w world, grant string) (world, bool) {
		w.secret = "another"
		return w, grant != "implicit" // needs none
	},
	"the client": func(w world, _ string) (world, bool) {
		w.client = "somebody"
		return w, true
	},
	"the connector": func(w world, grant string) (world, bool) {
		w.connectors = "elsewhere"
		return w, hasUser(grant) && grant != "password" // whose connector is whatever is configured
	},
}

// Each policy holds for each grant. What is presented was given out while everything was allowed.
func TestEveryPolicyHoldsForEveryGrant(t *testing.T) {
	t.Parallel()
	open := openWorld()
	served := open.in(t, memory.New()).get("/dex/.well-known/openid-configuration").json()["grant_types_supported"]
	for _, grant := range strings.Fields(strings.Trim(toText(served), "[]")) {
		use, ok := scenarios[grant]
		if !ok {
			t.Errorf("grant %s is served, and not tested", grant)
			continue
		}
		t.Run(grant+" open", func(t *testing.T) {
			kept := memory.New()
			if a := use(open.in(t, kept))(open.in(t, kept)); !a.hasToken() {
				t.Errorf("no token where everything is allowed: %d %s %s", a.status, a.body, a.header.Get("Location"))
			}
		})
		for name, forbid := range policies {
			closed, applies := forbid(open, grant)
			if !applies {
				continue
			}
			t.Run(grant+" "+name, func(t *testing.T) {
				kept := memory.New()
				if a := use(open.in(t, kept))(closed.in(t, kept)); a.hasToken() || a.status == http.StatusOK {
					t.Errorf("answer %d %s %s", a.status, a.body, a.header.Get("Location"))
				}
			})
		}
	}
	if len(strings.Fields(toText(served))) != len(everyGrant) {
		t.Errorf("of the grants only %s are served", toText(served))
	}
}

// A new rule of package policy fails here until it is in the matrix.
func TestEveryPolicyIsInTheMatrix(t *testing.T) {
	for _, r := range policy.Rules() {
		if policies[r.Name] == nil {
			t.Errorf("the rule %q is in no column of the matrix", r.Name)
		}
	}
}

// A storage that fails at any one operation of any grant, before or after doing it, gives nobody a token, unless it is a
// write that is seen to have happened, and the answer says that it was our fault.
func TestFaultsOfEveryGrant(t *testing.T) {
	t.Parallel()
	open := openWorld()
	for grant, use := range scenarios {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s late=%t", grant, late), func(t *testing.T) {
				for n := 1; ; n++ {
					kept := memory.New()
					finish := use(open.in(t, kept))
					f := &faulty{Store: kept, late: late}
					there := open.in(t, f)
					f.failAt = n
					a := finish(there)
					if !f.failed {
						if !a.hasToken() {
							t.Errorf("without a fault: %d %s", a.status, a.body)
						}
						return
					}
					if f.maybeSettled() && a.hasToken() {
						continue
					}
					if a.hasToken() {
						t.Errorf("operation %d failed, and the answer is %d %s", n, a.status, a.body)
					}
					if a.status < http.StatusInternalServerError && a.params().Get("error") != "server_error" {
						t.Errorf("operation %d failed, and the answer blames somebody else: %d %s %s",
							n, a.status, a.body, a.header.Get("Location"))
					}
				}
			})
		}
	}
}
