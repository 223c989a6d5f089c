package dev_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// An exception from a disabled linter is noise, and would hide a finding if the linter were enabled one day.
func TestExceptionsAreFromLintersThatAreOn(t *testing.T) {
	text, err := os.ReadFile("../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	var settings struct {
		Linters struct {
			Enable []string `yaml:"enable"`
		} `yaml:"linters"`
	}
	if err := yaml.Unmarshal(text, &settings); err != nil {
		t.Fatal(err)
	}
	exception := regexp.MustCompile(`//nolint:([a-z,]+)`)
	eachGoFile(t, func(path, source string) {
		for _, match := range exception.FindAllStringSubmatch(source, -1) {
			for name := range strings.SplitSeq(match[1], ",") {
				if !slices.Contains(settings.Linters.Enable, name) {
					t.Errorf("%s: an exception from %s, which is not enabled", path, name)
				}
			}
		}
	})
}

func eachGoFile(t *testing.T, each func(path, source string)) {
	t.Helper()
	for _, root := range []string{"bench", "cmd", "dev", "examples", "internal", "test"} {
		err := filepath.WalkDir(filepath.Join("..", root), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" {
				return err
			}
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			each(path, string(source))
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}
