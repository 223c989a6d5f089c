package google_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
)

const (
	directoryPath = "/admin/directory/v1/groups"
	searchPath    = "/v1/groups/-/memberships:searchTransitiveGroups"
)

func TestGroups(t *testing.T) {
	const ops, dev, all = "ops@corp.example", "dev@corp.example", "all@corp.example"
	asks, asksNot := groups, connector.Scopes{}
	for name, c := range map[string]struct {
		settings object
		scopes   connector.Scopes
		want     []string
		outcome  connector.Outcome
	}{
		"all":                         {nil, asks, []string{dev, ops}, connector.Succeeded},
		"not wanted":                  {nil, asksNot, nil, connector.Succeeded},
		"one":                         {object{"groups": []string{ops, all}}, asks, []string{ops}, connector.Succeeded},
		"one, which isn't asked for":  {object{"groups": []string{ops, all}}, asksNot, []string{ops}, connector.Succeeded},
		"another spelling":            {object{"groups": []string{"Ops@Corp.example"}}, asks, []string{ops}, connector.Succeeded},
		"none":                        {object{"groups": []string{all}}, asks, nil, connector.Refused},
		"none, which isn't asked for": {object{"groups": []string{all}}, asksNot, nil, connector.Refused},
		"a part of a name":            {object{"groups": []string{"ops"}}, asks, nil, connector.Refused},
		"by switch":                   {object{"groups": []string{all}, "insecureSkipGroupsWithoutScope": true}, asksNot, nil, connector.Succeeded},
		"by switch, if asked for":     {object{"groups": []string{all}, "insecureSkipGroupsWithoutScope": true}, asks, nil, connector.Refused},
		"a group of the group":        {object{"groups": []string{all}, "fetchTransitiveGroupMembership": true}, asksNot, []string{all}, connector.Succeeded},
	} {
		g, conn := startWithKey(t, c.settings)
		g.Parents[ops], g.Parents[dev], g.Parents[all] = []string{all}, nil, nil
		id, err := g.SignIn(t, conn, c.scopes)
		if connector.OutcomeOf(err) != c.outcome || !slices.Equal(id.Groups, c.want) {
			t.Errorf("%s: %q, want %q: %v", name, id.Groups, c.want, err)
		}
	}
}

func TestMemberWhoLeaves(t *testing.T) {
	g, c := startWithKey(t, object{"groups": []string{"ops@corp.example"}})
	id, err := g.SignIn(t, c, offline)
	if err != nil {
		t.Fatal(err)
	}
	g.Parents["ada@corp.example"] = []string{"dev@corp.example"}
	if _, err := c.Refresh(t.Context(), connector.Scopes{}, id); connector.OutcomeOf(err) != connector.Refused {
		t.Error(err)
	}
}

// Groups form a diamond and a circle, and one of them is another organization's.
func TestNestedGroups(t *testing.T) {
	g, c := startWithKey(t, object{"fetchTransitiveGroupMembership": true})
	g.Parents = map[string][]string{
		"ada@corp.example":  {"left@corp.example", "right@corp.example", "at@partner.example"},
		"left@corp.example": {"Top@corp.example"}, "right@corp.example": {"top@corp.example"},
		"Top@corp.example": {"left@corp.example", "above@corp.example"}, "above@corp.example": nil,
	}
	g.Calls()
	id, err := g.SignIn(t, c, groups)
	want := []string{"Top@corp.example", "above@corp.example", "at@partner.example", "left@corp.example", "right@corp.example"}
	if err != nil || !slices.Equal(id.Groups, want) {
		t.Errorf("%q, want %q: %v", id.Groups, want, err)
	}
	lookups := map[string]int{}
	for _, call := range g.Calls() {
		if strings.HasPrefix(call.URI, directoryPath) {
			lookups[strings.ToLower(call.URI)]++
		}
	}
	for call, times := range lookups {
		if times != 1 {
			t.Errorf("%s is asked for %d times", call, times)
		}
	}
	if len(lookups) != 5 { // the user, and all groups but the partner's
		t.Errorf("%d lookups: %v", len(lookups), lookups)
	}
}

