package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dex/internal/config"
)

// FuzzLoad checks that no file ends the program, and that problems and configurations exclude each other.
func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/problems/*.txt")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range strings.Split(string(data), "==== ")[1:] {
			_, rest, _ := strings.Cut(part, "\n")
			input, _, _ := strings.Cut(rest, "----\n")
			f.Add([]byte(input))
		}
	}
	f.Add([]byte(everything))
	f.Add([]byte("a: &a [*a, *a]\nfrontend: {extra: &b {<<: [*b, *b], c: d}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		env := environment{"DEX_SESSIONS_ENABLED": "true", "ID": "a", "SECRET": "s", "ROOT_HASH": hash}
		s := config.Source{Name: "dex.yaml", Data: data, Env: env.lookup}
		cfg, problems := check(s)
		if cfg == nil && !problems.HasErrors() {
			t.Fatalf("config %v with the problems %v", cfg, problems)
		}
		for _, p := range problems {
			if p.Message == "" || strings.ContainsAny(p.String(), "\n") || p.Line < 0 || p.Column < 0 {
				t.Fatalf("problem %#v", p)
			}
		}
		if problems.HasErrors() {
			return
		}
		for _, c := range connectors(cfg) {
			fuzzSection(t, c.Config)
		}
		fuzzSection(t, cfg.Storage.Config)
	})
}

func fuzzSection(t *testing.T, s config.Section) {
	var typed kinds
	s.Decode(&typed)
	data, err := s.JSON()
	if err != nil {
		return
	}
	again, err := config.SectionFromJSON("again", data)
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	if second, err := again.JSON(); err != nil || string(second) != string(data) {
		t.Fatalf("JSON %s becomes %s, %v", data, second, err)
	}
}

// FuzzSectionFromJSON checks the same for what is read from the storage.
func FuzzSectionFromJSON(f *testing.F) {
	f.Add([]byte(`{"host": "a", "names": ["b"], "any": {"a": [1, 1.5, null, true, {}]}}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"a": 1e400}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := config.SectionFromJSON("connector", data)
		if err != nil {
			return
		}
		var typed kinds
		s.Decode(&typed)
		_, _ = s.JSON()
	})
}
