package dev_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The map in docs/architecture.md is binding: a package imports only rooms on lower lines, and every package is on a line.
func TestArrowsPointDown(t *testing.T) {
	drawn := readMap(t)
	for path, imports := range packages(t) {
		room, from := drawn.find(path)
		if room == "" {
			t.Errorf("%s is not on the map of docs/architecture.md", path)
			continue
		}
		for _, imported := range imports {
			other, to := drawn.find(imported)
			if other != room && to <= from {
				t.Errorf("%s imports %s, which is not below it on the map of docs/architecture.md", path, imported)
			}
		}
	}
}

// A floorMap has each room's line on the map, counted from the top. A room is a package or, if it ends in "/...", a package
// that is not on a line of its own and all packages below it.
type floorMap map[string]int

func readMap(t *testing.T) floorMap {
	t.Helper()
	document, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(document), "\n```\n")
	drawn, _, _ := strings.Cut(rest, "\n```\n")
	rooms, number := floorMap{}, 0
	for line := range strings.Lines(drawn) {
		number++
		for _, word := range strings.Fields(line) {
			if !strings.HasPrefix(word, "internal/") && !strings.HasPrefix(word, "cmd/") {
				break // the rest of the line says what the rooms are
			}
			if rooms[word] != 0 {
				t.Errorf("%s is on the map twice", word)
			}
			rooms[word] = number
		}
	}
	if len(rooms) < 10 {
		t.Fatalf("found only %d rooms on the map", len(rooms))
	}
	return rooms
}

// find returns the room of a package and its line; an empty room if it has none.
func (m floorMap) find(path string) (room string, line int) {
	if line, ok := m[path]; ok {
		return path, line
	}
	for above := path; above != "."; above = filepath.Dir(above) {
		if line, ok := m[above+"/..."]; ok {
			return above + "/...", line
		}
	}
	return "", 0
}

// packages returns which of the program's packages each one imports. It leaves out those whose names end in test: they may
// import whatever they test.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "dex/cmd/...", "dex/internal/...")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(p.ImportPath, "test") {
			continue
		}
		imports := []string{}
		for _, path := range p.Imports {
			if own, ok := strings.CutPrefix(path, "dex/"); ok {
				imports = append(imports, own)
			}
		}
		found[strings.TrimPrefix(p.ImportPath, "dex/")] = imports
	}
}
