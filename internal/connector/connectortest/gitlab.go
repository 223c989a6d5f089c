package connectortest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// PersonalToken is the application of access tokens that users make themselves, see Hosted.Token.
const PersonalToken = "a user"

// A GitLab is a fake of GitLab. Its users are known by their user name.
type GitLab struct {
	*Hosted
	Users map[string]GitLabUser
	// Groups are the full paths of all groups. Their numbers are their places, from 1.
	Groups []string
	// Old leaves out what the versions of some years ago had not: two roles, and when an address was confirmed.
	Old bool
	// NoTotals leaves out the headers that tell where a list goes on.
	NoTotals bool
}

// A GitLabUser is somebody who has an account.
type GitLabUser struct {
	ID          int
	Name, Email string
	PublicEmail string // what userinfo has as the address
	Unconfirmed bool
	State       string // empty for active
	// Roles are the user's own memberships, by path. They hold in all groups below.
	Roles map[string]int
	// Invited are the memberships by which another group of the user's was invited, or one of its projects, which is 0.
	Invited map[string]int
}

// NewGitLab starts a GitLab at which ada signs in.
func NewGitLab(t testing.TB) *GitLab { return NewGitLabBelow(t, "") }

// NewGitLabBelow starts a GitLab that has a relative URL root, such as /gitlab.
func NewGitLabBelow(t testing.TB, root string) *GitLab {
	g := &GitLab{
		Hosted: newHosted(t, root+"/oauth/authorize", root+"/oauth/token", false),
		Users: map[string]GitLabUser{"ada": {
			ID: 42, Name: "Ada L", Email: "ada@corp.example", Roles: map[string]int{"ops": 50, "dev": 30},
		}},
		Groups: []string{"ops", "ops/web", "dev", "other"},
	}
	g.User, g.Rotates, g.Life = "ada", true, 2*time.Hour
	g.Refreshes = func([]string) bool { return true }
	g.API("GET "+root+"/api/v4/user", "read_user read_api api", g.serveUser)
	g.API("GET "+root+"/oauth/userinfo", "openid", g.serveUserInfo)
	g.API("GET "+root+"/api/v4/groups", "read_api api", g.serveGroups)
	g.API("GET "+root+"/api/v4/groups/{group}/members/all/{user}", "read_api api", g.serveMember)
	g.API("GET "+root+"/oauth/token/info", "", g.serveTokenInfo)
	return g
}

func (g *GitLab) serveUser(w http.ResponseWriter, _ *http.Request, name string) {
	u := g.Users[name]
	if u.State == "blocked" {
		Reply(w, http.StatusForbidden, Object{"message": "403 Forbidden - Your account has been blocked."})
		return
	}
	said := Object{
		"id": u.ID, "username": name, "name": u.Name, "email": u.Email, "state": "active", "confirmed_at": "2024-05-01T10:00:00.000Z",
	}
	if u.State != "" {
		said["state"] = u.State
	}
	if u.Unconfirmed {
		said["confirmed_at"] = nil
	}
	if g.Old {
		delete(said, "confirmed_at")
	}
	Reply(w, http.StatusOK, said)
}

func (g *GitLab) serveUserInfo(w http.ResponseWriter, _ *http.Request, name string) {
	u := g.Users[name]
	in, own := []string{}, map[int][]string{30: {}, 40: {}, 50: {}}
	for _, path := range g.Groups {
		if g.role(u.Roles, path) > 0 {
			in = append(in, path)
		}
		if role, ok := u.Roles[path]; ok {
			own[role] = append(own[role], path)
		}
	}
	said := Object{
		"sub": strconv.Itoa(u.ID), "nickname": name, "email": u.Email, "email_verified": !u.Unconfirmed, "groups": in,
		"https://gitlab.org/claims/groups/owner": own[50], "https://gitlab.org/claims/groups/maintainer": own[40],
		"https://gitlab.org/claims/groups/developer": own[30],
	}
	if u.PublicEmail != "" {
		said["email"], said["email_verified"] = u.PublicEmail, false
	}
	Reply(w, http.StatusOK, said)
}

