package ldap

import (
	"time"

	"dex/internal/certificate"
	"dex/internal/kerberos"
)

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c *Config) CheckFiles() map[string]error {
	found := map[string]error{}
	if !c.InsecureNoSSL {
		_, found["rootCA"] = c.roots()
		_, found["clientCert"] = c.clientCertificate()
	}
	if c.Kerberos.Enabled {
		found["kerberos.keytabPath"] = kerberos.CheckKeytab(c.Kerberos.KeytabPath)
	}
	return found
}

// WarnFiles returns warnings about the files that the settings name, by key.
func (c *Config) WarnFiles() map[string]string {
	if c.InsecureNoSSL {
		return nil
	}
	pair, err := c.clientCertificate()
	if err != nil || pair == nil {
		return nil
	}
	return map[string]string{"clientCert": certificate.Expiring(pair.Leaf, time.Now())}
}
