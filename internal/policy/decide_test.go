package policy_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/policy"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// deaf is a storage that can't be read.
type deaf struct{ store.Store }

func (deaf) Get(context.Context, string, string) (store.Record, error) {
	return store.Record{}, errors.New("the storage is away")
}

func over(s store.Store) *policy.Policy {
	log := slog.New(slog.DiscardHandler)
	return policy.New(client.NewRegistry(nil, s, limit.NewSet(), log), policy.Options{Tokens: policy.Tokens{Lifetime: time.Hour}})
}

// Only the last stage has terms on which tokens can be made.
func TestOnlyTheLastStageHasTerms(t *testing.T) {
	for _, stage := range []policy.Stage{policy.Asked, policy.BeforeSource, policy.Known} {
		d, err := over(memory.New()).Decide(t.Context(), policy.Question{
			Stage: stage, Client: &client.Client{ID: "app"}, Grant: oauth.GrantPassword,
			Connector: &federation.Definition{ID: "c"}, User: &connector.Identity{UserID: "u"}, Scopes: []string{oauth.ScopeOpenID},
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(d.Scopes, []string{oauth.ScopeOpenID}) {
			t.Errorf("%s: the scopes are %v", stage, d.Scopes)
		}
		got, want := d.Terms, stage == policy.Known
		if (got.AccessLifetime == time.Hour && got.IDLifetime == time.Hour && slices.Equal(got.Audience, []string{"app"})) != want || !want && got.Audience != nil {
			t.Errorf("%s: the terms are %+v", stage, got)
		}
	}
}

// A question that can't be answered gets no decision, and blames no rule.
func TestFailuresAreNoRefusals(t *testing.T) {
	user := policy.Question{
		Stage: policy.Known, Client: &client.Client{ID: "app"}, Grant: oauth.GrantPassword,
		Connector: &federation.Definition{ID: "c"}, User: &connector.Identity{UserID: "u"}, Scopes: []string{oauth.ScopeOpenID},
	}
	for name, edit := range map[string]func(q *policy.Question){
		"no stage":      func(q *policy.Question) { q.Stage = "" },
		"no connector":  func(q *policy.Question) { q.Connector = nil },
		"storage fails": func(q *policy.Question) { q.Scopes = append(q.Scopes, oauth.ScopeAudiencePrefix+"other") },
	} {
		q := user
		edit(&q)
		d, err := over(deaf{memory.New()}).Decide(t.Context(), q)
		if _, refused := errors.AsType[*policy.Refusal](err); err == nil || refused || d.Terms.Audience != nil {
			t.Errorf("%s: got %+v, %v", name, d, err)
		}
	}
}

// A refusal names its rule, and is what the application is told.
func TestRefusalNamesItsRule(t *testing.T) {
	_, err := over(memory.New()).Decide(t.Context(), policy.Question{
		Stage: policy.Asked, Client: &client.Client{ID: "app"}, Grant: oauth.GrantPassword,
	})
	refused, ok := errors.AsType[*policy.Refusal](err)
	told, isTold := errors.AsType[*oauth.Error](err)
	if !ok || !isTold || refused.Rule != policy.RuleScopes || told.Code != oauth.InvalidScope {
		t.Errorf("got %v", err)
	}
}
