package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/client"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/policy"
	"dex/internal/rule"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// A way in is a grant at the token endpoint, or a part of a login: whatever gives something out on its own.
type wayIn struct {
	use    scenario
	gives  func(answer) bool
	stages []policy.Stage // at which it asks the policy
}

// waysIn are all ways in. One of the served grants that is not here fails TestEveryPolicyHoldsForEveryGrant.
func waysIn() map[string]wayIn {
	redeeming := []policy.Stage{policy.Asked, policy.Known}
	asking := []policy.Stage{policy.Asked, policy.BeforeSource, policy.Known}
	all := map[string]wayIn{
		"/auth, for a code":            {throughAuth("/dex/auth?", "code"), givesCode, asking},
		"/auth, for a code and tokens": {throughAuth("/dex/auth?", "code id_token"), givesCode, asking},
		"/auth/mock":                   {throughAuth("/dex/auth/mock?", "code"), givesCode, asking},
		"/device/code": {
			use: func(*server) func(*server) answer {
				return func(there *server) answer { return there.postForm("/dex/device/code", form("scope", peerScope)) }
			},
			gives:  func(a answer) bool { return strings.Contains(a.body, `"device_code"`) },
			stages: []policy.Stage{policy.Asked},
		},
		"/device": {
			use:    atDevicePage,
			gives:  func(a answer) bool { return strings.HasPrefix(a.header.Get("Location"), "/dex/device/callback") },
			stages: []policy.Stage{policy.BeforeSource, policy.Known},
		},
	}
	for grant, use := range scenarios {
		w := wayIn{use, answer.hasToken, asking}
		if !hasUser(grant) || grant == oauth.GrantAuthorizationCode || grant == oauth.GrantDeviceCode {
			w.stages = redeeming
		}
		all[grant] = w
	}
	return all
}

func throughAuth(path, responseType string) scenario {
	return func(*server) func(*server) answer {
		return func(there *server) answer {
			b := there.browser()
			asked := authPath("scope", peerScope, "response_type", responseType, "connector_id", "mock")
			trip := b.visit(strings.Replace(asked, "/dex/auth?", path, 1))
			if trip.status != http.StatusFound {
				return trip
			}
			return b.visit(trip.path())
		}
	}
}

func givesCode(a answer) bool { return a.params().Get("code") != "" }

// atDevicePage has a user sign in for a device.
func atDevicePage(ready *server) func(*server) answer {
	begun := ready.device("scope", peerScope)
	return func(there *server) answer {
		b := there.browser()
		choice := b.typeCode(begun.text("user_code"), "continue")
		link := mockLink.FindStringSubmatch(choice.body)
		if link == nil {
			return choice
		}
		trip := b.visit(strings.ReplaceAll(link[1], "&amp;", "&"))
		if trip.status != http.StatusFound {
			return trip
		}
		return b.visit(trip.path())
	}
}

