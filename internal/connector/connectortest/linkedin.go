package connectortest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// A LinkedIn is a fake of LinkedIn. Its users are known by their id.
type LinkedIn struct {
	*Hosted
	Users map[string]LinkedInUser
	// Permissions are what the application may ask for.
	Permissions []string
}

// A LinkedInUser is somebody who has an account.
type LinkedInUser struct {
	First, Last string
	Email       string
	Verified    any // email_verified; nil for none
}

// NewLinkedIn starts a LinkedIn at which ada signs in. The application is old, and has OpenID Connect too.
func NewLinkedIn(t testing.TB) *LinkedIn {
	const ada = "yrZCpj2Z12"
	l := &LinkedIn{
		Hosted:      newHosted(t, "/oauth/v2/authorization", "/oauth/v2/accessToken", false),
		Users:       map[string]LinkedInUser{ada: {"Ada", "L", "ada@corp.example", true}},
		Permissions: []string{"openid", "profile", "email", "r_liteprofile", "r_emailaddress"},
	}
	l.User, l.NoBasic, l.Refuse = ada, true, l.refuses
	l.Refusal = func(status int) Object {
		if status == http.StatusUnauthorized {
			return Object{"serviceErrorCode": 65601, "message": "The token used in the request has been revoked by the user", "status": status}
		}
		return Object{"serviceErrorCode": 100, "code": "ACCESS_DENIED", "message": "Not enough permissions to access", "status": status}
	}
	l.API("GET /v2/userinfo", "profile", func(w http.ResponseWriter, _ *http.Request, id string) {
		u := l.Users[id]
		Reply(w, http.StatusOK, Merged(Object{
			"sub": id, "name": strings.TrimSpace(u.First + " " + u.Last), "given_name": u.First, "family_name": u.Last,
			"picture": "https://media.test/x", "locale": Object{"country": "US", "language": "en"},
		}, Object{"email": u.Email, "email_verified": u.Verified}))
	})
	l.API("GET /v2/me", "r_liteprofile", func(w http.ResponseWriter, _ *http.Request, id string) {
		Reply(w, http.StatusOK, Object{"id": id, "localizedFirstName": l.Users[id].First, "localizedLastName": l.Users[id].Last})
	})
	l.API("GET /v2/emailAddress", "r_emailaddress", l.serveEmail)
	l.mux.HandleFunc("POST /oauth/v2/introspectToken", l.serveIntrospection)
	return l
}

// refuses turns down permissions that the application doesn't have, and a verifier, which LinkedIn takes for another kind of
// client.
func (l *LinkedIn) refuses(r *http.Request) string {
	if r.PostForm.Has("code_verifier") {
		return "invalid_client"
	}
	for scope := range strings.FieldsSeq(r.URL.Query().Get("scope")) {
		if !slices.Contains(l.Permissions, scope) {
			return "unauthorized_scope_error"
		}
	}
	return ""
}

func (l *LinkedIn) serveEmail(w http.ResponseWriter, r *http.Request, id string) {
	if r.URL.RawQuery != "q=members&projection=(elements*(handle~))" {
		Reply(w, http.StatusBadRequest, Object{"message": "Invalid projection", "status": http.StatusBadRequest})
		return
	}
	elements := []Object{}
	if email := l.Users[id].Email; email != "" {
		elements = append(elements, Object{"handle": "urn:li:emailAddress:1", "handle~": Object{"emailAddress": email}})
	}
	Reply(w, http.StatusOK, Object{"elements": elements})
}

func (l *LinkedIn) serveIntrospection(w http.ResponseWriter, r *http.Request) {
	if !l.isOurs(r) {
		Reply(w, http.StatusUnauthorized, Object{"error": "invalid_client"})
		return
	}
	given, ok := l.access[r.PostFormValue("token")]
	switch {
	case !ok:
		Reply(w, http.StatusBadRequest, Object{"error": "invalid_request", "error_description": "Invalid token"})
	case isOver(given):
		Reply(w, http.StatusOK, Object{"active": false, "status": "expired"})
	default:
		client := l.ClientID
		if given.client != "" {
			client = given.client
		}
		Reply(w, http.StatusOK, Object{
			"active": true, "status": "active", "client_id": client, "scope": strings.Join(given.scopes, ","), "auth_type": "3L",
			"created_at": time.Now().Unix(),
		})
	}
}

func linkedInStage(t testing.TB) Stage {
	l := NewLinkedIn(t)
	return Stage{
		Hosted: l.Hosted,
		Settings: Object{
			"clientID": "dex", "clientSecret": "secret", "baseURL": l.URL + "/oauth/v2", "apiURL": l.URL + "/v2", "mode": "openid",
		},
		MaxCalls: 3,
	}
}
