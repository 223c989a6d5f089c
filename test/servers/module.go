package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// build builds a server's program in a separate module, in the folder of that name.
func (a *account) build(ctx context.Context, name string) (program string, err error) {
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "dex/test").Output()
	if err != nil {
		return "", fmt.Errorf("find the program: %w", err)
	}
	program = a.path(name)
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".") //nolint:gosec // G204: ours
	build.Dir = filepath.Join(strings.TrimSpace(string(module)), "servers", name)
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as in make test, so that its build is reused
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", build, err, out)
	}
	return program, a.own(program)
}
