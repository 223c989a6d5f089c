package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// promises are the ids of what the users' guides promise. Each has a test with its id in the name.
const promises = `
S0-01 S0-02 S0-03 S0-04 S0-05 S0-06 S0-07 S0-08 S0-09 S0-11 S0-12 S0-13 S0-14 S0-15 S0-16 S0-17 S0-18 S0-19 S0-20 S0-21 S0-22 S0-23 S0-24 S0-25 S0-26 S0-27 S0-28
S1-20 S1-21 S1-22 S1-23 S1-24 S1-25 S1-26 S1-27 S1-28 S1-29 S1-30 S1-31 S1-32 S1-33 S1-34 S1-35 S1-36 S1-37 S1-38 S1-39
S1-40 S1-41 S1-42 S1-43 S1-44 S1-45 S1-46 S1-47 S1-48
S1-50 S1-51 S1-52 S1-53 S1-54 S1-55 S1-56 S1-57 S1-58 S1-59 S1-60 S1-61 S1-62 S1-63 S1-64 S1-65 S1-66 S1-67 S1-68
S1-78 S1-80 S1-81 S1-82 S1-83 S1-84 S1-85 S1-86 S1-87 S1-88 S1-89
S1-90 S1-91 S1-92 S1-93
S2-02 S2-03 S2-04 S2-05 S2-06 S2-08 S2-11 S2-12 S2-13 S2-14 S2-15 S2-16 S2-17 S2-18 S2-19`

// Ids stand in the names of tests.
var (
	quoted    = regexp.MustCompile(`"[^"\n]*"`)
	promiseID = regexp.MustCompile(`\bS[012]-\d\d\b`)
)

func TestEveryPromiseHasATest(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "seedrows_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, name := range quoted.FindAllString(string(text), -1) {
			for _, id := range promiseID.FindAllString(name, -1) {
				found[id] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range strings.Fields(promises) {
		if !found[id] {
			t.Errorf("no test bears the id %s", id)
		}
	}
}
