package rest

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"time"

	"dex/internal/admin"
	"dex/internal/identity"
	"dex/internal/session"
	"dex/internal/token"
)

// sessionBody is a browser's session.
type sessionBody struct {
	ID          string              `key:"id" required:"true"`
	User        string              `key:"user" required:"true"`
	UserID      string              `key:"userID" required:"true"`
	ConnectorID string              `key:"connectorID" required:"true"`
	Username    string              `key:"username"`
	Email       string              `key:"email"`
	SignedIn    time.Time           `key:"signedIn" required:"true"`
	Methods     []string            `key:"methods"`
	Created     time.Time           `key:"created" required:"true"`
	LastUsed    time.Time           `key:"lastUsed" required:"true"`
	Expires     time.Time           `key:"expires" required:"true"`
	Remembered  bool                `key:"remembered"`
	Address     string              `key:"address"`
	UserAgent   string              `key:"userAgent"`
	Clients     []participationBody `key:"clients" required:"true"`
}

// participationBody is a client that has used a session.
type participationBody struct {
	ID       string    `key:"id" required:"true"`
	First    time.Time `key:"first" required:"true"`
	LastUsed time.Time `key:"lastUsed" required:"true"`
	ViaSSO   bool      `key:"viaSSO"`
}

// endedSessionsBody says what was ended.
type endedSessionsBody struct {
	Ended  int `key:"ended" required:"true"`
	Logins int `key:"logins" required:"true"`
}

// identityBody is a user that has signed in.
type identityBody struct {
	User              string        `key:"user" required:"true"`
	UserID            string        `key:"userID" required:"true"`
	ConnectorID       string        `key:"connectorID" required:"true"`
	Username          string        `key:"username"`
	PreferredUsername string        `key:"preferredUsername"`
	Email             string        `key:"email"`
	EmailVerified     bool          `key:"emailVerified"`
	Groups            []string      `key:"groups"`
	Created           time.Time     `key:"created" required:"true"`
	LastLogin         time.Time     `key:"lastLogin"`
	BlockedUntil      time.Time     `key:"blockedUntil"`
	Consents          []consentBody `key:"consents" required:"true"`
}

// consentBody is what a user has let a client have.
type consentBody struct {
	Client string    `key:"client" required:"true"`
	Scopes []string  `key:"scopes" required:"true"`
	Given  time.Time `key:"given" required:"true"`
}

var whoseSessions = []parameter{
	{name: "user", about: "only of this user: the `sub` of their tokens"},
	{name: "userID", about: "only of users whom a connector calls so"},
	{name: "connectorID", about: "only of users of this connector"},
	{name: "client", about: "only those that this client has used"},
}

const identityPath = "/identities/{connector}/{user}"

// browsers returns the routes about browsers' sessions, and the users that have had some.
func browsers() []route {
	return []route{
		{
			id: "listSessions", method: http.MethodGet, path: "/sessions", needs: admin.SessionsList, tag: "sessions",
			summary: "List the sessions of browsers by pages", query: append(whoseSessions[:4:4], paging...), serve: listSessions,
			answers: []outcome{{http.StatusOK, aboutPage, reflect.TypeFor[page[sessionBody]]()}},
		},
		{
			id: "endSessions", method: http.MethodDelete, path: "/sessions", needs: admin.SessionsEnd, tag: "sessions",
			query: append(whoseSessions[:4:4], parameter{
				name: "logins", about: "`true` ends all other logins of the user too, as after a theft", truth: true,
			}),
			summary: "End all sessions of a user, of a connector or of a client, with the logins that were made in them", serve: endSessions,
			answers: []outcome{{http.StatusOK, "How many there were", reflect.TypeFor[endedSessionsBody]()}},
		},
		{
			id: "getSession", method: http.MethodGet, path: "/sessions/{id}", needs: admin.SessionsList, tag: "sessions",
			summary: "Read a session", serve: getSession,
			answers: []outcome{{http.StatusOK, "The session", reflect.TypeFor[sessionBody]()}},
		},
		{
			id: "endSession", method: http.MethodDelete, path: "/sessions/{id}", needs: admin.SessionsEnd, tag: "sessions",
			summary: "End a session, with the logins that were made in it", serve: endSession,
			answers: []outcome{{http.StatusNoContent, "It has ended, and its clients are told", nil}},
		},
		{
			id: "listIdentities", method: http.MethodGet, path: "/identities", needs: admin.SessionsList, tag: "identities",
			summary: "List the users that have signed in while sessions were on, by pages", query: paging, serve: listIdentities,
			answers: []outcome{{http.StatusOK, aboutPage, reflect.TypeFor[page[identityBody]]()}},
		},
		{
			id: "getIdentity", method: http.MethodGet, path: identityPath, needs: admin.SessionsList, tag: "identities",
			summary: "Read a user that has signed in, by the IDs of the connector and of the user there", serve: getIdentity,
			answers: []outcome{{http.StatusOK, "The user", reflect.TypeFor[identityBody]()}},
		},
		{
			id: "deleteIdentity", method: http.MethodDelete, path: identityPath, needs: admin.SessionsEnd, tag: "identities",
			summary: "Forget a user: sessions, logins, consents, second factors, and for the connector local the password", serve: deleteIdentity,
			answers: []outcome{{http.StatusNoContent, "Nothing is left", nil}},
		},
		{
			id: "revokeConsent", method: http.MethodDelete, path: identityPath + "/consents/{client}", needs: admin.SessionsEnd, tag: "identities",
			summary: "Take back what a user has let a client have", serve: revokeConsent,
			answers: []outcome{{http.StatusNoContent, "The client has to ask again", nil}},
		},
	}
}

