package dev_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// An exception from a linter that isn't on is noise, and hides a finding should the linter be turned on some day.
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
					t.Errorf("%s: an exception from %s, which is not on", path, name)
				}
			}
		}
	})
}

// Beyond these lengths, in lines, a file or a function is hard to keep in mind. Functions of tests may be tables.
const maxFile, maxFunction = 400, 60

func TestNothingIsTooLong(t *testing.T) {
	eachGoFile(t, func(path, source string) {
		if strings.Contains(source, "\n// Code generated ") {
			return
		}
		if n := strings.Count(source, "\n"); n > maxFile {
			t.Errorf("%s has %d lines, and %d are the most", path, n, maxFile)
		}
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1; n > maxFunction {
				t.Errorf("%s: the function %s has %d lines, and %d are the most", files.Position(f.Pos()), f.Name.Name, n, maxFunction)
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
