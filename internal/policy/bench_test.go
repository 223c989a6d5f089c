package policy_test

import (
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

// BenchmarkDecide measures one decision about a user, by how many rules the configuration has: expressions, all of which are asked, or
// groups that a client allows.
func BenchmarkDecide(b *testing.B) {
	user := &connector.Identity{UserID: "u", Username: "u", Email: "u@x.test", EmailVerified: true, Groups: []string{"a", "b", "last"}, GroupsTold: true}
	for _, n := range []int{0, 500} {
		refusals, groups := make([]rule.Refusal, n), make([]string, n)
		for i := range n {
			refusals[i] = rule.Refusal{Expression: fmt.Sprintf("identity.email == 'nobody-%d@x.test'", i)}
			groups[i] = fmt.Sprintf("group-%d", i)
		}
		for name, q := range map[string]struct {
			global []rule.Refusal
			client client.Client
		}{
			"expressions": {refusals, client.Client{ID: "app"}},
			"groups":      {nil, client.Client{ID: "app", Access: rule.Access{AllowedGroups: append(groups, "last"), DeniedGroups: groups}}},
		} {
			b.Run(fmt.Sprintf("%d %s", n, name), func(b *testing.B) {
				p := policy.New(client.NewRegistry(nil, memory.New(), limit.NewSet(), slog.New(slog.DiscardHandler)), policy.Options{
					AuthPolicy: q.global, Tokens: policy.Tokens{Lifetime: time.Hour, Longest: time.Hour},
				})
				b.ReportAllocs()
				for b.Loop() {
					if _, err := p.Decide(b.Context(), policy.Question{
						Stage: policy.Known, Client: &q.client, Grant: oauth.GrantAuthorizationCode, Login: true, User: user,
						Connector: &federation.Definition{ID: "c"}, Scopes: []string{oauth.ScopeOpenID, oauth.ScopeGroups},
					}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
