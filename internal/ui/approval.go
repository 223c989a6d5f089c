package ui

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"dex/internal/locale"
)

// audiencePrefix starts a scope that asks for tokens that another application accepts too.
const audiencePrefix = "audience:server:client_id:"

// An ApprovalPage asks whether an application may have what it requests.
type ApprovalPage struct {
	User      string // the username
	Client    string // display name of the application
	AuthReqID string
	// RequestedScopes are the scopes by name. Templates get their descriptions, as Scopes and Permissions.
	RequestedScopes []string

	Email           string // may be empty
	Connector       string // display name of what the user signed in with; may be empty
	ClientLogoURL   string // shown only if it is an https URL
	OtherAccountURL string // starts over with another account; empty when that's impossible
	UserCode        string // the code on the device's screen; empty unless the login is for a device
}

// A Permission is what a scope allows, for people who don't know what a scope is.
type Permission struct {
	Name   string // completes the sentence "it asks to"
	Detail string
}

// Approval asks for the user's consent.
func (u *UI) Approval(w http.ResponseWriter, r *http.Request, p ApprovalPage) {
	u.render(w, r, http.StatusOK, approvalView, newApprovalData(u.newPage(r, "Allow access"), p))
}

var approvalView = declare("approval.html", func(base page) []sample {
	return []sample{
		{"everything", newApprovalData(base, ApprovalPage{
			User: "jane", Client: "Wiki", AuthReqID: "1", RequestedScopes: []string{"openid", "email", "groups"},
			Email: "jane@example.com", Connector: "Company directory", ClientLogoURL: "https://example.com/logo.svg",
			OtherAccountURL: "/auth",
		})},
		{"for a device", newApprovalData(base, ApprovalPage{
			User: "jane", Client: "Television", AuthReqID: "1", RequestedScopes: []string{"openid", "email"}, UserCode: "BCDF-GHJK",
		})},
	}
})

type approvalData struct {
	page
	ApprovalPage
	Scopes      []string // names of the permissions: all that upstream's templates know
	Permissions []Permission
}

func newApprovalData(base page, p ApprovalPage) approvalData {
	if !isHTTPS(p.ClientLogoURL) {
		p.ClientLogoURL = ""
	}
	unmark(&p.User, &p.Email, &p.Client, &p.Connector)
	d := approvalData{page: base, ApprovalPage: p, Permissions: describeScopes(base.lang, p.RequestedScopes)}
	for _, permission := range d.Permissions {
		d.Scopes = append(d.Scopes, permission.Name)
	}
	return d
}

func isHTTPS(link string) bool {
	u, err := url.Parse(link)
	return err == nil && u.Scheme == "https" && u.Host != ""
}

// describeScopes returns the permissions that scopes stand for, ordered by name. It includes unknown scopes, but not
// openid: signing in is what the user came for.
func describeScopes(lang *locale.Language, scopes []string) []Permission {
	var permissions []Permission
	for _, scope := range scopes {
		if scope != "openid" {
			permissions = append(permissions, describeScope(lang, scope))
		}
	}
	slices.SortFunc(permissions, func(a, b Permission) int { return cmp.Compare(a.Name, b.Name) })
	return slices.Compact(permissions)
}

func describeScope(lang *locale.Language, scope string) Permission {
	switch scope {
	case "profile":
		return Permission{lang.Text("See your name"), lang.Text("Your display name and your username.")}
	case "email":
		return Permission{lang.Text("See your email address"), lang.Text("And whether it has been verified.")}
	case "groups":
		return Permission{lang.Text("See your groups"), lang.Text("The teams and groups you belong to, often used to decide what you may do.")}
	case "offline_access":
		return Permission{lang.Text("Keep access while you’re away"), lang.Text("Until it is revoked or expires, without asking you again.")}
	case "federated:id":
		return Permission{lang.Text("See your user ID at the place you logged in with"), lang.Text("And which place that is.")}
	}
	if client, ok := strings.CutPrefix(scope, audiencePrefix); ok {
		return Permission{lang.Text("Sign you in to “{client}” as well", client), lang.Text("That application will accept this login as yours.")}
	}
	return Permission{lang.Text("Use “{scope}”", scope), lang.Text("This server has no description of that permission.")}
}
