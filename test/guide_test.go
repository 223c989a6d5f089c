package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dex/test/servers"
)

// blocksOf returns the code blocks of a document that are in a language.
func blocksOf(t *testing.T, document, language string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, document))
	if err != nil {
		t.Fatal(err)
	}
	rest, begin := string(text), "\n```"+language+"\n"
	for {
		_, after, found := strings.Cut(rest, begin)
		if !found {
			break
		}
		var block string
		block, rest, found = strings.Cut(after, "\n```")
		if !found {
			t.Fatalf("%s: a block has no end", document)
		}
		blocks = append(blocks, block+"\n")
	}
	if blocks == nil {
		t.Fatalf("%s has no block of %s", document, language)
	}
	return blocks
}

// blockWith returns the one block of a document that has a text.
func blockWith(t *testing.T, document, language, text string) string {
	t.Helper()
	var found []string
	for _, block := range blocksOf(t, document, language) {
		if strings.Contains(block, text) {
			found = append(found, block)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d blocks of %s with %q, want one", document, len(found), language, text)
	}
	return found[0]
}

// replaced replaces texts, each of which must be there.
func replaced(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("there is no %q in\n%s", pairs[i], text)
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// A reader is somebody who types what a guide says into a shell.
type reader struct {
	folder      string // where the shell is
	bin         string // first in its PATH
	environment []string
}

// newReader returns a reader in a folder, with programs of the tests in the PATH.
func newReader(t *testing.T, folder string, programs ...string) *reader {
	t.Helper()
	r := &reader{folder: folder, bin: t.TempDir()}
	for _, name := range programs {
		path, err := servers.Program(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		r.install(t, name, path)
	}
	r.environment = append(os.Environ(), "PATH="+r.bin+":"+os.Getenv("PATH"))
	return r
}

// install puts a program into the reader's PATH.
func (r *reader) install(t *testing.T, name, path string) {
	t.Helper()
	if err := os.Symlink(path, filepath.Join(r.bin, name)); err != nil {
		t.Fatal(err)
	}
}

// try types commands, and returns what they show. Where they change the folder, the next ones begin there.
func (r *reader) try(t *testing.T, commands string) (shown string, err error) {
	t.Helper()
	where := filepath.Join(t.TempDir(), "where")
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", commands+"\npwd >"+where)
	cmd.Dir, cmd.Env = r.folder, r.environment
	out, err := cmd.CombinedOutput()
	if now, readErr := os.ReadFile(where); readErr == nil {
		r.folder = strings.TrimSpace(string(now))
	}
	return string(out), err
}

// do is try for commands that must work without a warning.
func (r *reader) do(t *testing.T, commands string) (shown string) {
	t.Helper()
	shown, err := r.try(t, commands)
	if err != nil || strings.Contains(shown, "Warning") {
		t.Fatalf("%s\n%v\n%s", commands, err, shown)
	}
	return shown
}
