// Package manifest reads files with clients, users and connectors for the management API. They are written as in the configuration.
package manifest

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/federation"
)

// A Kind is clients, users or connectors.
type Kind struct {
	One     string // client, for messages
	Path    string // of the API: clients
	Section string // of the configuration: staticClients
	ID      string // the member that names one
}

// The kinds.
var (
	Clients    = &Kind{"client", "clients", "staticClients", "id"}
	Users      = &Kind{"user", "users", "staticPasswords", "email"}
	Connectors = &Kind{"connector", "connectors", "connectors", "id"}
)

// A Thing is a client, a user or a connector that a file describes.
type Thing struct {
	Kind   *Kind
	ID     string
	Values map[string]any // the members as the API has them
	Origin string         // in what a server has printed: where it has the thing from; usually empty

	entry config.Section
	env   map[string]bool // the members that come from environment variables
}

// Problem returns an error about a member, with its place in the file.
func (t *Thing) Problem(member, message string) config.Problem {
	if t.env[member] {
		member += "Env"
	}
	return t.entry.Problem(member, "%s", message)
}

// file is a document of a file.
type file struct {
	Clients    []config.Section `key:"staticClients"`
	Users      []config.Section `key:"staticPasswords"`
	Connectors []config.Section `key:"connectors"`
}

// printed are the members that lists of the server have besides those of the configuration. They are read over.
type printed struct {
	Origin   string `key:"origin"`
	Revision string `key:"revision"`
}

type clientEntry struct {
	client.Client
	printed

	IDEnv             string `key:"idEnv"`
	SecretEnv         string `key:"secretEnv"`
	PreviousSecretEnv string `key:"previousSecretEnv"`
}

type userEntry struct {
	local.User
	printed

	HashFromEnv string `key:"hashFromEnv"`
}

type connectorEntry struct {
	federation.Definition
	printed

	Settings config.Section `key:"config" expand:"env"`
}

// Read returns what a file describes: connectors first, then clients, then users, as clients name connectors. Of several things
// with one id in a file all are reported as mistakes. Whether a thing is valid is for the server to say.
func Read(src config.Source) ([]*Thing, config.Problems) {
	sections, found := src.Documents()
	var connectors, clients, users []*Thing
	for _, section := range sections {
		var f file
		found = append(found, section.Decode(&f)...)
		for _, entry := range f.Connectors {
			connectors = append(connectors, connectorOf(entry, &found))
		}
		for _, entry := range f.Clients {
			clients = append(clients, clientOf(entry, &found))
		}
		for _, entry := range f.Users {
			users = append(users, userOf(entry, &found))
		}
	}
	all := append(append(connectors, clients...), users...)
	return all, append(found, unnamed(all)...)
}

// unnamed reports things without an id, and those whose id another one has.
func unnamed(all []*Thing) (found config.Problems) {
	type name struct {
		kind *Kind
		id   string
	}
	seen := map[name]bool{}
	for _, t := range all {
		key := name{t.Kind, t.ID}
		if t.Kind == Users {
			key.id = local.Key(t.ID)
		}
		switch {
		case t.ID == "":
			found = append(found, t.entry.Problem(t.Kind.ID, "is required, so that applying the file twice doesn't make two %ss", t.Kind.One))
		case seen[key]:
			found = append(found, t.Problem(t.Kind.ID, "another "+t.Kind.One+" in the file has it too"))
		}
		seen[key] = true
	}
	return found
}

func clientOf(entry config.Section, found *config.Problems) *Thing {
	var e clientEntry
	*found = append(*found, entry.Decode(&e)...)
	t := &Thing{Kind: Clients, Origin: e.Origin, entry: entry, env: map[string]bool{}}
	t.fromEnv(found, "id", e.IDEnv, &e.ID)
	t.fromEnv(found, "secret", e.SecretEnv, &e.Secret)
	t.fromEnv(found, "previousSecret", e.PreviousSecretEnv, &e.PreviousSecret)
	t.ID, t.Values = e.ID, t.members(reflect.ValueOf(e.Client))
	return t
}

func userOf(entry config.Section, found *config.Problems) *Thing {
	var e userEntry
	*found = append(*found, entry.Decode(&e)...)
	t := &Thing{Kind: Users, Origin: e.Origin, entry: entry, env: map[string]bool{}}
	hash := ""
	if t.fromEnv(found, "hash", e.HashFromEnv, &hash); hash != "" {
		e.Hash = local.ParseHash(hash)
	}
	t.ID, t.Values = e.Email, t.members(reflect.ValueOf(e.User))
	return t
}

func connectorOf(entry config.Section, found *config.Problems) *Thing {
	var e connectorEntry
	*found = append(*found, entry.Decode(&e)...)
	t := &Thing{Kind: Connectors, ID: e.ID, Origin: e.Origin, entry: entry}
	t.Values = t.members(reflect.ValueOf(e.Definition))
	if e.Settings.IsZero() {
		return t
	}
	var settings map[string]any
	problems := e.Settings.Decode(&settings)
	if *found = append(*found, problems...); !problems.HasErrors() {
		t.Values["config"] = settings
	}
	return t
}

// fromEnv fills a member from the environment variable that the file names.
func (t *Thing) fromEnv(found *config.Problems, member, variable string, value *string) {
	if variable == "" {
		return
	}
	key := member + "Env"
	if member == "hash" {
		key = "hashFromEnv"
	}
	on := t.entry.Checker()
	if *value != "" {
		on.Errorf(key, "give %s or %s, not both", member, key)
	} else if text, ok := on.FromVariable(key, variable); ok {
		*value, t.env[member] = text, true
	}
	*found = append(*found, on.Problems()...)
}

// members returns the values that the file gives, by the tags key. What it doesn't mention is left out, so that the server keeps the
// secrets that it has.
func (t *Thing) members(v reflect.Value) map[string]any {
	values := map[string]any{}
	for _, f := range reflect.VisibleFields(v.Type()) {
		key := f.Tag.Get("key")
		if key == "" || !t.env[key] && !t.entry.Has(key) && !t.entry.Has(key+"File") {
			continue
		}
		switch value := v.FieldByIndex(f.Index).Interface().(type) {
		case local.Hash:
			values[key] = string(value)
		case *client.OwnClaims:
			values[key] = map[string]any{"groups": value.Groups}
		default:
			values[key] = value
		}
	}
	return values
}

// Secrets returns the secrets that a thing has, as dotted keys.
func (t *Thing) Secrets() []string {
	shown := Shown(t.Kind, t.Values)
	var secrets []string
	collect("", t.Values, shown, &secrets)
	return secrets
}

func collect(prefix string, all, shown map[string]any, secrets *[]string) {
	for _, key := range slices.Sorted(maps.Keys(all)) {
		inner, isObject := all[key].(map[string]any)
		rest, kept := shown[key].(map[string]any)
		switch _, there := shown[key]; {
		case !there:
			*secrets = append(*secrets, strings.TrimPrefix(prefix+"."+key, "."))
		case isObject && kept:
			collect(prefix+"."+key, inner, rest, secrets)
		}
	}
}
