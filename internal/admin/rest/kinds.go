package rest

import (
	"errors"
	"net/http"
	"reflect"
	"strings"

	"dex/internal/admin"
	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/federation"
)

// clientBody is a client.
type clientBody struct {
	client.Client
	meta
}

var clients = collection[client.Client, clientBody]{
	one: "client", many: "clients", id: "id",
	methods: methods{admin.ClientsList, admin.ClientsGet, admin.ClientsCreate, admin.ClientsUpdate, admin.ClientsDelete},
	of:      func(s *admin.Service) records[client.Client] { return s.Clients },
	idOf:    func(v *client.Client) string { return v.ID },
	same:    func(a, b string) bool { return a == b },
	show:    func(r admin.Record[client.Client]) clientBody { return clientBody{r.Value, metaOf(r)} },
	read: func(c *call, id string) (client.Client, error) {
		b := clientBody{Client: client.Client{ID: id}}
		err := c.read(&b)
		return b.Client, err
	},
}

// secretBody is the new secret of a client.
type secretBody struct {
	Secret string `key:"secret" required:"true"`
}

func rotateSecret(c *call) error {
	id := c.params["id"]
	revision, err := clients.expected(c, id)
	if err != nil {
		return err
	}
	secret, r, err := c.service().Clients.RotateSecret(c.Context(), id, revision)
	if err != nil {
		return err
	}
	c.setETag(r.Revision)
	return c.answer(http.StatusOK, secretBody{secret})
}

