package config

import "slices"

// dropOverridden keeps the last of connectors that have the same id, and of a connector and the password
// database the latter.
func (c *Config) dropOverridden() {
	c.Connectors = LastOfEach(c.Connectors, func(c Connector) string { return c.ID })
	if c.EnablePasswordDB {
		c.Connectors = slices.DeleteFunc(c.Connectors, func(c Connector) bool { return c.ID == localConnector })
	}
}

// LastOfEach returns items whose ids differ: what stands further down in a file takes the place of what is above.
func LastOfEach[T any](items []T, id func(T) string) []T {
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