func TestManyGroups(t *testing.T) {
	var many []string
	for i := range 1001 {
		many = append(many, fmt.Sprintf("group-%04d@corp.example", i))
	}
	for name, settings := range map[string]object{
		"directory":      nil,
		"cloud identity": {"groupsFrom": "cloudIdentity", "domainToAdminEmail": object{}},
	} {
		g, c := startWithKey(t, settings)
		g.Parents["ada@corp.example"] = many
		g.Calls()
		id, err := g.SignIn(t, c, groups)
		if err != nil || !slices.Equal(id.Groups, many) {
			t.Errorf("%s: %d groups, %v", name, len(id.Groups), err)
		}
		want := 11 // the login page, discovery, the code, the keys, the administrator's token, and 6 pages
		if name == "cloud identity" {
			want = 7 // 2 pages
		}
		if calls := g.Calls(); len(calls) != want {
			t.Errorf("%s: %d calls, want %d", name, len(calls), want)
		}
	}
	g, c := startWithKey(t, object{"fetchTransitiveGroupMembership": true})
	for i := range many[:300] {
		g.Parents[many[i]] = many[i+1 : i+2]
	}
	g.Parents["ada@corp.example"] = many[:300]
	if id, err := g.SignIn(t, c, groups); err != nil || len(id.Groups) != 301 {
		t.Errorf("%d groups, %v", len(id.Groups), err)
	}
	g.Parents["ada@corp.example"] = many
	if _, err := g.SignIn(t, c, groups); connector.OutcomeOf(err) != connector.AccountUnusable || !strings.Contains(err.Error(), "groupsFrom") {
		t.Error(err)
	}
}

// Who may look up whom, and what becomes of those whom nobody may look up.
func TestStrangers(t *testing.T) {
	others := object{"domainToAdminEmail": object{"*": "admin@corp.example"}}
	upper := object{"domainToAdminEmail": object{"CORP.example": "admin@corp.example", "*": "nobody@corp.example"}}
	stored := object{
		"domainToAdminEmail": nil, "DomainToAdminEmail": object{"*": "nobody@corp.example"}, "AdminEmail": "admin@corp.example",
	}
	for name, c := range map[string]struct {
		settings object
		user     connectortest.GoogleUser
		want     connector.Outcome
	}{
		"of the domain":            {nil, connectortest.GoogleUser{Email: "ada@corp.example", Domain: "corp.example"}, connector.Succeeded},
		"of the domain, otherwise": {upper, connectortest.GoogleUser{Email: "ada@corp.example", Domain: "corp.example"}, connector.Succeeded},
		"nobody's domain":          {nil, connectortest.GoogleUser{Email: "bob@partner.example", Domain: "partner.example"}, connector.AccountUnusable},
		"no address":               {nil, connectortest.GoogleUser{Email: "corp.example", Domain: "corp.example"}, connector.AccountUnusable},
		"a personal account":       {others, connectortest.GoogleUser{Email: "bob@gmail.example"}, connector.AccountUnusable},
		"another organization":     {others, connectortest.GoogleUser{Email: "bob@partner.example", Domain: "partner.example"}, connector.Broken},
		"unknown":                  {others, connectortest.GoogleUser{Email: "new@corp.example", Domain: "corp.example"}, connector.AccountUnusable},
		"as upstream stores it":    {stored, connectortest.GoogleUser{Email: "ada@corp.example", Domain: "corp.example"}, connector.Succeeded},
	} {
		g := connectortest.NewGoogle(t)
		conn := open(t, g, connectortest.Merged(withKey(t, g, nil), c.settings))
		g.Users["2"], g.User = c.user, "2"
		if id, err := g.SignIn(t, conn, groups); connector.OutcomeOf(err) != c.want {
			t.Errorf("%s: %+v, %v, want %s", name, id, err, c.want)
		}
	}
}

func TestCloudIdentity(t *testing.T) {
	const address = `o'hara\@corp.example`
	for _, transitive := range []bool{true, false} {
		g := connectortest.NewGoogle(t)
		c := open(t, g, object{
			"serviceAccountFilePath": g.File(t, g.Key()), "groupsFrom": "cloudIdentity", "fetchTransitiveGroupMembership": transitive,
		})
		g.Users["1001"] = connectortest.GoogleUser{Email: address, Domain: "corp.example"}
		g.Parents = map[string][]string{address: {"ops@corp.example"}, "ops@corp.example": {"all@corp.example"}}
		want := []string{"ops@corp.example"}
		if transitive {
			want = []string{"all@corp.example", "ops@corp.example"}
		}
		if id, err := g.SignIn(t, c, groups); err != nil || !slices.Equal(id.Groups, want) {
			t.Errorf("%q, want %q: %v", id.Groups, want, err)
		}
		g.Users["1001"] = connectortest.GoogleUser{Email: "a\n@corp.example", Domain: "corp.example"}
		if _, err := g.SignIn(t, c, groups); connector.OutcomeOf(err) != connector.AccountUnusable {
			t.Error(err)
		}
		g.Premium = false
		g.Users["1001"] = connectortest.GoogleUser{Email: address, Domain: "corp.example"}
		_, err := g.SignIn(t, c, groups)
		if transitive != (connector.OutcomeOf(err) == connector.Broken) {
			t.Errorf("an edition without transitive searches: %v", err)
		}
	}
}

