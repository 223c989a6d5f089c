package dev_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// What applications do with tokens needs no identity source. These rooms must not bring in the connectors, with all the
// libraries for LDAP, SAML and Kerberos.
func TestTokensBringInNoConnectors(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "dex/internal/userinfo", "dex/internal/introspection",
		"dex/internal/revocation", "dex/internal/code", "dex/internal/refresh")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(path, "dex/internal/connector/") || path == "dex/internal/federation" {
			t.Errorf("%s is brought in", path)
		}
	}
}
