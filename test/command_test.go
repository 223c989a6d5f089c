package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// An outcome is the output and status of a command.
type outcome struct {
	status         int
	stdout, stderr string
}

// runDex runs a command of the release to its end.
func runDex(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binaries.release, args...)
	cmd.Env = cleanEnvironment()
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatalf("run dex %v: %v", args, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func (o outcome) want(t *testing.T, status int) {
	t.Helper()
	if o.status != status {
		t.Errorf("exit status %d, want %d\nstdout: %s\nstderr: %s", o.status, status, o.stdout, o.stderr)
	}
}

// flawedConfiguration has a mistake in each of the places checked below.
const flawedConfiguration = `issuer: http://127.0.0.1:5556/dex
storage:
  type: sqlite4
web:
  http: 127.0.0.1:5556
expiry:
  idTokens: tomorrow
staticClients:
- id: app
  name: App
  redirectURIs: [ "http://127.0.0.1:5555/callback" ]
connectors:
- type: telepathy
  id: mind
  name: Mind
`

var flaws = []string{
	`:3:9: storage\.type: `,
	`:7:13: expiry\.idTokens: `,
	`:9:\d+: staticClients\[0\]\.secret: `,
	`:13:9: connectors\[0\]\.type: `,
}

func TestCheckReportsEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	file := writeFile(t, t.TempDir(), "flawed.yaml", flawedConfiguration)
	for name, run := range map[string]struct {
		out  outcome
		file string
	}{
		"file":           {runDex(t, "", "check", file), file},
		"standard input": {runDex(t, flawedConfiguration, "check", "-"), "<stdin>"},
	} {
		run.out.want(t, 2)
		for _, flaw := range flaws {
			line := regexp.MustCompile(`(?m)^error: ` + regexp.QuoteMeta(run.file) + flaw + `\S`)
			if !line.MatchString(run.out.stdout) {
				t.Errorf("%s: no line matches %s in:\n%s", name, line, run.out.stdout)
			}
		}
	}
}

func TestCheckPassesWhatCanBeUsed(t *testing.T) {
	t.Parallel()
	for _, file := range []string{newConfiguration(t).write(t), filepath.Join(repository, "config.dev.yaml")} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, out := range map[string]outcome{
			// The folder of the development database is made by make run.
			file:            runDex(t, "", "check", "--no-files", file),
			file + " piped": runDex(t, string(text), "check", "--no-files", "-"),
		} {
			out.want(t, 0)
			if strings.Contains(out.stdout+out.stderr, "error: ") {
				t.Errorf("%s: %s%s", name, out.stdout, out.stderr)
			}
		}
	}
}

func TestCheckOfAFileThatIsNotThere(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	out := runDex(t, "", "check", missing)
	out.want(t, 2)
	if !strings.Contains(out.stderr, missing) {
		t.Errorf("the message does not name the file: %s", out.stderr)
	}
}

// TestServeRefusesBeforeItTouchesAnything shows that a mistake anywhere leaves no trace of the start.
func TestServeRefusesBeforeItTouchesAnything(t *testing.T) {
	t.Parallel()
	c := newConfiguration(t).with("expiry", section{"idTokens": "tomorrow"})
	out := runDex(t, "", "serve", c.write(t))
	out.want(t, 2)
	if !strings.Contains(out.stderr, "expiry.idTokens") {
		t.Errorf("the message does not name the setting: %s", out.stderr)
	}
	if _, err := os.Stat(c.database); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the database was touched: %v", err)
	}
}

func TestServeSaysWhyItCannotListen(t *testing.T) {
	t.Parallel()
	d := startDex(t, newConfiguration(t))
	second := *d.configuration
	out := runDex(t, "", "serve", second.write(t))
	out.want(t, 2)
	if !strings.Contains(out.stderr, "telemetry.http") || !strings.Contains(out.stderr, "address already in use") {
		t.Errorf("the message names neither the setting nor the reason: %s", out.stderr)
	}
}

func TestServeReadsStandardInputAndFlags(t *testing.T) {
	t.Parallel()
	c := newConfiguration(t)
	web, telemetry := freeAddress(t), freeAddress(t)
	text, err := os.ReadFile(c.write(t))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binaries.dex, "serve", "-", "--web-http-addr", web, "--telemetry-addr="+telemetry)
	cmd.Stdin = bytes.NewReader(text)
	transport := newTransport(nil)
	c.withIssuer("http://" + web + "/dex") // where it is to be found; what it was told is in the text
	c.telemetry = "http://" + telemetry
	d := &dex{process: startCommand(t, "dex", cmd), configuration: c, transport: transport}
	t.Cleanup(transport.CloseIdleConnections)
	d.waitReady(t)
	if goroutines := d.metric(t, "go_goroutines"); goroutines < 1 {
		t.Errorf("%v goroutines", goroutines)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	out := runDex(t, "", "version")
	out.want(t, 0)
	lines := regexp.MustCompile(`^Dex Version: ` + regexp.QuoteMeta(releaseVersion) +
		`\nGo Version: go1\.\S+\nGo OS/ARCH: linux \w+\n$`)
	if !lines.MatchString(out.stdout) {
		t.Errorf("the version is:\n%s", out.stdout)
	}
}

func TestWithoutACommandThereIsHelp(t *testing.T) {
	t.Parallel()
	out := runDex(t, "")
	out.want(t, 2)
	for _, command := range []string{"serve", "check", "hash-password", "version"} {
		if !strings.Contains(out.stdout, command) {
			t.Errorf("the help does not name %s:\n%s", command, out.stdout)
		}
	}
	if out.stderr != "" {
		t.Errorf("on standard error: %s", out.stderr)
	}
}

func TestUnknownCommandsAndFlagsAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"conquer"}, {"serve"}, {"serve", "--colour", "blue", "x"}, {"check"}, {"check", "a", "b"}} {
		out := runDex(t, "", args...)
		out.want(t, 2)
		if out.stderr == "" {
			t.Errorf("dex %s: nothing on standard error", strings.Join(args, " "))
		}
	}
}
