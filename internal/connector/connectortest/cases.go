package connectortest

import (
	"fmt"
	"strings"
	"testing"
)

// A Case is a type of connector to a hosted provider, with what a test through the whole server needs.
type Case struct {
	Type string
	New  func(t testing.TB) Stage
}

// A Stage is a provider that is ready: somebody is signed in there, whom the connector's filter lets in.
type Stage struct {
	*Hosted
	Settings Object   // with a filter
	Groups   []string // what an application gets of the user's
	// Leave takes the user out of what the filter lets in. It is called with Mu held; nil where there is no filter.
	Leave func()
	// Many puts the user into as many groups, over many pages; nil where there are no groups. It is called with Mu held.
	Many func(groups int)
	// MaxCalls is how many requests a login makes, those of the browser among them.
	MaxCalls int
}

// Cases are all types.
func Cases() []Case {
	return []Case{
		{"gitea", giteaStage},
		{"github", githubStage},
		{"microsoft", microsoftStage},
		{"bitbucket-cloud", bitbucketStage},
		{"gitlab", gitlabStage},
		{"linkedin", linkedInStage},
		{"openshift", openShiftStage},
		{"google", googleStage},
	}
}

func giteaStage(t testing.TB) Stage {
	g := NewGitea(t)
	teams := func(list ...string) {
		u := g.Users["ada"]
		u.Teams = list
		g.Users["ada"] = u
	}
	return Stage{
		Hosted:   g.Hosted,
		Settings: Object{"clientID": "dex", "clientSecret": "secret", "baseURL": g.URL, "orgs": []Object{{"name": "acme"}}},
		Groups:   []string{"acme", "acme:Owners", "acme:ops"},
		Leave:    func() { teams("elsewhere/ops") },
		Many:     func(groups int) { teams(numbered("acme/team", groups-1)...) },
		MaxCalls: 4,
	}
}

func githubStage(t testing.TB) Stage {
	g := NewGitHub(t, true)
	g.AsApp()
	change := func(orgs, teams []string) {
		u := g.Users["ada"]
		u.Orgs, u.Teams = orgs, teams
		g.Users["ada"] = u
	}
	return Stage{
		Hosted: g.Hosted,
		Settings: Object{
			"clientID": "dex", "clientSecret": "secret", "hostName": strings.TrimPrefix(g.URL, "https://"), "rootCA": g.CA(),
			"orgs": []Object{{"name": "acme"}},
		},
		Groups:   []string{"acme:Site Ops", "acme:dev"},
		Leave:    func() { change(nil, []string{"elsewhere/dev"}) },
		Many:     func(groups int) { change(nil, numbered("acme/team", groups)) },
		MaxCalls: 6, // the login page, the token, the user, and at once addresses, membership and teams
	}
}

func microsoftStage(t testing.TB) Stage {
	m := NewMicrosoft(t, "corp.example")
	groups := func(ids ...string) {
		u := m.Users["ada-id"]
		u.Groups = ids
		m.Users["ada-id"] = u
	}
	return Stage{
		Hosted: m.Hosted,
		Settings: Object{
			"clientID": "dex", "clientSecret": "secret", "tenant": m.Tenant, "apiURL": m.URL, "graphURL": m.URL,
			"groups": []string{"admin", "developer"},
		},
		Groups: []string{"admin", "all staff"},
		Leave:  func() { groups(GroupID(2)) },
		Many: func(count int) {
			ids := []string{GroupID(1)}
			for i := range count - 1 {
				ids = append(ids, GroupID(100+i))
				m.Groups[GroupID(100+i)] = MicrosoftGroup{Name: fmt.Sprint("team ", i)}
			}
			groups(ids...)
		},
		MaxCalls: 8,
	}
}
