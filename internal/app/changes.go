package app

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/federation"
)

// Changes are how one configuration differs from the one before, by names alone: they have no values, as these may be secrets.
type Changes struct {
	Keys                       []string // outside of the lists
	Clients, Users, Connectors event.Difference
}

func changes(from, to *Plan) Changes {
	all := Changes{
		Keys:       differing("", reflect.ValueOf(*from.Config), reflect.ValueOf(*to.Config)),
		Clients:    difference(from.clients, to.clients, clientID, clientID, clientKeys),
		Users:      difference(from.users, to.users, userKey, userName, userKeys),
		Connectors: difference(from.connectors, to.connectors, connectorID, connectorID, connectorKeys),
	}
	for _, s := range []struct {
		key      string
		from, to any
	}{
		{"storage.config", from.backend.settings, to.backend.settings},
		{"signer.config", signerSettings(from.Config), signerSettings(to.Config)},
	} {
		if !reflect.DeepEqual(s.from, s.to) {
			all.Keys = append(all.Keys, s.key)
		}
	}
	return all
}

func clientID(c *client.Client) string            { return c.ID }
func connectorID(d *federation.Definition) string { return d.ID }
func userKey(u *local.User) string                { return local.Key(u.Email) }

func clientKeys(a, b *client.Client) []string {
	return differing("", reflect.ValueOf(*a), reflect.ValueOf(*b))
}

func userKeys(a, b *local.User) []string {
	return differing("", reflect.ValueOf(*a), reflect.ValueOf(*b))
}

func connectorKeys(a, b *federation.Definition) []string {
	keys := differing("", reflect.ValueOf(*a), reflect.ValueOf(*b))
	if !b.FilesUnusable && !a.Files.Equal(b.Files) && reflect.DeepEqual(a.Config, b.Config) {
		return append(keys, "content of files")
	}
	if a.Type != b.Type || reflect.DeepEqual(a.Config, b.Config) {
		return keys
	}
	var settings []string
	x, y := reflect.Indirect(reflect.ValueOf(a.Config)), reflect.Indirect(reflect.ValueOf(b.Config))
	if x.Kind() == reflect.Struct && y.IsValid() && x.Type() == y.Type() {
		settings = differing("config", x, y)
	}
	if len(settings) == 0 {
		settings = []string{"config"} // a setting without a key of its own, or one that could not be read
	}
	return append(keys, settings...)
}

// userName is the id of a user: only the event of a login has e-mail addresses.
func userName(u *local.User) string { return cmp.Or(u.UserID, "(no userID)") }

// difference compares lists of entries that have ids, and says so by their names.
func difference[T any](from, to []T, id, name func(T) string, keys func(a, b T) []string) event.Difference {
	var d event.Difference
	before := map[string]T{}
	for _, entry := range from {
		before[id(entry)] = entry
	}
	for _, entry := range to {
		old, ok := before[id(entry)]
		if !ok {
			d.Added = append(d.Added, name(entry))
			continue
		}
		delete(before, id(entry))
		if changed := keys(old, entry); len(changed) > 0 {
			d.Changed = append(d.Changed, name(entry)+" ("+strings.Join(changed, ", ")+")")
		}
	}
	for _, gone := range before {
		d.Removed = append(d.Removed, name(gone))
	}
	slices.Sort(d.Removed)
	return d
}

// elsewhere are the parts of a configuration that differ even if only their place in the file does.
var elsewhere = []reflect.Type{reflect.TypeFor[config.Section](), reflect.TypeFor[config.List]()}

// differing returns the dotted keys whose values differ in two structs of the same type.
func differing(prefix string, a, b reflect.Value) []string {
	var keys []string
	for i := range a.NumField() {
		f := a.Type().Field(i)
		key := f.Tag.Get("key")
		switch {
		case f.Anonymous:
			keys = append(keys, differing(prefix, a.Field(i), b.Field(i))...)
			continue
		case key == "" || key == "-" || slices.Contains(elsewhere, f.Type) || !f.IsExported():
			continue
		}
		key = strings.TrimPrefix(prefix+"."+key, ".")
		x, y := a.Field(i), b.Field(i)
		if reflect.DeepEqual(x.Interface(), y.Interface()) {
			continue
		}
		x, y = reflect.Indirect(x), reflect.Indirect(y)
		if x.Kind() == reflect.Struct && y.Kind() == reflect.Struct {
			keys = append(keys, differing(key, x, y)...)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}
