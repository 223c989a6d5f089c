package relyingparty_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"dex/internal/connector"
	"dex/internal/relyingparty"
)

// signIn returns a connector over the API, whose identities are what /user says.
func (f fakeAPI) signIn() *relyingparty.SignIn {
	return &relyingparty.SignIn{
		HTTP: f.client(),
		Identify: func(ctx context.Context, c *relyingparty.Calls, _ connector.Scopes, _ *relyingparty.Tokens) (connector.Identity, error) {
			var user struct {
				ID     relyingparty.ID
				Groups []string
			}
			err := c.GetJSON(ctx, "https://api.test/user", &user)
			return connector.Identity{UserID: string(user.ID), Groups: user.Groups}, err
		},
	}
}

func refresh(t *testing.T, s *relyingparty.SignIn, token string) (connector.Identity, error) {
	t.Helper()
	return s.Refresh(t.Context(), connector.Scopes{}, connector.Identity{UserID: "1", Data: fmt.Appendf(nil, `{"accessToken": %q}`, token)})
}

// What an API has answered is asked for on a condition, by the same token only.
func TestConditions(t *testing.T) {
	var asked []string
	api := fakeAPI(func(r *http.Request) (int, http.Header, string) {
		asked = append(asked, r.Header.Get("Authorization")+" "+r.Header.Get("If-None-Match"))
		if r.Header.Get("If-None-Match") == `"1"` {
			return 304, nil, ""
		}
		return 200, http.Header{"Etag": {`"1"`}}, `{"id": 1}`
	})
	s := api.signIn()
	for _, token := range []string{"a", "a", "b", "a"} {
		if id, err := refresh(t, s, token); err != nil || id.UserID != "1" {
			t.Errorf("%+v, %v", id, err)
		}
	}
	if got, want := strings.Join(asked, ","), `Bearer a ,Bearer a "1",Bearer b ,Bearer a "1"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// An API that says "not modified" without having been asked on a condition, or when the token is no longer good, gives nothing.
func TestConditionsThatMeanNothing(t *testing.T) {
	status := 304
	s := fakeAPI(func(*http.Request) (int, http.Header, string) {
		return status, http.Header{"Etag": {`"1"`}}, `{"id": 1}`
	}).signIn()
	if _, err := refresh(t, s, "a"); connector.OutcomeOf(err) != connector.Broken {
		t.Error(err)
	}
	status = 200
	if _, err := refresh(t, s, "a"); err != nil {
		t.Error(err)
	}
	status = 401
	if _, err := refresh(t, s, "a"); connector.OutcomeOf(err) != connector.Gone {
		t.Error(err)
	}
}

// What is remembered is bounded: of many large answers the oldest are asked for anew.
func TestRememberedAnswersAreBounded(t *testing.T) {
	conditions := 0
	s := fakeAPI(func(r *http.Request) (int, http.Header, string) {
		if r.Header.Get("If-None-Match") != "" {
			conditions++
		}
		return 200, http.Header{"Etag": {`"1"`}}, `{"id": 1, "x": "` + strings.Repeat("x", 250<<10) + `"}`
	}).signIn()
	const tokens = 100 // together 25 MB
	for round := range 2 {
		for i := range tokens {
			if _, err := refresh(t, s, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		if round == 0 && conditions > 0 {
			t.Error("a condition at the first time")
		}
	}
	if conditions > 0 {
		t.Errorf("%d answers were remembered, though newer ones need the space", conditions)
	}
	if _, err := refresh(t, s, fmt.Sprint(tokens-1)); err != nil || conditions != 1 {
		t.Errorf("the last one is not remembered: %v", err)
	}
}

func TestTooManyGroups(t *testing.T) {
	groups := ""
	s := fakeAPI(func(*http.Request) (int, http.Header, string) {
		return 200, nil, `{"id": 1, "groups": [` + groups + `""]}`
	}).signIn()
	for _, c := range []struct {
		groups string
		want   connector.Outcome
	}{
		{strings.Repeat(`"a",`, 9999), connector.Succeeded},
		{strings.Repeat(`"a",`, 10_000), connector.AccountUnusable},
		{`"` + strings.Repeat("a", 256<<10) + `",`, connector.Succeeded},
		{`"` + strings.Repeat("a", 256<<10) + `","a",`, connector.AccountUnusable},
	} {
		groups = c.groups
		if _, err := refresh(t, s, "a"); connector.OutcomeOf(err) != c.want {
			t.Errorf("%d bytes of groups: %v", len(groups), err)
		}
	}
}
