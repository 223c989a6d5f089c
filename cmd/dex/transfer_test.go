package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dex/internal/store"
	"dex/internal/store/sealed"
	"dex/internal/store/sqlite"
)

const secret = "unspeakable"

// A place is a folder with a configuration and a database.
type place struct {
	*testing.T
	dir, config, database string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{T: t, dir: t.TempDir()}
	p.config, p.database = filepath.Join(p.dir, "config.yaml"), filepath.Join(p.dir, "dex.db")
	p.write(p.config, "issuer: http://127.0.0.1:5556/dex\nstorage: {type: sqlite3, config: {file: "+p.database+"}}\n"+
		"web: {http: 127.0.0.1:5556}\nenablePasswordDB: true\n")
	return p
}

func (p *place) write(file, text string) {
	p.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
}

func (p *place) read(file string) string {
	p.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		p.Fatal(err)
	}
	return string(text)
}

// use opens the database without its seal.
func (p *place) use(do func(s store.Store)) {
	p.Helper()
	s, err := sqlite.Open(p.Context(), sqlite.Config{File: p.database}, slog.New(slog.DiscardHandler))
	if err != nil {
		p.Fatalf("Open: %v", err)
	}
	do(s)
	if err := s.Close(); err != nil {
		p.Fatalf("Close: %v", err)
	}
}

func (p *place) put(kind, key, document string) {
	p.Helper()
	p.use(func(s store.Store) {
		if _, err := s.Create(p.Context(), store.Record{Kind: kind, Key: key, Data: []byte(document)}); err != nil {
			p.Fatalf("Create: %v", err)
		}
	})
}

// stored returns a document as it is on disk.
func (p *place) stored(kind, key string) string {
	p.Helper()
	var document string
	p.use(func(s store.Store) {
		r, err := s.Get(p.Context(), kind, key)
		if err != nil {
			p.Fatalf("Get %s %s: %v", kind, key, err)
		}
		document = string(r.Data)
	})
	return document
}

// run runs the command line and returns what it printed.
func (p *place) run(stdin string, args ...string) (stdout, stderr string, err error) {
	p.Helper()
	var out, errs bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	err = root.Execute()
	return out.String(), errs.String(), err
}

