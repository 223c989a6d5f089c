package etcd

import (
	"time"

	"dex/internal/certificate"
)

// CheckFiles returns what is wrong with the files that the settings name and a connection needs, by key.
func (c *Config) CheckFiles() map[string]error {
	if !c.secure() {
		return nil
	}
	found := map[string]error{}
	authority := *c
	authority.SSL.CertFile, authority.SSL.KeyFile = "", ""
	if _, err := authority.tls(); err != nil {
		found["ssl.caFile"] = err
	}
	if c.SSL.CertFile != "" {
		_, found["ssl.certFile"] = c.SSL.certificate(nil)
	}
	return found
}

// WarnFiles returns what somebody should know about the files that the settings name, by key.
func (c *Config) WarnFiles() map[string]string {
	if !c.secure() || c.SSL.CertFile == "" {
		return nil
	}
	return map[string]string{"ssl.certFile": certificate.FileExpiring(c.SSL.CertFile, time.Now())}
}
