package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// The OpenAPI document of the management API is one that tools can use.
func TestOpenAPILint(t *testing.T) {
	t.Parallel()
	dir := npmInstall(t, "openapi", ".spectral.yaml")
	document, err := filepath.Abs(filepath.Join("..", "api", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	lint := exec.CommandContext(t.Context(), filepath.Join("node_modules", ".bin", "spectral"), "lint", "--fail-severity=hint", document)
	lint.Dir = dir
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
