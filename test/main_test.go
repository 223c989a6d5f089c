// Package e2e tests the programs as operators, applications and people in a browser use them: the real binaries, over real
// connections, with real files. Nothing is skipped: if something is missing on the machine, the tests that need it fail.
package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repository is the folder of the root module, seen from the folder in which tests run.
const repository = ".."

// releaseVersion is what the release binary calls itself.
const releaseVersion = "v0.0.0-e2e"

// binaries are the programs under test, built once from the current source.
var binaries struct {
	dex        string // with the race detector
	release    string // as shipped: static; for measurements
	exampleApp string // with the race detector
}

func TestMain(m *testing.M) {
	status, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "end-to-end tests:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

func buildAndRun(m *testing.M) (status int, err error) {
	dir, err := os.MkdirTemp("", "dex-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, pool.Close(), os.RemoveAll(dir)) }()
	if err := buildAll(dir); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

func buildAll(dir string) error {
	binaries.dex = filepath.Join(dir, "dex-race")
	binaries.release = filepath.Join(dir, "dex")
	binaries.exampleApp = filepath.Join(dir, "example-app")
	examples := filepath.Join(repository, "examples")

	racing := append([]string{"go", "build"}, strings.Fields(cmp.Or(os.Getenv("RACE"), "-race"))...) // as the Makefile says
	for _, build := range []struct {
		dir, env string
		command  []string
	}{
		{repository, "CGO_ENABLED=1", slices.Concat(racing, []string{"-o", binaries.dex, "./cmd/dex"})},
		{repository, "VERSION=" + releaseVersion, []string{"deploy/build.sh", dir, "dex"}},
		{examples, "CGO_ENABLED=1", slices.Concat(racing, []string{"-o", binaries.exampleApp, "./example-app"})},
	} {
		if err := run(build.dir, build.env, build.command...); err != nil {
			return err
		}
	}
	return nil
}

func goBuild(dir, env string, args ...string) error {
	return run(dir, env, append([]string{"go", "build"}, args...)...)
}

func run(dir, env string, command ...string) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}
