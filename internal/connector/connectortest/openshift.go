package connectortest

import (
	"net/http"
	"testing"
)

// An OpenShift is a fake of a cluster, with its API and its OAuth server at one address. Its users are known by their name.
type OpenShift struct {
	*Hosted
	Users map[string]OpenShiftUser
	// Metadata is over what the cluster says of its OAuth server.
	Metadata Object
}

// An OpenShiftUser is somebody who has signed in to the cluster before.
type OpenShiftUser struct {
	UID      string // empty for kube:admin
	FullName string
	Groups   []string
}

// NewOpenShift starts a cluster at which ada signs in.
func NewOpenShift(t testing.TB) *OpenShift {
	o := &OpenShift{
		Hosted: newHosted(t, "/oauth/authorize", "/oauth/token", true),
		Users: map[string]OpenShiftUser{
			"ada": {"e01e-ada", "Ada L", []string{"system:authenticated:oauth", "system:authenticated", "users", "ops"}},
		},
	}
	o.User = "ada"
	o.Refusal = func(status int) Object {
		reason := "Forbidden"
		if status == http.StatusUnauthorized {
			reason = "Unauthorized"
		}
		return Object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": status}
	}
	o.mux.HandleFunc("GET /.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		Reply(w, http.StatusOK, Merged(Object{
			"issuer": "https://oauth.apps.test", "authorization_endpoint": o.URL + "/oauth/authorize", "token_endpoint": o.URL + "/oauth/token",
			"scopes_supported": []string{"user:full", "user:info"}, "response_types_supported": []string{"code", "token"},
			"code_challenge_methods_supported": []string{"plain", "S256"},
		}, o.Metadata))
	})
	o.API("GET /apis/user.openshift.io/v1/users/~", "user:info", func(w http.ResponseWriter, _ *http.Request, name string) {
		u := o.Users[name]
		metadata := Object{"name": name, "uid": u.UID}
		if u.UID == "" {
			delete(metadata, "uid")
		}
		Reply(w, http.StatusOK, Object{
			"kind": "User", "apiVersion": "user.openshift.io/v1", "metadata": metadata, "fullName": u.FullName,
			"identities": []string{"ldap:" + name}, "groups": u.Groups,
		})
	})
	return o
}

func openShiftStage(t testing.TB) Stage {
	o := NewOpenShift(t)
	in := func(groups ...string) {
		u := o.Users["ada"]
		u.Groups = groups
		o.Users["ada"] = u
	}
	return Stage{
		Hosted: o.Hosted,
		Settings: Object{
			"clientID": "dex", "clientSecret": "secret", "issuer": o.URL, "rootCA": o.CA(), "groups": []string{"ops"},
			"hideSystemGroups": true, "userNameAsEmail": true,
		},
		Groups:   []string{"users", "ops"},
		Leave:    func() { in("system:authenticated", "users") },
		Many:     func(groups int) { in(append(numbered("g", groups-1), "ops")...) },
		MaxCalls: 5, // a probe may ask for the metadata, too
	}
}
