package policy_test

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/policy"
	"dex/internal/rule"
	"dex/internal/store/memory"
)

// Each of many expressions refuses, wherever it is in the list, and says which it was; so does one that fails, or that can't be compiled but
// could be in the company of others.
func TestEachOfManyExpressionsRefuses(t *testing.T) {
	for name, refuses := range map[string]string{
		"refuses":          "identity.username == 'u'",
		"refuses, remarks": "true // always",
		"fails":            "claims.none == 1",
		"is cut":           "false) || (false",
		"is no bool":       "1",
		"costs more alone": "identity.groups.exists(g, g == 'a')",
	} {
		for _, at := range []int{0, 1, 15, 16, 17, 40, 49} {
			list := make([]rule.Refusal, 50)
			for i := range list {
				list[i] = rule.Refusal{Expression: fmt.Sprintf("identity.email == '%d@x.test' // nobody", i)}
			}
			list[at].Expression = refuses
			for _, trace := range []*policy.Trace{nil, {}} {
				p := policy.New(client.NewRegistry(nil, memory.New(), limit.NewSet(), slog.New(slog.DiscardHandler)),
					policy.Options{AuthPolicy: list, Tokens: policy.Tokens{Lifetime: time.Hour, Longest: time.Hour}})
				q := policy.Question{
					Stage: policy.Known, Client: &client.Client{ID: "app"}, Grant: oauth.GrantAuthorizationCode, Login: true,
					User:      &connector.Identity{UserID: "u", Username: "u", Groups: []string{"a"}, GroupsTold: true},
					Connector: &federation.Definition{ID: "c"}, Scopes: []string{oauth.ScopeOpenID}, Trace: trace,
				}
				for range 2 { // the second time what was compiled is known
					_, err := p.Decide(t.Context(), q)
					if no, ok := errors.AsType[*policy.Refusal](err); !ok || no.Rule != policy.RuleExpressions || no.Reason == "" {
						t.Fatalf("%s at %d: got %v", name, at, err)
					}
				}
				list[at].Expression = "false"
				if _, err := policy.New(client.NewRegistry(nil, memory.New(), limit.NewSet(), slog.New(slog.DiscardHandler)),
					policy.Options{AuthPolicy: list, Tokens: policy.Tokens{Lifetime: time.Hour, Longest: time.Hour}}).Decide(t.Context(), q); err != nil {
					t.Fatalf("without %s: %v", name, err)
				}
				list[at].Expression = refuses
			}
		}
	}
}