// breaks has, for each rule, what can be done to a question so that the rule refuses it.
var breaks = map[string][]func(q *policy.Question){
	policy.RuleGrant: {func(q *policy.Question) {
		c := *q.Client
		c.GrantTypes = without(everyGrant, append([]string{q.Grant}, q.Also...)[len(q.Also)])
		q.Client = &c
	}},
	policy.RuleSecondFactor: {func(q *policy.Question) {
		c := *q.Client
		c.MFAChain = []string{"none"} // which nobody can pass
		q.Client = &c
	}},
	policy.RuleConnector: {
		func(q *policy.Question) {
			c := *q.Client
			c.AllowedConnectors = []string{"another"}
			q.Client = &c
		},
		func(q *policy.Question) {
			if q.Connector != nil {
				d := *q.Connector
				d.GrantTypes = without(everyGrant, q.Grant)
				q.Connector = &d
			}
		},
	},
	policy.RuleUser: {
		func(q *policy.Question) {
			withClient(q, func(c *client.Client) { c.AllowedGroups = []string{"nobody"} })
		},
		func(q *policy.Question) {
			withClient(q, func(c *client.Client) { c.DeniedGroups = []string{"*"} })
			inSomeGroup(q)
		},
		func(q *policy.Question) {
			withClient(q, func(c *client.Client) { c.AllowedEmails = []string{"a@b.test"} })
		},
		func(q *policy.Question) {
			withClient(q, func(c *client.Client) { c.AllowedEmailDomains = []string{"b.test"} })
		},
		func(q *policy.Question) {
			withConnector(q, func(d *federation.Definition) { d.AllowedDomains = []string{"b.test"} })
		},
		func(q *policy.Question) {
			withConnector(q, func(d *federation.Definition) { d.RequireGroups = []string{"nobody"} })
		},
	},
	policy.RuleExpressions: {
		func(q *policy.Question) { withClient(q, func(c *client.Client) { c.AuthPolicy = refusesAll }) },
		func(q *policy.Question) {
			withConnector(q, func(d *federation.Definition) { d.AuthPolicy = refusesAll })
		},
		func(q *policy.Question) { // an expression that fails
			withClient(q, func(c *client.Client) { c.AuthPolicy = []rule.Refusal{{Expression: "claims.none == 'x'"}} })
		},
	},
	policy.RuleClaims: {
		func(q *policy.Question) {
			withClient(q, func(c *client.Client) { c.TokenPolicy = &rule.TokenPolicy{Filter: &rule.Refusal{Expression: "false"}} })
		},
		func(q *policy.Question) {
			withConnector(q, func(d *federation.Definition) {
				d.TokenPolicy = &rule.TokenPolicy{Claims: []rule.Claim{{Key: "'x'", Value: "claims.none"}}}
			})
		},
	},
	policy.RuleTargets: {func(q *policy.Question) { q.Targets = []string{"nobody"} }},
	policy.RuleScopes: {func(q *policy.Question) {
		q.Scopes = append(slices.Clone(q.Scopes), oauth.ScopeAudiencePrefix+"nobody")
	}},
	policy.RuleAudience: {func(q *policy.Question) {
		c := *q.Client
		c.ID = "stranger" // whom nobody trusts
		q.Client = &c
	}},
}

// refusesAll refuses everybody.
var refusesAll = []rule.Refusal{{Expression: "true"}}

func withClient(q *policy.Question, edit func(c *client.Client)) {
	c := *q.Client
	edit(&c)
	q.Client = &c
}

func withConnector(q *policy.Question, edit func(d *federation.Definition)) {
	if q.Connector == nil {
		return
	}
	d := *q.Connector
	edit(&d)
	q.Connector = &d
}

func inSomeGroup(q *policy.Question) {
	if q.User == nil {
		return
	}
	user := *q.User
	user.Groups, user.GroupsTold = []string{"some"}, true
	q.User = &user
}

// spares reports whether a rule has nothing to say about a way in at a stage.
func spares(rule, way string, at policy.Stage) bool {
	switch rule {
	case policy.RuleSecondFactor: // the login that begins will ask for it
		if at == policy.Asked && (strings.HasPrefix(way, "/") || way == oauth.GrantImplicit) {
			return true
		}
		fallthrough
	case policy.RuleConnector, policy.RuleUser, policy.RuleExpressions, policy.RuleClaims: // there is no user
		return slices.Contains(oauth.ClientGrants(), way)
	case policy.RuleScopes: // were asked for when the login began
		return slices.Contains([]string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken, oauth.GrantDeviceCode}, way)
	}
	return false
}

// A judge stands between the server and its policy. It breaks the questions of one stage, and remembers what was asked.
type judge struct {
	policy.Decider
	at        policy.Stage
	broken    func(q *policy.Question)
	stages    []policy.Stage // in the order in which they were first asked
	refusedBy string         // the last rule that has refused
}

func (j *judge) Decide(ctx context.Context, q policy.Question) (policy.Decision, error) {
	if !slices.Contains(j.stages, q.Stage) {
		j.stages = append(j.stages, q.Stage)
	}
	if j.broken != nil && q.Stage == j.at {
		j.broken(&q)
	}
	d, err := j.Decider.Decide(ctx, q)
	if refused, ok := errors.AsType[*policy.Refusal](err); ok {
		j.refusedBy = refused.Rule
	}
	return d, err
}