// answers are what Google's APIs say that they shouldn't, to a call in our own name.
var answers = map[string]struct {
	answer http.HandlerFunc
	want   connector.Outcome
}{
	"down":        {connectortest.Always(502, "<html>"), connector.Unavailable},
	"a page":      {connectortest.Always(200, "<html>", "Content-Type", "text/html"), connector.Broken},
	"a list":      {connectortest.Always(200, "[1]"), connector.Broken},
	"nothing":     {connectortest.Always(200, ""), connector.Broken},
	"a refusal":   {connectortest.Always(401, `{"error": {"code": 401}}`), connector.Broken},
	"forbidden":   {connectortest.Always(403, `{"error": {"code": 403, "errors": [{"reason": "forbidden"}]}}`), connector.Broken},
	"too many":    {connectortest.Always(429, "", "Retry-After", "3600"), connector.Unavailable},
	"the quota":   {connectortest.Always(403, `{"error": {"errors": [{"reason": "rateLimitExceeded"}]}}`, "Retry-After", "3600"), connector.Unavailable},
	"a redirect":  {connectortest.Always(302, "", "Location", "https://evil.test/"), connector.Broken},
	"for ever":    {connectortest.Always(200, `{"nextPageToken": "again"}`), connector.Broken},
	"no members":  {connectortest.Always(200, `{}`), connector.Succeeded},
	"null groups": {connectortest.Always(200, `{"groups": null, "memberships": [null, {"groupKey": null}]}`), connector.Succeeded},
}

func TestAnswers(t *testing.T) {
	for path, settings := range map[string]object{
		directoryPath: nil,
		searchPath:    {"groupsFrom": "cloudIdentity", "fetchTransitiveGroupMembership": true},
	} {
		for name, c := range answers {
			g := connectortest.NewGoogle(t)
			conn := open(t, g, connectortest.Merged(withKey(t, g, nil), settings))
			before, err := g.SignIn(t, conn, connector.Scopes{OfflineAccess: true, Groups: true})
			if err != nil {
				t.Fatal(err)
			}
			g.Answer(path, c.answer)
			if id, err := g.SignIn(t, conn, groups); connector.OutcomeOf(err) != c.want || id.Groups != nil {
				t.Errorf("%s %s: %s, want %s: %v", path, name, connector.OutcomeOf(err), c.want, err)
			}
			if id, err := conn.Refresh(t.Context(), groups, before); connector.OutcomeOf(err) != c.want || id.Data == nil {
				t.Errorf("%s %s at a refresh: %s, want %s: %v", path, name, connector.OutcomeOf(err), c.want, err)
			}
		}
	}
}

// Groups of other systems have names that look like addresses.
func TestForeignGroups(t *testing.T) {
	g := connectortest.NewGoogle(t)
	c := open(t, g, object{
		"serviceAccountFilePath": g.File(t, g.Key()), "groupsFrom": "cloudIdentity", "fetchTransitiveGroupMembership": true,
	})
	g.Answer(searchPath, connectortest.Always(200, `{"memberships": [
		{"groupKey": {"id": "ops@corp.example"}}, {"groupKey": {"id": "admins@corp.example", "namespace": "identitysources/1"}}]}`))
	if id, err := g.SignIn(t, c, groups); err != nil || !slices.Equal(id.Groups, []string{"ops@corp.example"}) {
		t.Errorf("%+v, %v", id, err)
	}
}

// A group that can't be looked up for our own fault is no fault of the user's.
func TestNestedFailure(t *testing.T) {
	g, c := startWithKey(t, object{"fetchTransitiveGroupMembership": true})
	id, err := g.SignIn(t, c, offline)
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]connector.Outcome{
		401: connector.Broken, 403: connector.Succeeded, 404: connector.Succeeded, 429: connector.Unavailable, 502: connector.Unavailable,
	} {
		g.Answer(directoryPath, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("userKey") == "ada@corp.example" {
				connectortest.Reply(w, 200, object{"groups": []object{{"email": "ops@corp.example"}}})
				return
			}
			if status == 429 { // which Google says by 403 too
				w.Header().Set("Retry-After", "3600")
				status = 403
			}
			connectortest.Reply(w, status, object{"error": object{"code": status}})
		})
		if next, err := c.Refresh(t.Context(), groups, id); connector.OutcomeOf(err) != want || err == nil && len(next.Groups) != 1 {
			t.Errorf("%d: %q, %v, want %s", status, next.Groups, err, want)
		}
	}
}

// A quota that is used up, and a token that was taken back, are no end.
func TestAgain(t *testing.T) {
	g, c := startWithKey(t, nil)
	g.MaxLookups = 1
	for range 2 {
		if id, err := g.SignIn(t, c, groups); err != nil || len(id.Groups) != 2 {
			t.Errorf("%+v, %v", id, err)
		}
	}
	g.ForgetOwn()
	if id, err := g.SignIn(t, c, groups); err != nil || len(id.Groups) != 2 {
		t.Errorf("%+v, %v", id, err)
	}
}
