package ui

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"dex/internal/locale"
	"dex/internal/oauth"
)

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
	ClientID        string
	// ClientNames are the display names of the applications whose ids are in RequestedScopes, by id.
	ClientNames map[string]string
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
			User: "jane", Client: "Wiki", AuthReqID: "1", RequestedScopes: []string{"openid", "email", "groups", "audience:server:client_id:files"},
			Email: "jane@example.com", Connector: "Company directory", ClientLogoURL: "https://example.com/logo.svg",
			OtherAccountURL: "/auth", ClientID: "wiki", ClientNames: map[string]string{"files": "Files"},
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
	Initial     string // of the application, for where its logo is missing
}

func newApprovalData(base page, p ApprovalPage) approvalData {
	tidy(&p.User, &p.Email, &p.Client, &p.Connector)
	p.ClientLogoURL = logoURL(p.ClientLogoURL)
	scopes := requested{base.lang, p.ClientID, p.ClientNames}
	d := approvalData{page: base, ApprovalPage: p, Permissions: scopes.describe(p.RequestedScopes), Initial: initial(p.Client)}
	for _, permission := range d.Permissions {
		d.Scopes = append(d.Scopes, permission.Name)
	}
	return d
}

// logoURL returns the address of an application's logo, or nothing if pages don't load it.
func logoURL(link string) string {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return ""
	}
	return link
}

// requested puts the scopes into words that an application requests.
type requested struct {
	lang     *locale.Language
	clientID string            // of the application
	clients  map[string]string // names of other applications, by id
}

// describe returns the permissions that scopes stand for, in an order that is the same in all languages. It includes unknown scopes,
// but not openid, as logging in is what the user came for.
func (q requested) describe(scopes []string) []Permission {
	places := map[Permission]int{}
	for _, scope := range scopes {
		if audience, ok := oauth.AudienceOf(scope); scope != "openid" && (!ok || audience != q.clientID) {
			places[q.permission(scope)] = place(scope)
		}
	}
	return slices.SortedFunc(maps.Keys(places), func(a, b Permission) int {
		return cmp.Or(cmp.Compare(places[a], places[b]), cmp.Compare(a.Name, b.Name))
	})
}

// place returns where in a list of permissions a scope stands: what is read of the user comes before what is done in the user's name.
func place(scope string) int {
	order := []string{oauth.ScopeProfile, oauth.ScopeEmail, oauth.ScopeGroups, oauth.ScopeFederatedID, oauth.ScopeOfflineAccess}
	if i := slices.Index(order, scope); i >= 0 {
		return i
	}
	if _, ok := oauth.AudienceOf(scope); ok {
		return len(order)
	}
	return len(order) + 1
}

// nameOf returns the name of another application; its id if it has none, or shares it with one that is requested too.
func (q requested) nameOf(id string) string {
	for other, name := range q.clients {
		if other != id && name == q.clients[id] {
			return tidied(id)
		}
	}
	return tidied(cmp.Or(q.clients[id], id))
}

func (q requested) permission(scope string) Permission {
	text := q.lang.Text
	switch scope {
	case "profile":
		return Permission{text("See your name"), text("Your full name and your username.")}
	case "email":
		return Permission{text("See your email address"), text("And whether it’s verified.")}
	case "groups":
		return Permission{text("See your groups"), text("The teams and groups that you belong to.")}
	case "offline_access":
		return Permission{text("Keep access while you’re away"), text("Without asking you again, until it’s revoked or expires.")}
	case "federated:id":
		return Permission{text("See which account you logged in with"), text("The login service, and your user ID there.")}
	}
	if id, ok := oauth.AudienceOf(scope); ok {
		return Permission{text("Use “{client}” on your behalf", q.nameOf(id)), text("As if you had logged in there yourself.")}
	}
	return Permission{text("Use “{scope}”", tidied(scope)), text("There’s no description of this permission here.")}
}
