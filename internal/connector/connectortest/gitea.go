package connectortest

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// A Gitea is a fake of Gitea. Its users are known by their login.
type Gitea struct {
	*Hosted
	Users map[string]GiteaUser
	// OldPaging leaves out the headers that tell where a list ends.
	OldPaging bool
	// RootURL is the public address, to which links lead; empty for URL.
	RootURL string
}

// A GiteaUser is somebody who has an account. Teams are written org/team.
type GiteaUser struct {
	ID    int
	Name  string
	Email string
	Teams []string
}

// NewGitea starts a Gitea at which ada signs in.
func NewGitea(t testing.TB) *Gitea {
	g := &Gitea{Hosted: newHosted(t, "/login/oauth/authorize", "/login/oauth/access_token", false), Users: map[string]GiteaUser{
		"ada": {ID: 3, Name: "Ada L", Email: "ada@corp.example", Teams: []string{"acme/Owners", "acme/ops"}},
	}}
	g.User = "ada"
	g.Refreshes = func([]string) bool { return true }
	g.API("GET /api/v1/user", "", func(w http.ResponseWriter, _ *http.Request, login string) {
		u := g.Users[login]
		Reply(w, http.StatusOK, Object{"id": u.ID, "login": login, "full_name": u.Name, "email": u.Email, "is_admin": false})
	})
	g.API("GET /api/v1/user/teams", "", g.serveTeams)
	g.mux.HandleFunc("POST /login/oauth/introspect", g.serveIntrospection)
	return g
}

func (g *Gitea) serveTeams(w http.ResponseWriter, r *http.Request, login string) {
	var all []Object
	for i, name := range g.Users[login].Teams {
		org, team, _ := strings.Cut(name, "/")
		all = append(all, Object{"id": i + 1, "name": team, "organization": Object{"id": 9, "name": org, "username": org}})
	}
	w.Header().Set("X-Total-Count", strconv.Itoa(len(all)))
	page := Page(g.Hosted, w, r, all, 30)
	if g.RootURL != "" {
		w.Header().Set("Link", strings.ReplaceAll(w.Header().Get("Link"), g.URL, g.RootURL))
	}
	if g.OldPaging {
		w.Header().Del("Link")
		w.Header().Del("X-Total-Count")
	}
	Reply(w, http.StatusOK, page)
}

func (g *Gitea) serveIntrospection(w http.ResponseWriter, r *http.Request) {
	if !g.isOurs(r) {
		Reply(w, http.StatusUnauthorized, Object{"error": "unauthorized_client"})
		return
	}
	given, ok := g.access[r.PostFormValue("token")]
	if !ok || isOver(given) {
		Reply(w, http.StatusOK, Object{"active": false})
		return
	}
	audience := g.ClientID
	if given.client != "" {
		audience = given.client
	}
	Reply(w, http.StatusOK, Object{"active": true, "username": given.user, "aud": []string{audience}})
}