func (p *place) mustRun(stdin string, args ...string) (stdout, stderr string) {
	p.Helper()
	stdout, stderr, err := p.run(stdin, args...)
	if err != nil {
		p.Fatalf("dex %s: %v\n%s%s", strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout, stderr
}

func (p *place) wantError(want string, args ...string) {
	p.Helper()
	if _, _, err := p.run("", args...); err == nil || !strings.Contains(err.Error(), want) {
		p.Errorf("dex %s: got error %v, want one with %q", strings.Join(args, " "), err, want)
	}
}

// fill stores three records to export, one of them secret.
func (p *place) fill() {
	p.Helper()
	p.put("keys", "openid-connect-keys", `{"key":"`+secret+`"}`)
	p.put("client", "gate", `{"id":"gate"}`)
	p.put("refresh", "family", `{"generation":1}`)
	p.put("code", "short-lived", `{}`)
}

func TestExportAndImport(t *testing.T) {
	from, to := newPlace(t), newPlace(t)
	from.fill()
	file := filepath.Join(from.dir, "backup.jsonl")
	_, stderr := from.mustRun("", "export", from.config, "--output", file)
	if !strings.Contains(stderr, "not sealed") || strings.Contains(from.read(file), "short-lived") {
		t.Errorf("got\n%s\nand on standard error\n%s", from.read(file), stderr)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has the mode %v, error %v", info.Mode(), err)
	}

	stdout, _ := to.mustRun("", "import", to.config, file, "--check")
	if !strings.Contains(stdout, "Nothing was written") {
		t.Errorf("--check printed\n%s", stdout)
	}
	to.use(func(s store.Store) {
		if page, err := s.List(t.Context(), "client", store.Query{}); err != nil || len(page) > 0 {
			t.Errorf("--check wrote %d clients, error %v", len(page), err)
		}
	})
	to.mustRun(from.read(file), "import", to.config, "-")
	for _, r := range [][2]string{{"keys", "openid-connect-keys"}, {"client", "gate"}, {"refresh", "family"}} {
		if got, want := to.stored(r[0], r[1]), from.stored(r[0], r[1]); got != want {
			t.Errorf("%s %s: got %s, want %s", r[0], r[1], got, want)
		}
	}
}

func TestExportKeepsFilesThatAreThere(t *testing.T) {
	p := newPlace(t)
	p.fill()
	file := filepath.Join(p.dir, "backup.jsonl")
	p.write(file, "precious")
	p.wantError("--force", "export", p.config, "--output", file)
	if got := p.read(file); got != "precious" {
		t.Errorf("the file holds %q", got)
	}
	p.mustRun("", "export", p.config, "--output", file, "--force")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || !strings.Contains(p.read(file), "gate") {
		t.Errorf("with --force the file holds %q", p.read(file))
	}
	p.wantError("no such file", "export", p.config, "--output", filepath.Join(p.dir, "none", "file"))
}

func TestAFailedExportLeavesNoFile(t *testing.T) {
	p := newPlace(t)
	p.fill()
	t.Setenv(sealed.KeyVariable, strings.Repeat("first", 7))
	p.mustRun("", "reseal", p.config)
	t.Setenv(sealed.KeyVariable, strings.Repeat("other", 7))
	file := filepath.Join(p.dir, "backup.jsonl")
	p.wantError("not among those given", "export", p.config, "--output", file)
	p.write(file, "precious")
	p.wantError("not among those given", "export", p.config, "--output", file, "--force")
	if names, err := filepath.Glob(file + "*"); err != nil || len(names) != 1 || p.read(file) != "precious" {
		t.Errorf("the folder has %q, error %v", names, err)
	}
}

func TestExportToStandardOutput(t *testing.T) {
	p := newPlace(t)
	p.fill()
	stdout, _ := p.mustRun("", "export", p.config, "-o", "-")
	if lines := strings.Count(stdout, "\n"); lines != 5 || !strings.Contains(stdout, secret) {
		t.Errorf("got %d lines:\n%s", lines, stdout)
	}
}

func TestSealedExport(t *testing.T) {
	from, to := newPlace(t), newPlace(t)
	from.fill()
	t.Setenv(sealed.KeyVariable, strings.Repeat("first", 7))
	stdout, stderr := from.mustRun("", "export", from.config, "-o", "-")
	if strings.Contains(stdout, secret) || strings.Contains(stderr, "not sealed") {
		t.Errorf("got\n%s\nand on standard error\n%s", stdout, stderr)
	}
	file := filepath.Join(from.dir, "sealed.jsonl")
	from.write(file, stdout)
	to.mustRun("", "import", to.config, file)
	if got := to.stored("keys", "openid-connect-keys"); strings.Contains(got, secret) {
		t.Errorf("the import is stored in clear: %s", got)
	}

	clearText, stderr := from.mustRun("", "export", from.config, "-o", "-", "--clear")
	if !strings.Contains(clearText, secret) || !strings.Contains(stderr, "not sealed") {
		t.Errorf("--clear: got\n%s\nand on standard error\n%s", clearText, stderr)
	}
	t.Setenv(sealed.KeyVariable, strings.Repeat("other", 7))
	other := newPlace(t)
	other.wantError("the storage is sealed with the key", "import", other.config, file)
}

func TestImportConflicts(t *testing.T) {
	from, to := newPlace(t), newPlace(t)
	from.fill()
	file := filepath.Join(from.dir, "backup.jsonl")
	from.mustRun("", "export", from.config, "--output", file)
	to.put("keys", "openid-connect-keys", `{"key":"of an accidental start"}`)
	to.wantError("made its own", "import", to.config, file)
	to.wantError("--overwrite", "import", to.config, file)
	to.wantError("differ", "import", to.config, file, "--check")
	if got := to.stored("keys", "openid-connect-keys"); !strings.Contains(got, "accidental") {
		t.Errorf("the keys became %s", got)
	}
	to.mustRun("", "import", to.config, file, "--overwrite")
	if got := to.stored("keys", "openid-connect-keys"); !strings.Contains(got, secret) {
		t.Errorf("with --overwrite the keys are %s", got)
	}
}

func TestReseal(t *testing.T) {
	p := newPlace(t)
	p.fill()
	p.wantError("no storage key is given", "reseal", p.config)
	first, second := strings.Repeat("first", 7), strings.Repeat("other", 7)
	for _, step := range []struct{ keys, want string }{
		{first, "resealed: 3, sealed with the first key already: 0"},
		{first, "resealed: 0, sealed with the first key already: 3"},
		{second + "," + first, "resealed: 3, sealed with the first key already: 0"},
		{second, "resealed: 0, sealed with the first key already: 3"},
	} {
		t.Setenv(sealed.KeyVariable, step.keys)
		if stdout, _ := p.mustRun("", "reseal", p.config); !strings.Contains(stdout, step.want) {
			t.Errorf("got %q, want %q", stdout, step.want)
		}
	}
	if got := p.stored("keys", "openid-connect-keys"); strings.Contains(got, secret) {
		t.Errorf("the keys are in clear: %s", got)
	}
}

func TestTransferMistakes(t *testing.T) {
	p := newPlace(t)
	p.wantError("only one of CONFIG and FILE", "import", "-", "-")
	p.wantError("no such file", "import", p.config, filepath.Join(p.dir, "none"))
	p.wantError("not an export", "import", p.config, p.config)
	p.write(p.config, "issuer: http://127.0.0.1:5556/dex\nstorage: {type: memory}\nweb: {http: 127.0.0.1:5556}\nenablePasswordDB: true\n")
	p.wantError("storage.type is memory", "export", p.config, "-o", "-")
	p.write(p.config, "issuer: nonsense\n")
	p.wantError("the configuration can't be used", "export", p.config, "-o", "-")
}
