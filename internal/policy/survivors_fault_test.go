package policy

import (
	"log/slog"
	"slices"
	"testing"

	"dex/internal/client"
	"dex/internal/faulttest"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/store/memory"
)

// An audience that is asked for twice is named once.
var _ = faulttest.Add("T-policy-86", func(t *testing.T) {
	app := &client.Client{ID: "app"}
	other := &client.Client{ID: "other", TrustedPeers: []string{"app"}}
	clients := client.NewRegistry([]*client.Client{app, other}, memory.New(), limit.NewSet(), slog.New(slog.DiscardHandler))
	scope := "audience:server:client_id:other"
	got, err := New(clients, Options{}).Decide(t.Context(), Question{
		Stage: Known, Client: app, Grant: oauth.GrantClientCredentials, Scopes: []string{scope, scope},
	})
	if err != nil || !slices.Equal(got.Terms.Audience, []string{"other", "app"}) {
		t.Errorf("got %v, %v", got, err)
	}
})
