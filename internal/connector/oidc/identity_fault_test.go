package oidc_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	"dex/internal/faulttest"
	"dex/internal/oauth"
)

// as signs in a user of whom the ID token says what the test says.
func as(t *testing.T, settings, idToken object) (connector.Identity, string, error) {
	t.Helper()
	p := newProvider(t)
	p.IDToken = idToken
	id, err := p.signIn(p.open(settings))
	return id, p.log.String(), err
}

// A user whose address is the empty text could not sign in, and no other claim stood in for it.
var _ = faulttest.Add("C-09", func(t *testing.T) {
	mapped := object{"claimMapping": object{"email": "mail", "preferred_username": "nick"}}
	for name, c := range map[string]struct {
		settings, idToken object
		want              connector.Identity
	}{
		"no address":                           {nil, object{"email": ""}, connector.Identity{Username: "Jane"}},
		"no address, of which nothing is said": {nil, object{"email": "", "email_verified": nil}, connector.Identity{Username: "Jane"}},
		"no address, skipped":                  {object{"insecureSkipEmailVerified": true}, object{"email": "", "email_verified": nil}, connector.Identity{Username: "Jane"}},
		"mapped": {mapped, object{"email": "", "mail": "m@x", "preferred_username": "", "nick": "jd"},
			connector.Identity{Username: "Jane", PreferredUsername: "jd", Email: "m@x", EmailVerified: true}},
		"mapped to nothing":        {mapped, object{"email": ""}, connector.Identity{Username: "Jane"}},
		"mapped to the empty text": {mapped, object{"email": nil, "mail": ""}, connector.Identity{Username: "Jane"}},
		"no name":                  {nil, object{"name": ""}, connector.Identity{Username: "jane@example.com", Email: "jane@example.com", EmailVerified: true}},
		"no name by key": {object{"userNameKey": "nick"}, object{"nick": "", "preferred_username": "jd"},
			connector.Identity{Username: "jd", PreferredUsername: "jd", Email: "jane@example.com", EmailVerified: true}},
	} {
		id, _, err := as(t, c.settings, c.idToken)
		id.Data, id.Session, c.want.UserID = nil, connector.SourceSession{}, "sub-1"
		if diff := cmp.Diff(c.want, id); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
})

// An address that the provider calls unverified in its own spelling counted as one of which it says nothing.
var _ = faulttest.Add("C-11", func(t *testing.T) {
	for _, said := range []any{"False", "FALSE", "0", 0, "no", "", 2, 1.5, []string{"true"}} {
		id, log, err := as(t, object{"insecureSkipEmailVerified": true}, object{"email_verified": said})
		if err != nil || id.EmailVerified {
			t.Errorf("%v counts as verified, %v", said, err)
		}
		known := slices.Contains([]any{"False", "FALSE", "0", 0}, said)
		if strings.Contains(log, "email_verified") == known {
			t.Errorf("%v: the log says %s", said, log)
		}
	}
	for _, said := range []any{true, "true", "True", "TRUE", "1", 1} {
		if id, _, err := as(t, nil, object{"email_verified": said}); err != nil || !id.EmailVerified {
			t.Errorf("%v does not count as verified, %v", said, err)
		}
	}
})

// A claim of groups that is one text was not filtered, and let its user in.
var _ = faulttest.Add("C-12", groupsAreFiltered)
var _ = faulttest.Add("R13", groupsAreFiltered)

func groupsAreFiltered(t *testing.T) {
	settings := object{"insecureEnableGroups": true, "claimModifications": object{
		"filterGroupClaims": object{"groupsFilter": "^team-"}, "modifyGroupNames": object{"prefix": "p-"},
	}}
	for name, c := range map[string]struct {
		groups any
		want   []string
	}{
		"text": {"x", nil}, "text that matches": {"team-a", []string{"p-team-a"}}, "list": {[]string{"x", "team-a"}, []string{"p-team-a"}},
		"object": {object{"x": object{}, "team-a": object{}}, []string{"p-team-a"}},
	} {
		id, _, err := as(t, settings, object{"groups": c.groups})
		if err != nil || !slices.Equal(id.Groups, c.want) {
			t.Errorf("%s: %q, %v", name, id.Groups, err)
		}
	}
	if _, _, err := as(t, merged(settings, object{"allowedGroups": []string{"x"}}), object{"groups": "x"}); connector.OutcomeOf(err) != connector.Refused {
		t.Errorf("a group that does not count lets in: %v", err)
	}
}

// Groups in an object, or below a name with dots, were not found, and nothing said so.
var _ = faulttest.Add("C-29", groupsAreFound)
var _ = faulttest.Add("K13", groupsAreFound)

func groupsAreFound(t *testing.T) {
	claims := object{
		"groups":          nil,
		"resource_access": object{"my.app": object{"roles": []string{"b", "a"}}, "account": object{"roles": []string{"c"}}},
		"urn:roles":       object{"dev": object{"1": "x"}, "admin": object{}, "off": false, "none": nil},
	}
	for name, c := range map[string]struct {
		mapping string
		want    []string
		hint    string
	}{
		"dot":              {`resource_access.my\.app.roles`, []string{"b", "a"}, ""},
		"dot, not escaped": {`resource_access.my.app.roles`, nil, "my.app"},
		"misspelled":       {`ressource_access.x`, nil, "resource_access"},
		"object":           {"urn:roles", []string{"admin", "dev"}, ""},
	} {
		id, log, err := as(t, object{"insecureEnableGroups": true, "claimMapping": object{"groups": c.mapping}}, claims)
		if err != nil || !slices.Equal(id.Groups, c.want) {
			t.Errorf("%s: %q, %v", name, id.Groups, err)
		}
		if told := strings.Contains(log, "finds nothing"); told != (c.hint != "") || !strings.Contains(log, c.hint) {
			t.Errorf("%s: the log says %s", name, log)
		}
	}
	id, _, err := as(t, object{"allowedGroups": []string{"dev"}}, object{"groups": object{"dev": object{}, "admin": object{}}})
	if err != nil || !slices.Equal(id.Groups, []string{"dev"}) {
		t.Errorf("allowed by an object: %q, %v", id.Groups, err)
	}
}

// Groups that the provider tells twice were passed on twice.
var _ = faulttest.Add("K14", func(t *testing.T) {
	id, _, err := as(t, object{"insecureEnableGroups": true, "claimModifications": object{
		"newGroupFromClaims": []any{object{"claims": []string{"team"}, "delimiter": "-", "prefix": "b"}},
	}}, object{"groups": []any{"c", "b-x", "a", object{"name": "c"}, "b-x", ""}, "team": "x"})
	if err != nil || !slices.Equal(id.Groups, []string{"c", "b-x", "a"}) {
		t.Errorf("%q, %v", id.Groups, err)
	}
})

// A user without an address was told of a failure of the server.
var _ = faulttest.Add("K12", func(t *testing.T) {
	for name, c := range map[string]struct {
		settings, idToken object
		claim             string
	}{
		"address":      {nil, object{"email": nil}, "email"},
		"verification": {nil, object{"email_verified": nil}, "email_verified"},
		"name":         {object{"userNameKey": "nick"}, nil, "nick"},
		"id":           {object{"userIDKey": "oid"}, nil, "oid"},
	} {
		_, _, err := as(t, c.settings, c.idToken)
		unusable, isUnusable := errors.AsType[*connector.Unusable](err)
		if !isUnusable || !strings.HasSuffix(unusable.Reason, ".") || unusable.Claim != c.claim {
			t.Errorf("%s: %v", name, err)
		}
	}
	id, _, err := as(t, object{"allowMissingEmail": true, "insecureSkipEmailVerified": true}, object{"email": nil, "email_verified": nil})
	if err != nil || id.Email != "" || id.EmailVerified || id.Username != "Jane" {
		t.Errorf("%+v, %v", id, err)
	}
})

// A good token that lacks a claim was answered as if the provider were down, so that machines tried for ever.
var _ = faulttest.Add("K3", func(t *testing.T) {
	for claim, settings := range map[string]object{
		"email": nil, "nick": {"userNameKey": "nick"}, "oid": {"userIDKey": "oid"}, "sub": nil,
	} {
		for _, getUserInfo := range []bool{false, true} {
			p := newProvider(t)
			p.UserInfo = object{"sub": "sub-1", "email": "j@x", "email_verified": true, claim: nil}
			settings, kind := merged(object{"getUserInfo": getUserInfo}, settings), oauth.TokenTypeID
			if getUserInfo {
				kind = oauth.TokenTypeAccess
			}
			_, err := p.open(settings).TokenIdentity(t.Context(), connector.Scopes{}, connector.SubjectToken{
				Type: kind, Token: p.Sign(object{"nonce": nil, claim: nil}),
			})
			bad, isBad := errors.AsType[*connector.BadToken](err)
			unusable, isUnusable := errors.AsType[*connector.Unusable](err)
			named := isUnusable && unusable.Claim == claim || isBad && strings.Contains(bad.Reason, claim)
			if !named {
				t.Errorf("%s, userinfo %v: %v", claim, getUserInfo, err)
			}
		}
	}
})

// Claims that the provider has signed were taken whoever they were about.
var _ = faulttest.Add("R19", func(t *testing.T) {
	for name, c := range map[string]struct {
		claims object
		typ    string
		want   []string
	}{
		"the user's":        {claims: object{}, want: []string{"many"}},
		"another's":         {claims: object{"sub": "sub-2"}},
		"nobody's":          {claims: object{"sub": nil}},
		"another issuer's":  {claims: object{"iss": "https://evil.test"}},
		"no issuer's":       {claims: object{"iss": nil}},
		"expired":           {claims: object{"exp": time.Now().Add(-time.Hour).Unix()}},
		"without an end":    {claims: object{"exp": nil}, want: []string{"many"}},
		"of a logout token": {claims: object{"events": object{}}},
	} {
		p := newProvider(t)
		c.claims["groups"], c.claims["nonce"] = []string{"many"}, nil
		p.IDToken = object{"_claim_names": object{"groups": "src1"}, "_claim_sources": object{"src1": object{"JWT": p.Sign(c.claims)}}}
		id, err := p.signIn(p.open(object{"insecureEnableGroups": true}))
		if err != nil || !slices.Equal(id.Groups, c.want) {
			t.Errorf("%s: %q, %v", name, id.Groups, err)
		}
	}
})