// whose returns which sessions a call is about.
func (c *call) whose() (admin.Whose, error) {
	w := admin.Whose{UserID: c.param("userID"), ConnectorID: c.param("connectorID"), ClientID: c.param("client")}
	sub := c.param("user")
	if sub == "" {
		return w, nil
	}
	if w.UserID != "" || w.ConnectorID != "" {
		return w, malformed("user says both: leave out userID and connectorID")
	}
	var err error
	if w.UserID, w.ConnectorID, err = token.ReadSubject(sub); err != nil || w.UserID == "" || w.ConnectorID == "" {
		return w, malformed("user must be the sub of one of the user's tokens")
	}
	return w, nil
}

func listSessions(c *call) error {
	whose, err := c.whose()
	if err != nil {
		return err
	}
	return listPage(c, func(after string, size int) ([]session.Entry, string, error) {
		return c.service().Sessions(c.Context(), whose, after, size)
	}, bodyOfSession)
}

func getSession(c *call) error {
	e, err := c.service().Session(c.Context(), c.params["id"])
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, bodyOfSession(e))
}

func endSession(c *call) error { return c.done(c.service().EndSession(c.Context(), c.params["id"])) }

// done answers a call that has nothing to say if it succeeded.
func (c *call) done(err error) error {
	if err == nil {
		c.w.WriteHeader(http.StatusNoContent)
	}
	return err
}

func endSessions(c *call) error {
	whose, err := c.whose()
	if err != nil {
		return err
	}
	if whose == (admin.Whose{}) {
		return malformed("say whose sessions: give user, userID, connectorID or client")
	}
	logins := c.param("logins")
	if logins != "" && logins != "true" && logins != "false" {
		return malformed("logins must be true or false")
	}
	if logins == "true" && whose.UserID == "" {
		return malformed("logins needs user or userID")
	}
	ended, err := c.service().EndSessions(c.Context(), whose, logins == "true")
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, endedSessionsBody{ended.Sessions, ended.Logins})
}

func listIdentities(c *call) error {
	return listPage(c, func(after string, size int) ([]identity.Entry, string, error) {
		return c.service().Identities(c.Context(), after, size)
	}, bodyOfIdentity)
}

func getIdentity(c *call) error {
	e, err := c.service().Identity(c.Context(), c.params["user"], c.params["connector"])
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, bodyOfIdentity(e))
}

func deleteIdentity(c *call) error {
	return c.done(c.service().DeleteIdentity(c.Context(), c.params["user"], c.params["connector"]))
}

func revokeConsent(c *call) error {
	return c.done(c.service().RevokeConsent(c.Context(), c.params["user"], c.params["connector"], c.params["client"]))
}

func bodyOfSession(e session.Entry) sessionBody {
	v := &e.Value
	b := sessionBody{
		ID: e.Key, User: v.Subject(), UserID: v.Identity.UserID, ConnectorID: v.ConnectorID,
		Username: v.Identity.Username, Email: v.Identity.Email, SignedIn: v.AuthTime, Methods: v.Methods,
		Created: v.Created, LastUsed: v.LastUsed, Expires: v.End(), Remembered: v.Remembered, Address: v.Address, UserAgent: v.UserAgent,
	}
	for _, id := range slices.Sorted(maps.Keys(v.Clients)) {
		p := v.Clients[id]
		b.Clients = append(b.Clients, participationBody{id, p.First, p.Last, p.ViaSSO})
	}
	return b
}

func bodyOfIdentity(e identity.Entry) identityBody {
	v := &e.Value
	who := &v.Claims
	b := identityBody{
		User: token.Subject(v.UserID, v.ConnectorID), UserID: v.UserID, ConnectorID: v.ConnectorID,
		Username: who.Username, PreferredUsername: who.PreferredUsername, Email: who.Email, EmailVerified: who.EmailVerified,
		Groups: who.Groups, Created: v.Created, LastLogin: v.LastLogin, BlockedUntil: v.BlockedUntil,
	}
	for _, id := range slices.Sorted(maps.Keys(v.Consents)) {
		b.Consents = append(b.Consents, consentBody{id, v.Consents[id].Scopes, v.Consents[id].Given})
	}
	return b
}
