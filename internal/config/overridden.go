package config

import (
	"slices"
	"strings"
)

// dropOverridden keeps the last of clients, users and connectors that have the same id, and of a connector and the password
// database the latter.
func (c *Config) dropOverridden() {
	c.StaticClients = lastOfEach(c.StaticClients, func(c Client) string { return c.ID })
	c.StaticPasswords = lastOfEach(c.StaticPasswords, func(u Password) string { return strings.ToLower(u.Email) })
	c.Connectors = lastOfEach(c.Connectors, func(c Connector) string { return c.ID })
	if c.EnablePasswordDB {
		c.Connectors = slices.DeleteFunc(c.Connectors, func(c Connector) bool { return c.ID == localConnector })
	}
}

// lastOfEach returns items whose ids differ.
func lastOfEach[T any](items []T, id func(T) string) []T {
	last := make(map[string]int, len(items))
	for i, item := range items {
		last[id(item)] = i
	}
	if len(last) == len(items) {
		return items
	}
	var kept []T
	for i, item := range items {
		if last[id(item)] == i {
			kept = append(kept, item)
		}
	}
	return kept
}
