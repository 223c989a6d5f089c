package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A program built with the overlay finds the methods that are listed, and says of others what it says of fields that aren't there.
func TestOverlay(t *testing.T) {
	folder := t.TempDir()
	t.Chdir("../..")
	overlay, err := write(folder)
	if err != nil {
		t.Fatal(err)
	}
	const program = `package main

import (
	"fmt"
	"os"
	"text/template"
	"time"
)

func main() {
	for _, text := range []string{"{{ .Year }} {{ .Month }} {{ .Month.String }}", "{{ .GobEncode }}"} {
		fmt.Println(template.Must(template.New("t").Parse(text)).Execute(os.Stdout, time.Unix(0, 0).UTC()))
	}
}
`
	source := filepath.Join(folder, "program.go")
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "run", "-trimpath", "-overlay", overlay, source).CombinedOutput()
	const want = "1970 January January<nil>\ntemplate: t:1:3: executing \"t\" at <.GobEncode>: can't evaluate field GobEncode in type time.Time\n"
	if err != nil || string(out) != want {
		t.Errorf("printed %q, want %q; error %v", out, want, err)
	}
}

// The messages are there, compressed.
func TestMessages(t *testing.T) {
	t.Chdir("../..")
	replaced := map[string]string{}
	if err := replaceMessages(t.TempDir(), replaced); err != nil {
		t.Fatal(err)
	}
	if len(replaced) < 15 {
		t.Errorf("there are %d files of messages", len(replaced))
	}
	for original, compressed := range replaced {
		f, err := os.Open(compressed)
		if err != nil {
			t.Fatal(err)
		}
		r, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := os.ReadFile(original); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not the same as before, or can't be read: %v", original, err)
		}
		_ = f.Close()
	}
}

// Another text/template than the one this was made for is left alone.
func TestUnknownSource(t *testing.T) {
	for _, source := range []string{
		"",
		"if method := receiver.MethodByName(fieldName); method.IsValid() {",
		strings.Repeat("if method := "+call+"; method.IsValid() {\n", 2),
		call + "\nother.MethodByName(name)",
	} {
		if changed, err := change(source); err == nil {
			t.Errorf("%q becomes %q", source, changed)
		}
	}
}
