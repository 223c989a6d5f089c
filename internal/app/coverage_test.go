package app_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var rowNumber = regexp.MustCompile(`\b(D-\d{3}|B-\d{2})\b`)

// testedRows returns the rows that name a subtest of a function TestDeparture….
func testedRows(t *testing.T, root string) map[string]bool {
	t.Helper()
	rows := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declaration := range file.Decls {
			f, ok := declaration.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(f.Name.Name, "TestDeparture") {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
					for _, row := range rowNumber.FindAllString(text.Value, -1) {
						rows[row] = true
					}
				}
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// Every row where upstream departs from a standard, and every bug of it that must not come back, has a test that its
// number finds: go test -run 'TestDeparture/D-116' ./...
func TestEveryDepartureIsTested(t *testing.T) {
	list, err := os.ReadFile("testdata/rows.txt")
	if err != nil {
		t.Fatal(err)
	}
	tested := testedRows(t, "../..")
	rows := strings.Fields(string(list))
	if len(rows) < 160 {
		t.Errorf("there are %d rows only", len(rows))
	}
	var missing []string
	for _, row := range rows {
		if !tested[row] {
			missing = append(missing, row)
		}
	}
	if len(missing) > 0 {
		t.Errorf("without a test: %s", strings.Join(missing, " "))
	}
}
