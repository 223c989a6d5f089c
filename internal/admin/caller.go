package admin

import (
	"context"
	"slices"
)

// A Role is what a caller may do.
type Role string

// The roles. Those of clients, users and connectors may also read what they change.
const (
	RoleRead       Role = "read"       // read everything but secrets
	RoleClients    Role = "clients"    // change clients, and read their secrets as far as they are known
	RoleUsers      Role = "users"      // change users, check their passwords, remove second factors, block, and end logins
	RoleConnectors Role = "connectors" // change connectors, and read their secrets
	RoleAll        Role = "all"        // everything
)

// Roles are all roles, in the order in which messages list them.
var Roles = []Role{RoleRead, RoleClients, RoleUsers, RoleConnectors, RoleAll}

// A Caller is whoever calls, as its door has found out.
type Caller struct {
	Name  string // for the log and for events, such as that of a certificate; never a secret
	Roles []Role
}

// May reports whether a caller may do something. A method that is not in the table may be done by nobody.
func (c Caller) May(m Method) bool {
	return slices.ContainsFunc(m.Roles(), func(r Role) bool { return slices.Contains(c.Roles, r) })
}

type callerKey struct{}

// WithCaller returns a context for calls by a caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns the caller of a context. One without has no name and no roles.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// A Method is something that callers ask for. Its text is for events and messages.
type Method string

// The methods.
const (
	ServerVersion   Method = "server.version"
	ServerDiscovery Method = "server.discovery"

	ClientsList         Method = "clients.list"
	ClientsGet          Method = "clients.get"
	ClientsReveal       Method = "clients.reveal"
	ClientsCreate       Method = "clients.create"
	ClientsUpdate       Method = "clients.update"
	ClientsDelete       Method = "clients.delete"
	ClientsRotateSecret Method = "clients.rotateSecret"

	UsersList           Method = "users.list"
	UsersGet            Method = "users.get"
	UsersCreate         Method = "users.create"
	UsersUpdate         Method = "users.update"
	UsersDelete         Method = "users.delete"
	UsersVerifyPassword Method = "users.verifyPassword"
	UsersInvite         Method = "users.invite"

	LoginsList   Method = "logins.list"
	LoginsRevoke Method = "logins.revoke"

	ConnectorsList   Method = "connectors.list"
	ConnectorsGet    Method = "connectors.get"
	ConnectorsReveal Method = "connectors.reveal"
	ConnectorsCreate Method = "connectors.create"
	ConnectorsUpdate Method = "connectors.update"
	ConnectorsDelete Method = "connectors.delete"

	SessionsList Method = "sessions.list" // of browsers, and what is known of their users
	SessionsEnd  Method = "sessions.end"  // likewise; also ends what users have agreed to

	UsersBlock Method = "users.block" // whatever the connector

	FactorsList  Method = "factors.list"
	FactorsReset Method = "factors.reset" // one, or all; also unlocks codes

	PolicyExplain Method = "policy.explain"

	KeysList   Method = "keys.list"
	KeysRotate Method = "keys.rotate"

	ConfigurationGet    Method = "configuration.get"
	ConfigurationReload Method = "configuration.reload"

	TokensList   Method = "tokens.list"
	TokensCreate Method = "tokens.create"
	TokensDelete Method = "tokens.delete"
)

// access has the roles that may call each method, besides RoleAll. It is the only place that says who may do what.
var access = map[Method][]Role{
	ServerVersion:   {RoleRead, RoleClients, RoleUsers, RoleConnectors},
	ServerDiscovery: {RoleRead, RoleClients, RoleUsers, RoleConnectors},

	ClientsList:         {RoleRead, RoleClients},
	ClientsGet:          {RoleRead, RoleClients},
	ClientsReveal:       {RoleClients},
	ClientsCreate:       {RoleClients},
	ClientsUpdate:       {RoleClients},
	ClientsDelete:       {RoleClients},
	ClientsRotateSecret: {RoleClients},

	UsersList:           {RoleRead, RoleUsers},
	UsersGet:            {RoleRead, RoleUsers},
	UsersCreate:         {RoleUsers},
	UsersUpdate:         {RoleUsers},
	UsersDelete:         {RoleUsers},
	UsersVerifyPassword: {RoleUsers},
	UsersInvite:         {RoleUsers},

	LoginsList:   {RoleRead, RoleUsers},
	LoginsRevoke: {RoleUsers},

	ConnectorsList:   {RoleRead, RoleConnectors},
	ConnectorsGet:    {RoleRead, RoleConnectors},
	ConnectorsReveal: {RoleConnectors},
	ConnectorsCreate: {RoleConnectors},
	ConnectorsUpdate: {RoleConnectors},
	ConnectorsDelete: {RoleConnectors},

	SessionsList: {RoleRead, RoleUsers},
	SessionsEnd:  {RoleUsers},

	UsersBlock: {RoleUsers},

	FactorsList:  {RoleRead, RoleUsers},
	FactorsReset: {RoleUsers}, // who may set passwords: so to have both is to be anybody of the local users

	PolicyExplain: {RoleRead, RoleUsers},

	KeysList:   {RoleRead},
	KeysRotate: nil,

	ConfigurationGet:    {RoleRead},
	ConfigurationReload: nil,

	TokensList:   nil,
	TokensCreate: nil,
	TokensDelete: nil,
}

// Methods returns all methods, by name.
func Methods() []Method {
	all := make([]Method, 0, len(access))
	for m := range access {
		all = append(all, m)
	}
	slices.Sort(all)
	return all
}

// Roles returns the roles that may call a method; none if there is no such method.
func (m Method) Roles() []Role {
	roles, known := access[m]
	if !known {
		return nil
	}
	return append(slices.Clone(roles), RoleAll)
}

// Allow returns an error if the caller may not call a method. Doors ask before they look at a request.
func Allow(ctx context.Context, m Method) error { return allow(ctx, m) }