// role returns the highest role of some in a group, or in one above it; 0 for none.
func (g *GitLab) role(roles map[string]int, path string) int {
	highest := 0
	for {
		highest = max(highest, roles[path])
		end := strings.LastIndexByte(path, '/')
		if end < 0 {
			return highest
		}
		path = path[:end]
	}
}

func (g *GitLab) serveGroups(w http.ResponseWriter, r *http.Request, name string) {
	u, query := g.Users[name], r.URL.Query()
	least, filtered := 0, query.Has("min_access_level")
	if filtered {
		known := []int{10, 15, 20, 25, 30, 40, 50}
		if g.Old {
			known = []int{10, 20, 30, 40, 50}
		}
		least, _ = strconv.Atoi(query.Get("min_access_level"))
		if !slices.Contains(known, least) {
			Reply(w, http.StatusBadRequest, Object{"error": "min_access_level does not have a valid value"})
			return
		}
	}
	var all []Object
	for i, path := range g.Groups {
		_, invited := u.Invited[path]
		role := g.role(u.Roles, path)
		if filtered && role >= least || !filtered && (role > 0 || invited) {
			all = append(all, Object{"id": i + 1, "name": "A group", "path": path[strings.LastIndexByte(path, '/')+1:], "full_path": path})
		}
	}
	page := Page(g.Hosted, w, r, all, 20)
	w.Header().Set("X-Next-Page", "")
	if strings.Contains(w.Header().Get("Link"), `rel="next"`) {
		number, _ := strconv.Atoi(query.Get("page"))
		w.Header().Set("X-Next-Page", strconv.Itoa(number+1))
	}
	w.Header().Set("Link", strings.ReplaceAll(w.Header().Get("Link"), g.URL, "https://the-public-address.example"))
	if g.NoTotals {
		w.Header().Del("Link")
		w.Header().Del("X-Next-Page")
	}
	Reply(w, http.StatusOK, page)
}

func (g *GitLab) serveMember(w http.ResponseWriter, r *http.Request, name string) {
	u := g.Users[name]
	number, _ := strconv.Atoi(r.PathValue("group"))
	role := 0
	if number > 0 && number <= len(g.Groups) && r.PathValue("user") == strconv.Itoa(u.ID) {
		role = max(g.role(u.Roles, g.Groups[number-1]), g.role(u.Invited, g.Groups[number-1]))
	}
	if role == 0 {
		Reply(w, http.StatusNotFound, Object{"message": "404 Not found"})
		return
	}
	Reply(w, http.StatusOK, Object{"id": u.ID, "username": name, "state": "active", "access_level": role})
}

func (g *GitLab) serveTokenInfo(w http.ResponseWriter, r *http.Request, name string) {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given := g.access[token]
	application := given.client
	switch application {
	case PersonalToken:
		Reply(w, http.StatusUnauthorized, Object{"error": "invalid_token", "error_description": "The access token is invalid"})
		return
	case "":
		application = g.ClientID
	}
	Reply(w, http.StatusOK, Object{
		"resource_owner_id": g.Users[name].ID, "scope": given.scopes, "expires_in": 7200, "application": Object{"uid": application},
		"created_at": 1700000000, "scopes": given.scopes, "expires_in_seconds": 7200,
	})
}

func gitlabStage(t testing.TB) Stage {
	g := NewGitLab(t)
	in := func(roles map[string]int) {
		u := g.Users["ada"]
		u.Roles = roles
		g.Users["ada"] = u
	}
	return Stage{
		Hosted: g.Hosted,
		Settings: Object{
			"clientID": "dex", "clientSecret": "secret", "baseURL": g.URL, "groups": append(numbered("team", 1000), "ops"),
			"inheritedGroups": true,
		},
		Groups: []string{"ops"},
		Leave:  func() { in(map[string]int{"other": 50}) },
		Many: func(groups int) {
			roles := map[string]int{}
			g.Groups = numbered("team", groups)
			for _, path := range g.Groups {
				roles[path] = 30
			}
			in(roles)
		},
		MaxCalls: 4,
	}
}
