package identity_test

import (
	"testing"
	"time"

	"dex/internal/connector"
	"dex/internal/identity"
	"dex/internal/store/memory"
)

// Agreeing to more doesn't prolong what was agreed to before, of which the page says nothing.
func TestConsentIsNotProlonged(t *testing.T) {
	t.Parallel()
	now := time.Now()
	users := identity.New(memory.New(), time.Hour, func() time.Time { return now })
	agree := func(scopes ...string) {
		t.Helper()
		err := users.Note(t.Context(), identity.Login{
			Claims: connector.Identity{UserID: "jane"}, ConnectorID: "sso", ClientID: "app", Consented: scopes,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	allows := func(scopes ...string) bool {
		t.Helper()
		e, err := users.Get(t.Context(), "jane", "sso")
		if err != nil {
			t.Fatal(err)
		}
		return users.Allows(&e.Value, "app", scopes)
	}
	agree("openid", "email")
	now = now.Add(40 * time.Minute)
	agree("openid", "profile")
	if !allows("openid", "email", "profile") {
		t.Error("a second consent replaces the first one")
	}
	now = now.Add(40 * time.Minute)
	if allows("email") {
		t.Error("the first consent is prolonged")
	}
	agree("openid", "email", "profile")
	now = now.Add(40 * time.Minute)
	if !allows("email", "profile") {
		t.Error("consent for all doesn't count from when it was given")
	}
}
