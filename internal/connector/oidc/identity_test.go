package oidc_test

import (
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
)

func TestIdentity(t *testing.T) {
	const email, mapped = "jane@example.com", "claimMapping"
	groups := object{"insecureEnableGroups": true}
	base := func(edit func(*connector.Identity)) connector.Identity {
		id := connector.Identity{UserID: "sub-1", Username: "Jane", Email: email, EmailVerified: true}
		if edit != nil {
			edit(&id)
		}
		return id
	}
	withGroups := func(names ...string) func(*connector.Identity) {
		return func(id *connector.Identity) { id.Groups = names }
	}
	for name, c := range map[string]struct {
		settings, idToken, userInfo object
		want                        func(*connector.Identity)
		fails, denied               bool
	}{
		"standard": {},
		"preferred username": {idToken: object{"preferred_username": "jd"},
			want: func(id *connector.Identity) { id.PreferredUsername = "jd" }},
		"name falls back": {idToken: object{"name": nil, "preferred_username": "jd"},
			want: func(id *connector.Identity) { id.PreferredUsername, id.Username = "jd", "jd" }},
		"name by key": {settings: object{"userNameKey": "given.name"}, idToken: object{"given": object{"name": "J"}},
			want: func(id *connector.Identity) { id.Username = "J" }},
		"name by key is missing": {settings: object{"userNameKey": "nick"}, fails: true},
		"id by key": {settings: object{"userIDKey": "oid"}, idToken: object{"oid": "o-1"},
			want: func(id *connector.Identity) { id.UserID = "o-1" }},
		"id by key is missing":  {settings: object{"userIDKey": "oid"}, fails: true},
		"id by key is a number": {settings: object{"userIDKey": "oid"}, idToken: object{"oid": 7}, fails: true},
		"address missing":       {idToken: object{"email": nil}, fails: true},
		"address missing, not asked for": {settings: object{"scopes": []string{"profile"}}, idToken: object{"email": nil, "email_verified": nil},
			want: func(id *connector.Identity) { id.Email, id.EmailVerified = "", false }},
		"address mapped": {settings: object{mapped: object{"email": "mail"}}, idToken: object{"email": nil, "mail": "m@x"},
			want: func(id *connector.Identity) { id.Email = "m@x" }},
		"address mapped in vain": {settings: object{mapped: object{"email": "mail"}}, idToken: object{"mail": "m@x"}},
		"address overridden": {settings: object{mapped: object{"email": "mail"}, "overrideClaimMapping": true},
			idToken: object{"mail": "m@x"}, want: func(id *connector.Identity) { id.Email = "m@x" }},
		"overridden by nothing": {settings: object{mapped: object{"preferred_username": "nick"}, "overrideClaimMapping": true},
			idToken: object{"preferred_username": "jd"}},
		"verified as text":     {idToken: object{"email_verified": "true"}},
		"verified is missing":  {idToken: object{"email_verified": nil}, fails: true},
		"verified, skipped":    {settings: object{"insecureSkipEmailVerified": true}, idToken: object{"email_verified": nil}},
		"not verified, stays":  {settings: object{"insecureSkipEmailVerified": true}, idToken: object{"email_verified": false}, want: func(id *connector.Identity) { id.EmailVerified = false }},
		"userinfo goes first":  {settings: object{"getUserInfo": true}, userInfo: object{"sub": "sub-1", "name": "Info"}, want: func(id *connector.Identity) { id.Username = "Info" }},
		"groups are off":       {idToken: object{"groups": []string{"a"}}},
		"groups":               {settings: groups, idToken: object{"groups": []any{"a", object{"name": "b"}, object{"id": 1}}}, want: withGroups("a", "b")},
		"groups of odd things": {settings: groups, idToken: object{"groups": []any{7}}, fails: true},
		"one group":            {settings: groups, idToken: object{"groups": "a"}, want: withGroups("a")},
		"groups mapped": {settings: merged(groups, object{mapped: object{"groups": "realm.roles"}}),
			idToken: object{"realm": object{"roles": []string{"r"}}}, want: withGroups("r")},
		"groups filtered": {settings: merged(groups, object{"claimModifications": object{"filterGroupClaims": object{"groupsFilter": "^a"}}}),
			idToken: object{"groups": []string{"ab", "ba"}}, want: withGroups("ab")},
		"allowed":                {settings: merged(groups, object{"allowedGroups": []string{"a", "c"}}), idToken: object{"groups": []string{"b", "a"}}, want: withGroups("a")},
		"not allowed":            {settings: merged(groups, object{"allowedGroups": []string{"c"}}), idToken: object{"groups": []string{"b", "a"}}, denied: true},
		"not allowed, not named": {settings: object{"allowedGroups": []string{"c"}}, denied: true},
		"allowed before renamed": {settings: object{"allowedGroups": []string{"a"}, "claimModifications": object{"modifyGroupNames": object{"prefix": "p-", "suffix": "-s"}}},
			idToken: object{"groups": []string{"a"}}, want: withGroups("p-a-s")},
		"groups of claims": {settings: object{"claimModifications": object{"newGroupFromClaims": []any{
			object{"claims": []string{"org", "team", "number"}, "delimiter": "::", "prefix": "gh"},
			object{"claims": []string{"team"}, "delimiter": "-", "clearDelimiter": true},
			object{"claims": []string{"number"}, "prefix": "none"},
		}}}, idToken: object{"org": "acme", "team": "one-two", "number": 1}, want: withGroups("gh::acme::one-two", "-onetwo")},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.IDToken, p.UserInfo, p.Answer = c.idToken, c.userInfo, object{"refresh_token": nil}
			got, err := p.signIn(p.open(c.settings))
			_, isDenied := errors.AsType[*connector.Denied](err)
			if (err != nil) != (c.fails || c.denied) || isDenied != c.denied {
				t.Fatalf("%+v, %v", got, err)
			}
			if err != nil {
				return
			}
			got.Session = connector.SourceSession{} // see TestSession
			if diff := cmp.Diff(base(c.want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhenAndHowTheUserSignedIn(t *testing.T) {
	p := newProvider(t)
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	p.IDToken = object{"auth_time": at.Unix(), "amr": []string{"pwd", "otp"}}
	id, err := p.signIn(p.open(nil))
	if err != nil || !id.AuthTime.Equal(at) || !cmp.Equal(id.Methods, []string{"pwd", "otp"}) {
		t.Errorf("%v %v, %v", id.AuthTime, id.Methods, err)
	}
	if string(id.Data) != `{"RefreshToken":"`+base64.StdEncoding.EncodeToString([]byte("refresh 1"))+`"}` {
		t.Errorf("data is %s", id.Data)
	}
}

func TestGroupsThatAreElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		source   func(p *provider) object
		settings object
		want     []string
		fails    bool
	}{
		"at the provider": {
			func(p *provider) object { return object{"endpoint": p.URL + "/claims", "access_token": "for claims"} }, nil,
			[]string{"many", "more"}, false,
		},
		"refused there": {func(p *provider) object { return object{"endpoint": p.URL + "/claims"} }, nil, nil, false},
		"elsewhere":     {func(*provider) object { return object{"endpoint": "https://evil.test/"} }, nil, nil, false},
		"elsewhere, and it matters": {
			func(*provider) object { return object{"endpoint": "https://evil.test/"} },
			object{"allowedGroups": []string{"many"}}, nil, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.IDToken = object{"_claim_names": object{"groups": "src1"}, "_claim_sources": object{"src1": c.source(p)}}
			id, err := p.signIn(p.open(merged(object{"insecureEnableGroups": true}, c.settings)))
			if (err != nil) != c.fails || !cmp.Equal(id.Groups, c.want) {
				t.Errorf("%v, %v", id.Groups, err)
			}
		})
	}
}
