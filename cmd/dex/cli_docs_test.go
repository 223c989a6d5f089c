package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dex/internal/admin/remote"
)

// asProgram in the environment makes the tests' program the command dex.
const asProgram = "DEX_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A shell runs scripts with dex among its programs, in a folder of its own.
type shell struct {
	*testing.T
	dir string
	env []string
}

func newShell(t *testing.T) *shell {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{T: t, dir: t.TempDir()}
	s.write("bin/dex", "#!/bin/sh\n"+asProgram+"=1 exec '"+self+"' \"$@\"\n", 0o700)
	s.env = []string{"PATH=" + s.dir + "/bin:" + os.Getenv("PATH"), "HOME=" + s.dir}
	return s
}

func (s *shell) write(name, text string, mode os.FileMode) {
	s.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		s.Fatal(err)
	}
}

func (s *shell) command(ctx context.Context, script string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-euc", script)
	cmd.Dir, cmd.Env = s.dir, s.env
	return cmd
}

// run runs a script and returns what it prints on standard output.
func (s *shell) run(script string) string {
	s.Helper()
	var out, errs strings.Builder
	cmd := s.command(s.Context(), script)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		s.Fatalf("%s\n%v\n%s%s", script, err, out.String(), errs.String())
	}
	return out.String()
}

// serve runs the server with config.yaml until the end of the test.
func (s *shell) serve() {
	s.Helper()
	ctx, stop := context.WithCancel(s.Context())
	cmd := s.command(ctx, "exec dex serve config.yaml")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = s.Output()
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.Cleanup(func() {
		stop()
		<-ended //nolint:errcheck // it was interrupted
	})
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if _, err := os.Stat(filepath.Join(s.dir, "admin.sock")); err == nil {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err
			s.Fatalf("the server has ended: %v", err)
		}
	}
}

// block matches the code blocks of a page: language and text.
var block = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

// docs/cli.md is run as printed, by one shell after the other, against a server. Texts after a script are what it prints.
func TestTheCommandsOfTheGuide(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	s := newShell(t)
	s.write("config.yaml", "issuer: http://127.0.0.1:5556/dex\nstorage: {type: sqlite3, config: {file: dex.db}}\nweb: {http: '127.0.0.1:0'}\n"+
		"enablePasswordDB: true\nsessions: {}\napi: {addr: 'unix://"+s.dir+"/admin.sock', adminTokens: true}\n", 0o600)
	s.serve()
	var yamls []string
	printed, scripts := "", 0
	for _, b := range block.FindAllStringSubmatch(string(page), -1) {
		switch language, text := b[1], strings.ReplaceAll(b[2], "unix:///run/dex/", "unix://"+s.dir+"/"); language {
		case "sh":
			printed = s.run(text)
			if scripts++; scripts == 1 {
				s.env = append(s.env, "DEX_API_SERVER=unix://"+s.dir+"/admin.sock", "DEX_API_TOKEN_FILE=token")
			}
		case "text":
			if !strings.HasSuffix(printed, text) {
				t.Errorf("the guide prints\n%s\nand dex\n%s", text, printed)
			}
		case "yaml":
			yamls = append(yamls, text)
			s.write("apps.yaml", text, 0o600)
		}
	}
	if scripts < 8 || len(yamls) != 2 {
		t.Errorf("%d scripts, %d files", scripts, len(yamls))
	}
	s.write(".config/dex/config.yaml", yamls[0], 0o600)
	got, err := remote.Resolve(remote.Settings{}, func(name string) (string, bool) {
		return map[string]string{"HOME": s.dir}[name], name == "HOME"
	})
	if err != nil || got.Server != "https://dex.example.com:5559" || got.TokenFile != s.dir+"/.config/dex/token" {
		t.Errorf("got %+v, %v", got, err)
	}
	s.run("test $(wc -l < token) = 1; test -s secret; test -s new-secret")
}

// Scripts tell failures apart by the exit status of the program itself.
func TestTheProgramsExitStatus(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.run(`expect() { want=$1; shift; got=0; "$@" 2>/dev/null || got=$?; test $got = $want || { echo "$*: $got, not $want" >&2; exit 1; }; }
expect 2 dex client list
expect 2 dex client get
expect 6 dex client list --server unix:///none/such
expect 2 dex admin token list --config none.yaml
expect 2 dex check none.yaml`)
}
