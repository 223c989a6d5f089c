package ldap

import "dex/internal/kerberos"

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
