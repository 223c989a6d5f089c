package dev_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/dependencies.md explains each direct dependency, and nothing else.
func TestDependenciesAreExplained(t *testing.T) {
	document, err := os.ReadFile("../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	explained := modulePaths(string(document))
	for _, dir := range []string{"", "examples", "test", "test/servers/vault", "test/servers/provider", "deploy/container/assemble"} {
		for _, path := range directRequirements(t, filepath.Join("..", dir, "go.mod")) {
			if !slices.Contains(explained, path) {
				t.Errorf("%s: %s is required and not explained in docs/dependencies.md", filepath.Join(dir, "go.mod"), path)
			}
		}
	}
	ofServer := directRequirements(t, "../go.mod")
	table, _, _ := strings.Cut(string(document), "\nIn separate modules")
	for _, path := range modulePaths(table) {
		if !slices.Contains(ofServer, path) {
			t.Errorf("docs/dependencies.md explains %s, which the server does not require", path)
		}
	}
}

// modulePaths returns the module paths that a document has in backquotes.
func modulePaths(document string) (paths []string) {
	for _, match := range regexp.MustCompile("`([a-z0-9.-]+\\.[a-z]+/[^` ]+)`").FindAllStringSubmatch(document, -1) {
		paths = append(paths, match[1])
	}
	return paths
}

func directRequirements(t *testing.T, file string) (paths []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) != 2 || !strings.HasPrefix(fields[1], "v") || strings.HasPrefix(fields[0], "dex") {
			continue // indirect ones have a comment
		}
		paths = append(paths, fields[0])
	}
	return paths
}
