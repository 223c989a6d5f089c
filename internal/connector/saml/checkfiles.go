package saml

import (
	"fmt"
	"log/slog"

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

// WarnFiles returns what somebody should know about the files that the settings name, by key.
func (c *Config) WarnFiles() map[string]string {
	if c.InsecureSkipSignatureValidation || c.CA == "" || len(c.CAData) > 0 {
		return nil
	}
	content, err := readFile(c.CA)
	if err != nil {
		return nil
	}
	return map[string]string{"ca": c.expiry(content)}
}

// checkFiles does with files what watch does at first.
func checkFiles[T any](parse func(contents [][]byte) (T, error), paths ...string) error {
	_, err := watch(slog.New(slog.DiscardHandler), parse, paths...)
	if err != nil {
		return fmt.Errorf("can't be used: %w", err)
	}
	return nil
}
