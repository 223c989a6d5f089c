package admin_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/admin"
	"dex/internal/admin/admintest"
	"dex/internal/connector"
	"dex/internal/store"
	"dex/internal/token"
)

// explained asks about a user of the client "configured", and returns whom the answer is about, or the error.
func explained(t *testing.T, s *admin.Service, user, connectorID string) string {
	t.Helper()
	got, err := s.ExplainLogin(admintest.As(t, admin.RoleRead), admin.LoginQuestion{ClientID: "configured", User: user, ConnectorID: connectorID})
	if err != nil {
		return err.Error()
	}
	return strings.Join([]string{got.User.From, got.User.Identity.UserID, got.User.ConnectorID, got.User.Identity.Username, strings.Join(got.User.Identity.Groups, ",")}, " ")
}

// keepLogin gives a user of the connector "configured" a refresh token.
func keepLogin(t *testing.T, f *admintest.Fixture, loginID, userID, name string, groups ...string) {
	t.Helper()
	f.LogIn(t, loginID, token.Authorization{ClientID: "configured", ConnectorID: "configured", Identity: connector.Identity{
		UserID: userID, Username: name, Email: userID + "@example.com", Groups: groups, GroupsTold: true,
	}})
}

// Users who only have refresh tokens are known by them, as their newest one has them.
func TestExplainUsersWithRefreshTokens(t *testing.T) {
	f := admintest.New(t, nil)
	keepLogin(t, f, "l1", "u1", "Jane", "old")
	keepLogin(t, f, "l2", "u2", "Joe")
	keepLogin(t, f, "l3", "u3", "Joe")
	time.Sleep(time.Millisecond) // so that the next one is newer
	keepLogin(t, f, "l4", "u1", "Jane", "new")
	for _, s := range []*admin.Service{f.Service, f.WithoutSessions()} {
		for question, want := range map[[2]string]string{
			{"u1", "configured"}:                    "refresh token u1 configured Jane new",
			{"Jane", "configured"}:                  "refresh token u1 configured Jane new",
			{"U1@example.com", "configured"}:        "refresh token u1 configured Jane new",
			{token.Subject("u1", "configured"), ""}: "refresh token u1 configured Jane new",
			{"Joe", "configured"}:                   "several users match; say which ID and connector you mean: u2 at connector configured, u3 at connector configured",
			{"u1", ""}:                              `nothing is known of a user "u1"`,
			{"u1", "other"}:                         `connector "other" does not exist`,
			{token.Subject("u1", "other"), ""}:      "nothing is known",
		} {
			if got := explained(t, s, question[0], question[1]); !strings.Contains(got, want) {
				t.Errorf("%q: got %s, want %s", question, got, want)
			}
		}
	}
}

// What is known of a user is of the identity, if there is one, and else of what is logged in.
func TestExplainUsersWithSessions(t *testing.T) {
	f := admintest.New(t, nil)
	f.SignIn(t, "s1", "u1", "configured", "shop")
	if got := explained(t, f.Service, "u1", "configured"); got != "last login u1 configured Jane g" {
		t.Errorf("with an identity: %s", got)
	}
	if err := f.Identities.Delete(t.Context(), "u1", "configured"); err != nil {
		t.Fatal(err)
	}
	if err := f.Families.End(t.Context(), "s1-shop"); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"u1", "u1@example.com", token.Subject("u1", "configured")} {
		connectorID := "configured"
		if user == token.Subject("u1", "configured") {
			connectorID = ""
		}
		if got := explained(t, f.Service, user, connectorID); got != "session u1 configured Jane g" {
			t.Errorf("%s with a session: %s", user, got)
		}
	}
	if got := explained(t, f.WithoutSessions(), "u1", "configured"); !strings.Contains(got, "nothing is known") {
		t.Errorf("without sessions: %s", got)
	}
}

// crowded is a storage in which the list of identities has no end.
type crowded struct{ store.Store }

func (c crowded) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	if kind != "identity" {
		return c.Store.List(ctx, kind, q)
	}
	page, err := c.Store.List(ctx, kind, store.Query{Limit: 1})
	return slices.Repeat(page, store.MaxLimit), err
}

// A search among more users than it may look at says so, instead of taking the wrong one; those who are named by ID are found at once.
func TestExplainAmongTooManyUsers(t *testing.T) {
	f := admintest.New(t, func(s store.Store) store.Store { return crowded{s} })
	f.SignIn(t, "s1", "u1", "configured", "shop")
	for _, name := range []string{"Jane", "Joe"} {
		if got := explained(t, f.Service, name, ""); !strings.Contains(got, "too many users") {
			t.Errorf("%s: %s", name, got)
		}
	}
	for question, connectorID := range map[string]string{"u1": "configured", token.Subject("u1", "configured"): ""} {
		if got := explained(t, f.Service, question, connectorID); got != "last login u1 configured Jane g" {
			t.Errorf("%s: %s", question, got)
		}
	}
}