func endPreviousSecret(c *call) error {
	id := c.params["id"]
	revision, err := clients.expected(c, id)
	if err != nil {
		return err
	}
	if _, err := c.service().Clients.EndPreviousSecret(c.Context(), id, revision); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// userBody is a user.
type userBody struct {
	local.User
	Password string `key:"password" secret:"new"`
	meta
}

var users = collection[local.User, userBody]{
	one: "user", many: "users", id: "email",
	methods: methods{admin.UsersList, admin.UsersGet, admin.UsersCreate, admin.UsersUpdate, admin.UsersDelete},
	of:      func(s *admin.Service) records[local.User] { return s.Users },
	idOf:    func(v *local.User) string { return v.Email },
	same:    strings.EqualFold,
	show:    func(r admin.Record[local.User]) userBody { return userBody{User: r.Value, meta: metaOf(r)} },
	read: func(c *call, email string) (local.User, error) {
		b := userBody{User: local.User{Email: email}}
		if err := c.read(&b); err != nil {
			return b.User, err
		}
		return b.User, b.hash(c)
	},
}

// hash puts in the hash of the password, if there is one.
func (b *userBody) hash(c *call) error {
	if b.Password == "" {
		return nil
	}
	if len(b.Hash) > 0 {
		return invalid(config.Problems{{Key: "password", Message: "give password or hash, not both"}})
	}
	var err error
	b.Hash, err = c.service().Users.Hash(c.Context(), b.Password)
	return err
}

// passwordBody is a password.
type passwordBody struct {
	Password string `key:"password" secret:"new"`
}

func setPassword(c *call) error {
	email := c.params["email"]
	var b passwordBody
	if err := c.read(&b); err != nil {
		return err
	}
	revision, err := users.expected(c, email)
	if err != nil {
		return err
	}
	r, err := c.service().Users.SetPassword(c.Context(), email, revision, b.Password)
	if err != nil {
		return err
	}
	c.setETag(r.Revision)
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// checkedBody says whether a password was right.
type checkedBody struct {
	Valid bool `key:"valid" required:"true"`
}

func checkPassword(c *call) error {
	var b passwordBody
	if err := c.read(&b); err != nil {
		return err
	}
	ok, err := c.service().Users.VerifyPassword(c.Context(), c.params["email"], b.Password)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, checkedBody{ok})
}

// connectorBody is a connector.
type connectorBody struct {
	federation.Definition
	Settings config.Section `key:"config"`
	meta
}

var connectors = collection[federation.Definition, connectorBody]{
	one: "connector", many: "connectors", id: "id",
	methods: methods{
		admin.ConnectorsList, admin.ConnectorsGet, admin.ConnectorsCreate, admin.ConnectorsUpdate, admin.ConnectorsDelete,
	},
	of:   func(s *admin.Service) records[federation.Definition] { return s.Connectors },
	idOf: func(v *federation.Definition) string { return v.ID },
	same: func(a, b string) bool { return a == b },
	show: showConnector,
	read: readConnector,
}

func showConnector(r admin.Record[federation.Definition]) connectorBody {
	b := connectorBody{Definition: r.Value, meta: metaOf(r)}
	if len(r.Value.Settings) > 0 {
		b.Settings, _ = config.SectionFromJSON("", r.Value.Settings) // nothing is shown of what isn't an object
	}
	return b
}

func readConnector(c *call, id string) (federation.Definition, error) {
	b := connectorBody{Definition: federation.Definition{ID: id}}
	if err := c.read(&b); err != nil {
		return b.Definition, err
	}
	if b.Settings.IsZero() {
		return b.Definition, nil
	}
	if settings, ok := federation.NewConfig(b.Type); ok {
		// Only what is written is looked at: secrets that are left out may be in the storage.
		if err := invalid(unknownOnly(b.Settings.Decode(settings))); err != nil {
			return b.Definition, err
		}
	}
	var err error
	if b.Definition.Settings, err = b.Settings.JSON(); err != nil {
		return b.Definition, errors.Join(malformed("config can't be read"), err)
	}
	return b.Definition, nil
}

// unknownOnly returns the problems about keys that settings don't have. What else is wrong is found once the settings are whole.
func unknownOnly(found config.Problems) config.Problems {
	var unknown config.Problems
	for _, p := range found {
		if strings.HasPrefix(p.Message, "unknown key") {
			unknown = append(unknown, p)
		}
	}
	return unknown
}

// table has all routes.
var table []route

func init() {
	table = append(table, clients.routes()...)
	table = append(table, route{
		id: "rotateClientSecret", method: http.MethodPost, path: "/clients/{id}/secret", needs: admin.ClientsRotateSecret, tag: "clients",
		summary: "Give a client a new secret. The one before is accepted too, until the next rotation or until it is ended",
		etag:    true, matches: true, serve: rotateSecret,
		answers: []outcome{{http.StatusOK, "The new secret, which can't be read again later", reflect.TypeFor[secretBody]()}},
	}, route{
		id: "endPreviousClientSecret", method: http.MethodDelete, path: "/clients/{id}/previousSecret", needs: admin.ClientsRotateSecret, tag: "clients",
		summary: "Accept only the current secret of a client from now on", matches: true, serve: endPreviousSecret,
		answers: []outcome{{http.StatusNoContent, "Only the current secret is accepted", nil}},
	})
	table = append(table, users.routes()...)
	table = append(table, route{
		id: "setPassword", method: http.MethodPut, path: "/users/{email}/password", needs: admin.UsersUpdate, tag: "users",
		summary: "Give a user a new password", body: reflect.TypeFor[passwordBody](), etag: true, matches: true, serve: setPassword,
		answers: []outcome{{http.StatusNoContent, "The user has the password", nil}},
	}, route{
		id: "checkPassword", method: http.MethodPost, path: "/users/{email}/password/check", needs: admin.UsersVerifyPassword, tag: "users",
		summary: "Check a user's password, as often as at a login", body: reflect.TypeFor[passwordBody](), reads: true, serve: checkPassword,
		answers: []outcome{{http.StatusOK, "Whether the password is right", reflect.TypeFor[checkedBody]()}},
	})
	table = append(table, connectors.routes()...)
	table = append(table, server()...)
	table = append(table, browsers()...)
	table = append(table, people()...)
	table = append(table, policies()...)
	table = append(table, process()...)
}
