package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// build builds a server's program in a separate module, in the folder of that name.
func (a *account) build(ctx context.Context, name string) (program string, err error) {
	folder, err := besideServers(name)
	if err != nil {
		return "", err
	}
	program = a.path(name)
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".") //nolint:gosec // G204: ours
	build.Dir = folder
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as in make test, so that its build is reused
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", build, err, out)
	}
	return program, a.own(program)
}
