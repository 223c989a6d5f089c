package dev_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The Go code of the management API is what its protos become.
func TestGeneratedCodeIsUpToDate(t *testing.T) {
	t.Parallel()
	into := t.TempDir()
	generate := exec.CommandContext(t.Context(), "go", "-C", "protos", "run", ".", "../..", into)
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files := 0
	err := filepath.WalkDir(into, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		name, err := filepath.Rel(into, path)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if got, err := os.ReadFile(filepath.Join("..", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the protos become; run make protos (%v)", name, err)
		}
		return nil
	})
	if err != nil || files != 6 {
		t.Errorf("%d files, %v", files, err)
	}
}
