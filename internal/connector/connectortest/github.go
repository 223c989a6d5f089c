package connectortest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// A GitHub is a fake of GitHub.com and of an Enterprise Server: it has the API of both. Its users are known by their login.
type GitHub struct {
	*Hosted
	Users map[string]GitHubUser
	// SSO are organizations that tell an application nothing before the user has signed in to them.
	SSO []string
	// Restricted are organizations that have not approved the application.
	Restricted []string
	// Parents are those of teams, all written org/name.
	Parents map[string]string
}

// A GitHubUser is somebody who has an account. Teams are written org/name; their organizations are the user's too.
type GitHubUser struct {
	ID      int
	Name    string
	Email   string // what the user shows to everybody
	Emails  []Object
	Orgs    []string
	Invited []string // organizations of which they are no member yet
	Teams   []string
}

// NewGitHub starts a GitHub, with TLS or without, at which ada signs in through an OAuth app.
func NewGitHub(t testing.TB, withTLS bool) *GitHub {
	g := &GitHub{Hosted: newHosted(t, "/login/oauth/authorize", "/login/oauth/access_token", withTLS), Users: map[string]GitHubUser{
		"ada": {
			ID: 101, Name: "Ada L", Emails: []Object{{"email": "ada@corp.example", "primary": true, "verified": true, "visibility": "private"}},
			Orgs: []string{"acme"}, Teams: []string{"acme/Site Ops", "acme/dev"},
		},
	}, Parents: map[string]string{}}
	g.User, g.AsksJSON, g.RefusedStatus = "ada", true, http.StatusOK
	g.Refusals = map[string]string{
		"invalid_client": "incorrect_client_credentials", "authorization_code": "bad_verification_code", "refresh_token": "bad_refresh_token",
	}
	for _, base := range []string{"", "/api/v3"} { // of GitHub.com, and of an Enterprise Server
		g.API("GET "+base+"/user", "", g.serveUser)
		g.API("GET "+base+"/user/emails", "user:email", func(w http.ResponseWriter, r *http.Request, login string) {
			Reply(w, http.StatusOK, Page(g.Hosted, w, r, g.Users[login].Emails, githubPage))
		})
		g.API("GET "+base+"/user/orgs", "read:org", g.serveOrgs)
		g.API("GET "+base+"/user/teams", "read:org", g.serveTeams)
		g.API("GET "+base+"/user/memberships/orgs/{org}", "read:org", g.serveMembership)
		g.API("GET "+base+"/orgs/{org}/teams/{slug}", "read:org", g.serveTeam)
		g.mux.HandleFunc("POST "+base+"/applications/{id}/token", g.serveCheck)
	}
	return g
}

// githubPage is how long the pages of lists are unless the caller says so.
const githubPage = 30

// AsApp makes the application a GitHub App: its tokens end, are renewed by tokens that work once, and have no scopes.
func (g *GitHub) AsApp() {
	g.Refreshes, g.Rotates, g.NoScopes = func([]string) bool { return true }, true, true
}

// Slug returns what GitHub makes of a team's name.
func Slug(name string) string { return strings.ReplaceAll(strings.ToLower(name), " ", "-") }

func (g *GitHub) refuse(w http.ResponseWriter, status int, message string) {
	Reply(w, status, Object{"message": message, "documentation_url": "https://docs.github.com/rest", "status": fmt.Sprint(status)})
}

func (g *GitHub) serveUser(w http.ResponseWriter, r *http.Request, login string) {
	scopes := g.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")].scopes
	if g.NoScopes {
		scopes = nil
	}
	w.Header().Set("X-OAuth-Scopes", strings.Join(scopes, ", "))
	u, said := g.Users[login], Object{"id": g.Users[login].ID, "login": login, "name": nil, "email": nil, "type": "User"}
	if u.Name != "" {
		said["name"] = u.Name
	}
	if u.Email != "" {
		said["email"] = u.Email
	}
	Reply(w, http.StatusOK, said)
}

func has(list []string, name string) bool {
	return slices.ContainsFunc(list, func(one string) bool { return strings.EqualFold(one, name) })
}

// shows reports whether the application may see an organization, and says in the header if the user could change that.
func (g *GitHub) shows(w http.ResponseWriter, org string) bool {
	if has(g.SSO, org) {
		w.Header().Set("X-GitHub-SSO", "partial-results; organizations=21955855")
		return false
	}
	return !has(g.Restricted, org)
}

