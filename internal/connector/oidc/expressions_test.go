package oidc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	"dex/internal/oauth"
)

func expressions(all object) object { return object{"claimMappingExpressions": all} }

func TestClaimMappingExpressions(t *testing.T) {
	claims := object{
		"upn": "JDOE@corp.example", "given_name": "Jane", "family_name": "Doe", "mail_checked": "yes",
		"realm_access": object{"roles": []string{"dev", "ops", "offline_access"}}, "level": 3, "dept": object{"id": 7, "name": "R&D"},
	}
	with := func(change func(*connector.Identity)) connector.Identity {
		id := connector.Identity{UserID: "sub-1", Username: "Jane", Email: "jane@example.com", EmailVerified: true}
		change(&id)
		return id
	}
	for name, c := range map[string]struct {
		settings object
		want     connector.Identity
	}{
		"username": {expressions(object{"username": `claims.given_name + " " + claims.family_name`}),
			with(func(id *connector.Identity) { id.Username = "Jane Doe" })},
		"username over userNameKey": {merged(expressions(object{"username": `claims.given_name + "!"`}), object{"userNameKey": "upn"}),
			with(func(id *connector.Identity) { id.Username = "Jane!" })},
		"empty username": {expressions(object{"username": `""`}),
			with(func(id *connector.Identity) { id.Username = "jane@example.com" })},
		"email, of which nothing is said": {expressions(object{"email": `claims.upn.lowerAscii()`}),
			with(func(id *connector.Identity) { id.Email, id.EmailVerified = "jdoe@corp.example", false })},
		"email that stays": {expressions(object{"email": `claims.email.lowerAscii()`}), with(func(*connector.Identity) {})},
		"email and verified": {expressions(object{"email": `claims.upn.lowerAscii()`, "emailVerified": `claims.mail_checked == "yes"`}),
			with(func(id *connector.Identity) { id.Email = "jdoe@corp.example" })},
		"email, skipped": {merged(expressions(object{"email": `claims.upn`}), object{"insecureSkipEmailVerified": true}),
			with(func(id *connector.Identity) { id.Email = "JDOE@corp.example" })},
		"unverified": {expressions(object{"emailVerified": `false`}), with(func(id *connector.Identity) { id.EmailVerified = false })},
		"groups": {expressions(object{"groups": `claims.realm_access.roles.filter(r, !r.startsWith("offline")).map(r, "kc:" + r)`}),
			with(func(id *connector.Identity) { id.Groups = []string{"kc:dev", "kc:ops"} })},
		"groups, filtered and renamed": {merged(expressions(object{"groups": `claims.realm_access.roles`}), object{
			"allowedGroups": []string{"ops"}, "claimMapping": object{"groups": "nothing"},
			"claimModifications": object{"modifyGroupNames": object{"prefix": "p-"}, "filterGroupClaims": object{"groupsFilter": "^o"}},
		}), with(func(id *connector.Identity) { id.Groups = []string{"p-ops"} })},
		"extra": {expressions(object{"extra": object{"dept": `claims.dept`, "level": `claims.level + 1`, "none": `null`, "roles": `claims.realm_access.roles`}}),
			with(func(id *connector.Identity) {
				id.Extra = map[string]any{"dept": map[string]any{"id": 7.0, "name": "R&D"}, "level": 4.0, "roles": []any{"dev", "ops", "offline_access"}}
			})},
	} {
		id, _, err := as(t, c.settings, claims)
		id.Data, id.Session = nil, connector.SourceSession{}
		if diff := cmp.Diff(c.want, id); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

// What has no value for a user, or too large a one, signs nobody in.
func TestExpressionsFailClosed(t *testing.T) {
	for name, settings := range map[string]object{
		"username":      expressions(object{"username": `claims.missing`}),
		"email":         expressions(object{"email": `claims.level`}),
		"empty email":   expressions(object{"email": `""`}),
		"emailVerified": expressions(object{"emailVerified": `claims.missing`}),
		"groups":        expressions(object{"groups": `claims.name`}),
		"extra":         expressions(object{"extra": object{"x": `claims.missing`}}),
		"large extra":   expressions(object{"extra": object{"x": `claims.many.map(m, m + m)`}}),
		"denied":        merged(expressions(object{"groups": `["a"]`}), object{"allowedGroups": []string{"b"}}),
	} {
		many := make([]string, 500)
		for i := range many {
			many[i] = strings.Repeat("m", 20)
		}
		id, _, err := as(t, settings, object{"level": 3, "many": many})
		_, unusable := errors.AsType[*connector.Unusable](err)
		_, denied := errors.AsType[*connector.Denied](err)
		if !unusable && !denied {
			t.Errorf("%s: %v, %+v", name, err, id)
		}
	}
}

// The claims of a refresh may leave out what those of the login had.
func TestExpressionsAtRefresh(t *testing.T) {
	settings := expressions(object{
		"username": `claims.given_name + "!"`, "email": `claims.upn.lowerAscii()`, "emailVerified": `claims.checked`,
		"groups": `claims.roles`, "extra": object{"dept": `claims.dept`, "always": `1`},
	})
	last := connector.Identity{
		UserID: "sub-1", Username: "Jane!", Email: "jdoe@x", EmailVerified: true, Groups: []string{"dev"},
		Extra: map[string]any{"dept": "R&D", "always": 1.0}, Data: kept("refresh 0"),
	}
	for name, c := range map[string]struct {
		claims object
		change func(*connector.Identity)
	}{
		"all changed": {object{"given_name": "Joan", "upn": "JOAN@x", "checked": false, "roles": []string{"ops"}, "dept": "Sales"},
			func(id *connector.Identity) {
				id.Username, id.Email, id.EmailVerified, id.Groups = "Joan!", "joan@x", false, []string{"ops"}
				id.Extra = map[string]any{"dept": "Sales", "always": 1.0}
			}},
		"left out": {nil, func(id *connector.Identity) { id.Groups, id.Extra = nil, map[string]any{"always": 1.0} }},
		"another address, of which nothing is said": {object{"upn": "other@x", "roles": []string{"dev"}, "dept": "R&D"},
			func(id *connector.Identity) { id.Email, id.EmailVerified = "other@x", false }},
	} {
		p := newProvider(t)
		p.IDToken = c.claims
		got, err := p.open(settings).Refresh(t.Context(), connector.Scopes{}, last)
		want := last
		c.change(&want)
		got.Data, want.Data = nil, nil
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

func TestExpressionsAtExchange(t *testing.T) {
	p := newProvider(t)
	c := p.open(expressions(object{"username": `claims.repo.split("/")[1]`, "extra": object{"repo": `claims.repo`}}))
	token := p.Sign(object{"repo": "example/app"})
	id, err := c.TokenIdentity(t.Context(), connector.Scopes{}, connector.SubjectToken{Type: oauth.TokenTypeID, Token: token})
	if err != nil || id.Username != "app" || id.Extra["repo"] != "example/app" {
		t.Errorf("%+v, %v", id, err)
	}
}

// All mistakes are found at once, each where it is.
func TestWrongExpressions(t *testing.T) {
	names := object{}
	for i := range 33 {
		names["n"+strings.Repeat("x", i)] = "1"
	}
	_, problems := decode(t, merged(object{"issuer": "https://x.example", "clientID": "dex"}, expressions(object{
		"username": `claims.`, "email": `1`, "groups": `identity.groups`, "emailVerified": `claims.all(a, claims.all(b, claims.all(c, claims.all(d, claims.all(e, a < b + c + d + e)))))`,
		"extra": object{"good": `1`, "bad": `2 +`, "no.name": `1`},
	})))
	got := problemTexts(problems)
	for _, want := range []string{
		"claimMappingExpressions.username", "Syntax error", "claimMappingExpressions.email", "must result in a string, but results in int",
		"claimMappingExpressions.groups", "undeclared reference to 'identity'", "claimMappingExpressions.emailVerified", "may cost",
		"claimMappingExpressions.extra.bad", `has the name "no.name"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	_, problems = decode(t, merged(object{"issuer": "https://x.example", "clientID": "dex"}, expressions(object{"extra": names})))
	if got := problemTexts(problems); !strings.Contains(got, "has 33 entries, and may have 32") {
		t.Error(got)
	}
	_, problems = decode(t, merged(object{"issuer": "https://x.example", "clientID": "dex", "userNameKey": "x"}, expressions(object{"username": `""`})))
	if got := problemTexts(problems); !strings.Contains(got, "is not used: claimMappingExpressions.username takes its place") {
		t.Error(got)
	}
}
