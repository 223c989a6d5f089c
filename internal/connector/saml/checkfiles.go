package saml

import (
	"fmt"
	"log/slog"
	"time"

	"dex/internal/certificate"
	"dex/internal/outbound"
)

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c *Config) CheckFiles() map[string]error {
	found := outbound.CheckRootCAs(c.RootCAs)
	certificates := func(key, path string) {
		if path != "" {
			found[key] = checkFiles(parseFirst(parseCertificates), path)
		}
	}
	if !c.InsecureSkipSignatureValidation && len(c.CAData) == 0 {
		certificates("ca", c.CA)
	}
	certificates("metadataSigningCert", c.MetadataSigningCert)
	if c.MetadataFile != "" {
		_, found["metadataFile"] = readFile(c.MetadataFile)
	}
	if c.SPKey != "" {
		found["spKey"] = checkFiles(parseKeyPair, c.SPCert, c.SPKey)
	}
	if c.PreviousKey != "" {
		found["previousSPKey"] = checkFiles(parseFirst(parseRSAKey), c.PreviousKey)
	}
	return found
}

// WarnFiles returns warnings about the files that the settings name, by key.
func (c *Config) WarnFiles() map[string]string {
	found := map[string]string{}
	if c.SPKey != "" {
		found["spCert"] = certificate.FileExpiring(c.SPCert, time.Now())
	}
	if c.InsecureSkipSignatureValidation || c.CA == "" || len(c.CAData) > 0 {
		return found
	}
	if content, err := readFile(c.CA); err == nil {
		found["ca"] = c.expiry(content)
	}
	return found
}

// checkFiles reads and parses files once, as watch does first.
func checkFiles[T any](parse func(contents [][]byte) (T, error), paths ...string) error {
	_, err := watch(slog.New(slog.DiscardHandler), parse, paths...)
	if err != nil {
		return fmt.Errorf("can't be used: %w", err)
	}
	return nil
}
