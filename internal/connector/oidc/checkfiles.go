package oidc

import "dex/internal/outbound"

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c *Config) CheckFiles() map[string]error {
	found := outbound.CheckRootCAs(c.RootCAs)
	if c.ClientKey != "" {
		found["clientKey"] = c.client().CheckKey()
	}
	return found
}