// try uses a way in at a server whose policy is judged, and returns the answer, and how often a source was asked.
func (w wayIn) try(t *testing.T, j *judge) (a answer, asked int) {
	t.Helper()
	kept := memory.New()
	finish := w.use(openWorld().in(t, kept))
	there := open(t, openWorld().yaml(), func(store.Store) store.Store { return kept }, func(o *app.Options) {
		o.WrapPolicy = func(rules policy.Decider) policy.Decider {
			j.Decider = rules
			return j
		}
	})
	a = finish(&server{t: t, handler: there.Handler()})
	metrics := httptest.NewRecorder()
	there.Telemetry().ServeHTTP(metrics, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, m := range attemptCount.FindAllStringSubmatch(metrics.Body.String(), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		asked += n
	}
	return a, asked
}

var attemptCount = regexp.MustCompile(`(?m)^dex_connector_attempts_total\{.*\} (\d+)$`)

// Every way in asks the policy at each of its stages, and asks a source only after the policy has let it.
func TestEveryWayInAsksAtEachStage(t *testing.T) {
	for name, way := range waysIn() {
		t.Run(name, func(t *testing.T) {
			var j judge
			a, asked := way.try(t, &j)
			if !way.gives(a) {
				t.Errorf("nothing is given where all is allowed: %d %s %s", a.status, a.body, a.header.Get("Location"))
			}
			if !slices.Equal(j.stages, way.stages) {
				t.Errorf("the policy is asked at the stages %q, want %q", j.stages, way.stages)
			}
			if asksSource := slices.Contains(way.stages, policy.BeforeSource); (asked > 0) != asksSource {
				t.Errorf("sources were asked %d times", asked)
			}
		})
	}
}

// Whatever a rule refuses at one stage is refused, even if all other stages have let it pass. No later stage is asked, and no
// source that has not been asked yet. A new rule fails here until there is a way to break it.
func TestEveryRuleHoldsAtEachStage(t *testing.T) {
	t.Parallel()
	for name, way := range waysIn() {
		for _, rule := range policy.Rules() {
			if breaks[rule.Name] == nil {
				t.Fatalf("nothing breaks the rule %q", rule.Name)
			}
			for n, broken := range breaks[rule.Name] {
				for _, stage := range rule.Stages {
					if !slices.Contains(way.stages, stage) {
						continue
					}
					t.Run(fmt.Sprintf("%s, %s %d, %s", name, rule.Name, n, stage), func(t *testing.T) {
						way.holds(t, rule.Name, &judge{at: stage, broken: broken}, spares(rule.Name, name, stage))
					})
				}
			}
		}
	}
}

// holds checks that a way in is closed by a rule, or open where it is spared.
func (w wayIn) holds(t *testing.T, rule string, j *judge, spared bool) {
	t.Helper()
	a, asked := w.try(t, j)
	switch {
	case w.gives(a) != spared:
		t.Errorf("got %d %s %s", a.status, a.body, a.header.Get("Location"))
	case spared:
	case j.refusedBy != rule:
		t.Errorf("the rule %q has refused", j.refusedBy)
	case j.stages[len(j.stages)-1] != j.at:
		t.Errorf("after the refusal the policy was asked at the stages %q", j.stages)
	case j.at != policy.Known && asked > 0:
		t.Errorf("a source was asked %d times", asked)
	}
}

// A source is not asked for a client that may no longer use it, even in a login that has come to it already.
func TestLoginsUnderWayAskNoSourceThatWasTakenFromTheirClient(t *testing.T) {
	source := newTally(1)
	r := startReloaded(t, planWith(t, configuration, source))
	odd := r.browser()
	form := odd.odd()
	away := r.browser()
	trip := away.visit(authPath("connector_id", "mock")).wantStatus(http.StatusFound)

	source.asked = func() { t.Error("the source was asked") }
	taken := strings.Replace(configuration, "{id: app, ", "{id: app, allowedConnectors: [local], ", 1)
	r.apply(planWith(t, taken, source.again()))
	odd.post(form, url.Values{"login": {"u"}, "password": {"wrong"}}).wantRedirectError("access_denied")
	away.visit(trip.path()).wantRedirectError("access_denied")
	if strings.Contains(r.log.take(), "login successful") {
		t.Error("somebody has signed in")
	}
}
