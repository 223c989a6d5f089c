package oidc

import (
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c *Config) CheckFiles() map[string]error {
	found := outbound.CheckRootCAs(c.RootCAs)
	if c.ClientKey != "" {
		found["clientKey"] = c.client().CheckKey()
	}
	if c.DecryptionKey != "" {
		_, found["decryptionKey"] = relyingparty.ReadDecryptionKeys(c.DecryptionKey)
	}
	return found
}
