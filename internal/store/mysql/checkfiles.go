package mysql

import (
	"crypto/tls"
	"log/slog"
	"time"

	"dex/internal/certificate"
)

// CheckFiles returns what is wrong with the files that the settings name and a connection needs, by key.
func (c *Config) CheckFiles() map[string]error {
	if c.overSocket() || c.SSL.mode() != modeCustom {
		return nil
	}
	quiet := slog.New(slog.DiscardHandler)
	authority := SSL{CAFile: c.SSL.CAFile}
	pair := SSL{CertFile: c.SSL.CertFile, KeyFile: c.SSL.KeyFile}
	return map[string]error{
		"ssl.caFile":   authority.addFiles(&tls.Config{MinVersion: tls.VersionTLS12}, quiet),
		"ssl.certFile": pair.addFiles(&tls.Config{MinVersion: tls.VersionTLS12}, quiet),
	}
}

// WarnFiles returns what somebody should know about the files that the settings name, by key.
func (c *Config) WarnFiles() map[string]string {
	if c.overSocket() || c.SSL.CertFile == "" || c.SSL.KeyFile == "" {
		return nil
	}
	return map[string]string{"ssl.certFile": certificate.FileExpiring(c.SSL.CertFile, time.Now())}
}
