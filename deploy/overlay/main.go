// Overlay writes into a folder what `go build -overlay` needs for a smaller program, and prints the name of the file for that flag:
//
//	go build -overlay "$(go run ./deploy/overlay FOLDER)" ./cmd/dex
//
// It is run in the folder of the repository. Two things are replaced while the program is compiled:
//
// text/template finds methods by names that are only known at run time. A program with such a call keeps every exported method of
// every type that it uses, in case a template names it: six MiB of code that nothing calls. The replacement is text/template with that
// one call asking for methods by the constant names of methods.txt. The compiler sees these names, and the linker drops the rest.
//
// The messages of pages in all languages are embedded as JSON. The replacements are the same files, compressed.
//
// If something isn't as expected, such as text/template after a change of the toolchain, overlay says so and leaves it out: the
// program works the same, but is larger.
package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed methods.txt
var methods string

// What is replaced in exec.go, and by what.
const (
	call        = "ptr.MethodByName(fieldName)"
	replacement = "methodByName(ptr, fieldName)"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: overlay FOLDER")
		os.Exit(2)
	}
	overlay, err := write(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "overlay: the program will be larger than it could be:", err)
	}
	if overlay != "" {
		fmt.Println(overlay)
	}
}

// write returns the name of the overlay's file, and why something is missing in it.
func write(folder string) (overlay string, err error) {
	if folder, err = filepath.Abs(folder); err != nil {
		return "", err
	}
	replaced := map[string]string{}
	missing := errors.Join(replaceTemplate(folder, replaced), replaceMessages(folder, replaced))
	text, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil { //nolint:gosec // the caller names the folder
		return "", err
	}
	return overlay, missing
}

func replaceTemplate(folder string, replaced map[string]string) error {
	dir, err := exec.CommandContext(context.Background(), "go", "list", "-f", "{{ .Dir }}", "text/template").Output()
	if err != nil {
		return fmt.Errorf("find text/template: %w", err)
	}
	original := filepath.Join(strings.TrimSpace(string(dir)), "exec.go")
	source, err := os.ReadFile(original) //nolint:gosec // of the toolchain
	if err != nil {
		return err
	}
	changed, err := change(string(source))
	if err != nil {
		return fmt.Errorf("%s: %w", original, err)
	}
	replaced[original] = filepath.Join(folder, "exec.go")
	return os.WriteFile(replaced[original], []byte(changed), 0o600)
}

func replaceMessages(folder string, replaced map[string]string) error {
	files, err := filepath.Glob("internal/locale/messages/*.json")
	if err != nil || len(files) == 0 {
		return fmt.Errorf("there are no messages here: %w", cmp.Or(err, os.ErrNotExist))
	}
	for _, name := range files {
		text, err := os.ReadFile(name) //nolint:gosec // of the repository
		if err != nil {
			return err
		}
		var compressed bytes.Buffer
		w, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		if err = errors.Join(err, w.Close()); err != nil {
			return err
		}
		target := filepath.Join(folder, filepath.Base(name))
		if err := os.WriteFile(target, compressed.Bytes(), 0o600); err != nil { //nolint:gosec // the caller names the folder
			return err
		}
		original, err := filepath.Abs(name)
		if err != nil {
			return err
		}
		replaced[original] = target
	}
	return nil
}

// change returns the source of text/template's exec.go with methods looked up by constant names.
func change(source string) (string, error) {
	if found := strings.Count(source, ".MethodByName("); found != 1 || strings.Count(source, call) != 1 {
		return "", fmt.Errorf("it has %d calls of MethodByName, and not just %s", found, call)
	}
	var b strings.Builder
	b.WriteString(strings.Replace(source, call, replacement, 1))
	b.WriteString("\nfunc methodByName(v reflect.Value, name string) reflect.Value {\n\tswitch name {\n")
	for line := range strings.Lines(methods) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, name := range strings.Fields(line) {
			fmt.Fprintf(&b, "\tcase %q:\n\t\treturn v.MethodByName(%[1]q)\n", name)
		}
	}
	b.WriteString("\t}\n\treturn reflect.Value{}\n}\n")
	return b.String(), nil
}
