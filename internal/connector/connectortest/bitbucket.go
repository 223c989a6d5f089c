package connectortest

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// A Bitbucket is a fake of Bitbucket Cloud. Its users are known by their uuid.
type Bitbucket struct {
	*Hosted
	Users map[string]BitbucketUser
}

// A BitbucketUser is somebody who has an account. Workspaces are written slug or slug:permission; without one it is member.
type BitbucketUser struct {
	Username, Nickname, Name string
	Emails                   []Object
	Workspaces               []string
}

// NewBitbucket starts a Bitbucket at which ada signs in.
func NewBitbucket(t testing.TB) *Bitbucket {
	const ada = "{1111-ada}"
	b := &Bitbucket{
		Hosted: newHosted(t, "/site/oauth2/authorize", "/site/oauth2/access_token", false),
		Users: map[string]BitbucketUser{ada: {
			Username: "ada_l", Nickname: "ada", Name: "Ada L", Emails: []Object{BitbucketEmail("ada@corp.example", true, true)},
			Workspaces: []string{"acme", "partners:owner"},
		}},
	}
	b.User = ada
	b.Refreshes = func([]string) bool { return true }
	b.Refusal = func(status int) Object {
		message := "Your credentials lack one or more required privilege scopes."
		if status == http.StatusUnauthorized {
			message = "Access token expired. Use your refresh token to obtain a new access token."
		}
		return Object{"type": "error", "error": Object{"message": message}}
	}
	b.API("GET /2.0/user", "account", func(w http.ResponseWriter, _ *http.Request, uuid string) {
		u := b.Users[uuid]
		Reply(w, http.StatusOK, Object{
			"type": "user", "uuid": uuid, "username": u.Username, "nickname": u.Nickname, "display_name": u.Name, "account_id": "5b10",
		})
	})
	b.API("GET /2.0/user/emails", "email", func(w http.ResponseWriter, r *http.Request, uuid string) {
		b.page(w, r, b.Users[uuid].Emails)
	})
	b.API("GET /2.0/user/workspaces", "account", func(w http.ResponseWriter, r *http.Request, uuid string) {
		all := []Object{}
		for _, entry := range b.Users[uuid].Workspaces {
			slug, permission := workspaceOf(entry)
			all = append(all, Object{
				"type": "workspace_access", "administrator": permission == "owner", "workspace": Object{"slug": slug, "uuid": "{2222}"},
			})
		}
		b.page(w, r, all)
	})
	b.API("GET /2.0/user/workspaces/{slug}/permission", "account", func(w http.ResponseWriter, r *http.Request, uuid string) {
		for _, entry := range b.Users[uuid].Workspaces {
			if slug, permission := workspaceOf(entry); slug == r.PathValue("slug") {
				Reply(w, http.StatusOK, Object{"type": "workspace_membership", "permission": permission})
				return
			}
		}
		Reply(w, http.StatusNotFound, Object{"type": "error", "error": Object{"message": "No such workspace"}})
	})
	return b
}

// BitbucketEmail returns an address of a user.
func BitbucketEmail(address string, primary, confirmed bool) Object {
	return Object{"type": "email", "email": address, "is_primary": primary, "is_confirmed": confirmed}
}

func workspaceOf(entry string) (slug, permission string) {
	slug, permission, named := strings.Cut(entry, ":")
	if !named {
		permission = "member"
	}
	return slug, permission
}

// page answers with a part of a list, 10 items unless pagelen asks for up to 100, and with the whole address of the next part.
func (b *Bitbucket) page(w http.ResponseWriter, r *http.Request, all []Object) {
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil && n > 0 {
			return n
		}
		return otherwise
	}
	size, page := min(number("pagelen", 10), 100), number("page", 1)
	from := min((page-1)*size, len(all))
	to := min(from+size, len(all))
	answer := Object{"pagelen": size, "page": page, "size": len(all), "values": append([]Object{}, all[from:to]...)}
	if to < len(all) {
		query := url.Values{"page": {strconv.Itoa(page + 1)}, "pagelen": {strconv.Itoa(size)}}
		answer["next"] = fmt.Sprintf("%s%s?%s", b.URL, r.URL.Path, query.Encode())
	}
	Reply(w, http.StatusOK, answer)
}

func bitbucketStage(t testing.TB) Stage {
	b := NewBitbucket(t)
	workspaces := func(list ...string) {
		u := b.Users[b.User]
		u.Workspaces = list
		b.Users[b.User] = u
	}
	return Stage{
		Hosted: b.Hosted,
		Settings: Object{
			"clientID": "dex", "clientSecret": "secret", "baseURL": b.URL, "apiURL": b.URL + "/2.0",
			"getWorkspacePermissions": true, "teams": append([]string{"acme", "partners:owner"}, numbered("w", 999)...),
		},
		Groups:   []string{"acme", "partners:owner"},
		Leave:    func() { workspaces("elsewhere", "partners:collaborator") },
		Many:     func(groups int) { workspaces(append(numbered("w", groups-1), "acme")...) },
		MaxCalls: 5,
	}
}
