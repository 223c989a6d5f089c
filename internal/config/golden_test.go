package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/federation"
)

var update = flag.Bool("update", false, "write what the tests get to the files of testdata/problems")

// The files of testdata/problems hold cases: a line "==== title", a configuration, a line "----", and the problems that
// loading it must find. Positions count from the line below the title. Comments of the configuration say more:
//
//	# env: NAME=value     sets a variable
//	# flag: --web-http-addr=value
//	# alone               nothing is added; else what a configuration needs and the case doesn't mention stands below it
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/problems/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { testFile(t, file) })
	}
}

func testFile(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rewritten strings.Builder
	for _, part := range strings.Split(string(data), "==== ")[1:] {
		title, rest, _ := strings.Cut(part, "\n")
		input, want, ok := strings.Cut(rest, "----\n")
		if !ok {
			t.Fatalf("%s: no line ---- in the case %q", file, title)
		}
		var got string
		t.Run(title, func(t *testing.T) {
			cfg, problems := check(source(input))
			got = lines(problems)
			if cfg == nil && !problems.HasErrors() {
				t.Error("there is neither a config nor an error")
			}
			if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got)); diff != "" && !*update {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
		rewritten.WriteString("==== " + title + "\n" + input + "----\n" + got + "\n")
	}
	if *update {
		if err := os.WriteFile(file, []byte(rewritten.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// lines renders problems one a line, with the word that says whether it is an error.
func lines(problems config.Problems) string {
	var b strings.Builder
	for _, p := range problems {
		if p.IsError() {
			b.WriteString("error   ")
		} else {
			b.WriteString("warning ")
		}
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}

// check loads a configuration and has the rooms read what is theirs.
func check(s config.Source) (*config.Config, config.Problems) {
	cfg, problems := s.Load()
	if cfg == nil {
		return nil, problems
	}
	definitions, connectors := federation.Read(cfg)
	_, clients := client.Read(cfg, federation.Known(cfg, definitions))
	_, users := local.Read(cfg)
	return cfg, slices.Concat(problems, connectors, clients, users).InOrder()
}

// source makes a source of the configuration of a case.
func source(input string) config.Source {
	s := config.Source{Name: "dex.yaml", Env: environment{}.lookup}
	env := environment{}
	alone := false
	for line := range strings.Lines(input) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "# alone":
			alone = true
		case strings.HasPrefix(line, "# env: "):
			name, value, _ := strings.Cut(strings.TrimPrefix(line, "# env: "), "=")
			env[name] = value
		case strings.HasPrefix(line, "# flag: "):
			override(&s.Overrides, strings.TrimPrefix(line, "# flag: "))
		}
	}
	if !alone {
		input = complete(input)
	}
	s.Data, s.Env = []byte(input), env.lookup
	return s
}

func override(o *config.Overrides, flag string) {
	name, value, _ := strings.Cut(flag, "=")
	switch name {
	case "--web-http-addr":
		o.WebHTTP = value
	case "--web-https-addr":
		o.WebHTTPS = value
	case "--telemetry-addr":
		o.TelemetryHTTP = value
	case "--grpc-addr":
		o.GRPCAddr = value
	}
}

// complete adds the settings that every configuration needs, below so that positions stay.
func complete(input string) string {
	for _, line := range []string{
		"issuer: https://id.example.net",
		"storage: {type: memory}",
		"web: {http: '127.0.0.1:5556'}",
		"enablePasswordDB: true",
	} {
		key, _, _ := strings.Cut(line, " ")
		if !strings.Contains("\n"+strings.ToLower(input), "\n"+strings.ToLower(key)) {
			input += line + "\n"
		}
	}
	return input
}

type environment map[string]string

func (e environment) lookup(name string) (string, bool) {
	value, ok := e[name]
	return value, ok
}
