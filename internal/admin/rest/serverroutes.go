package rest

import (
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"dex/internal/admin"
	"dex/internal/refresh"
	"dex/internal/token"
)

// versionBody is the version of the program.
type versionBody struct {
	Server string `key:"server" required:"true"`
}

// loginBody is a login that refresh tokens keep alive.
type loginBody struct {
	ID       string    `key:"id" required:"true"`
	Client   string    `key:"client" required:"true"`
	Scopes   []string  `key:"scopes"`
	Created  time.Time `key:"created"`
	LastUsed time.Time `key:"lastUsed"`
	Expires  time.Time `key:"expires"`
}

// loginsBody is all logins of a user.
type loginsBody struct {
	Items []loginBody `key:"items" required:"true"`
}

// endedBody says how many logins were ended.
type endedBody struct {
	Ended int `key:"ended" required:"true"`
}

var whose = []parameter{
	{name: "user", about: "the `sub` of a user's tokens"},
	{name: "userID", about: "instead of `user`: the user's id at the connector"},
	{name: "connectorID", about: "instead of `user`: the connector's id"},
}

// server returns the routes about the server and its logins.
func server() []route {
	return []route{
		{
			id: "getVersion", method: http.MethodGet, path: "/version", needs: admin.ServerVersion, tag: "server",
			summary: "Ask for the version", serve: version,
			answers: []outcome{{http.StatusOK, "The version", reflect.TypeFor[versionBody]()}},
		},
		{
			id: "getDiscovery", method: http.MethodGet, path: "/discovery", needs: admin.ServerDiscovery, tag: "server",
			summary: "Read the discovery document", serve: discovery,
			answers: []outcome{{http.StatusOK, "The document that applications read", reflect.TypeFor[json.RawMessage]()}},
		},
		{
			id: "listLogins", method: http.MethodGet, path: "/logins", needs: admin.LoginsList, tag: "logins", query: whose,
			summary: "List the logins of a user that refresh tokens keep alive", serve: listLogins,
			answers: []outcome{{http.StatusOK, "All logins of the user", reflect.TypeFor[loginsBody]()}},
		},
		{
			id: "endLogins", method: http.MethodDelete, path: "/logins", needs: admin.LoginsRevoke, tag: "logins",
			query:   append(whose[:3:3], parameter{name: "client", about: "only at this client"}),
			summary: "End the logins of a user, with all of their tokens", serve: endLogins,
			answers: []outcome{{http.StatusOK, "How many there were", reflect.TypeFor[endedBody]()}},
		},
		{
			id: "getOpenAPI", method: http.MethodGet, path: "/openapi.json", tag: "server",
			summary: "Read this document. Whoever may call anything may", serve: openAPI,
			answers: []outcome{{http.StatusOK, "An OpenAPI 3.1 document", reflect.TypeFor[json.RawMessage]()}},
		},
	}
}

func version(c *call) error {
	v, err := c.service().Version(c.Context())
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, versionBody{v})
}

func discovery(c *call) error {
	document, err := c.service().Discovery(c.Context())
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, json.RawMessage(document))
}

// subject returns whose logins a call is about.
func (c *call) subject() (userID, connectorID string, err error) {
	sub, userID, connectorID := c.param("user"), c.param("userID"), c.param("connectorID")
	switch both := userID != "" && connectorID != ""; {
	case sub != "" && userID+connectorID == "":
		if userID, connectorID, err = token.ReadSubject(sub); err != nil {
			return "", "", malformed("user must be the sub of one of the user's tokens")
		}
		return userID, connectorID, nil
	case sub == "" && both:
		return userID, connectorID, nil
	}
	return "", "", malformed("give either user, or userID and connectorID")
}

func listLogins(c *call) error {
	userID, connectorID, err := c.subject()
	if err != nil {
		return err
	}
	all, err := c.service().Logins(c.Context(), userID, connectorID)
	if err != nil {
		return err
	}
	b := loginsBody{Items: make([]loginBody, 0, len(all))}
	for _, l := range all {
		b.Items = append(b.Items, bodyOfLogin(l))
	}
	return c.answer(http.StatusOK, b)
}

func bodyOfLogin(l refresh.Listed) loginBody {
	return loginBody{ID: l.FamilyID, Client: l.ClientID, Scopes: l.Scopes, Created: l.Created, LastUsed: l.LastUsed, Expires: l.End}
}

func endLogins(c *call) error {
	userID, connectorID, err := c.subject()
	if err != nil {
		return err
	}
	ended, err := c.service().RevokeLogins(c.Context(), userID, connectorID, c.param("client"))
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, endedBody{ended})
}

func openAPI(c *call) error { return c.answer(http.StatusOK, json.RawMessage(Document())) }