// orgs returns the organizations of a user, spelled as they are.
func (g *GitHub) orgs(login string) []string {
	all := slices.Clone(g.Users[login].Orgs)
	for _, team := range g.Users[login].Teams {
		if org, _, _ := strings.Cut(team, "/"); !has(all, org) {
			all = append(all, org)
		}
	}
	return all
}

func (g *GitHub) serveOrgs(w http.ResponseWriter, r *http.Request, login string) {
	all := []Object{}
	for i, org := range g.orgs(login) {
		if g.shows(w, org) {
			all = append(all, Object{"id": i + 1, "login": org, "description": nil})
		}
	}
	Reply(w, http.StatusOK, Page(g.Hosted, w, r, all, githubPage))
}

// team returns what a list says of a team; its parent is described briefly.
func (g *GitHub) team(id int, name string) Object {
	org, label, _ := strings.Cut(name, "/")
	said := Object{"id": id, "name": label, "slug": Slug(label), "organization": Object{"id": 9, "login": org}, "parent": nil}
	if parent, ok := g.Parents[name]; ok {
		_, label, _ := strings.Cut(parent, "/")
		said["parent"] = Object{"id": 1000 + id, "name": label, "slug": Slug(label)}
	}
	return said
}

func (g *GitHub) serveTeams(w http.ResponseWriter, r *http.Request, login string) {
	all := []Object{}
	for i, name := range g.Users[login].Teams {
		if org, _, _ := strings.Cut(name, "/"); g.shows(w, org) {
			all = append(all, g.team(i+1, name))
		}
	}
	Reply(w, http.StatusOK, Page(g.Hosted, w, r, all, githubPage))
}

func (g *GitHub) serveTeam(w http.ResponseWriter, r *http.Request, login string) {
	if !has(g.orgs(login), r.PathValue("org")) {
		g.refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	names := g.Users[login].Teams
	for child, parent := range g.Parents {
		names = append(names[:len(names):len(names)], child, parent)
	}
	for _, name := range names {
		if org, label, _ := strings.Cut(name, "/"); strings.EqualFold(org, r.PathValue("org")) && Slug(label) == r.PathValue("slug") {
			Reply(w, http.StatusOK, g.team(7, name))
			return
		}
	}
	g.refuse(w, http.StatusNotFound, "Not Found")
}

func (g *GitHub) serveMembership(w http.ResponseWriter, r *http.Request, login string) {
	asked := r.PathValue("org")
	reply := func(org, state string) {
		Reply(w, http.StatusOK, Object{"state": state, "role": "member", "organization": Object{"id": 9, "login": org}})
	}
	switch all := g.orgs(login); {
	case has(g.SSO, asked):
		w.Header().Set("X-GitHub-SSO", "required; url=https://github.com/orgs/"+asked+"/sso?authorization_request=AAA")
		g.refuse(w, http.StatusForbidden, "Resource protected by organization SAML enforcement. You must grant your OAuth token access to this organization.")
	case has(g.Restricted, asked):
		g.refuse(w, http.StatusForbidden, "Although you appear to have the correct authorization credentials, the `"+asked+
			"` organization has enabled OAuth App access restrictions, meaning that data access to third-parties is limited.")
	case has(all, asked):
		reply(all[slices.IndexFunc(all, func(org string) bool { return strings.EqualFold(org, asked) })], "active")
	case has(g.Users[login].Invited, asked):
		reply(asked, "pending")
	default:
		g.refuse(w, http.StatusNotFound, "Not Found")
	}
}

// serveCheck tells an application about its tokens.
func (g *GitHub) serveCheck(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if id != g.ClientID || secret != g.ClientSecret || r.PathValue("id") != id {
		g.refuse(w, http.StatusUnauthorized, "Bad credentials")
		return
	}
	var asked struct {
		Token string `json:"access_token"`
	}
	if json.NewDecoder(r.Body).Decode(&asked) != nil || asked.Token == "" {
		g.refuse(w, http.StatusUnprocessableEntity, "Validation Failed")
		return
	}
	given, ok := g.access[asked.Token]
	if !ok || isOver(given) || given.client != "" {
		g.refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	Reply(w, http.StatusOK, Object{"id": 1, "scopes": given.scopes, "app": Object{"client_id": id}, "user": Object{"login": given.user}})
}
