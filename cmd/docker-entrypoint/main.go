// Command docker-entrypoint is the entry point of the container image. It replaces itself with the program that it is given.
// For dex, configuration files are then templates, which dex renders in memory, again at each reload.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const (
	// templateVariable makes dex render its configuration file. A value that the operator gives stays.
	templateVariable = "DEX_CONFIG_TEMPLATE"
	// configFolder is where a relative name of a configuration file may be too.
	configFolder = "/etc/dex"
)

// The exit statuses of shells and container engines for a program that can't be started.
const (
	exitUsage         = 1
	exitNotExecutable = 126
	exitNotFound      = 127
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "docker-entrypoint: no program is given; the image's own command is: dex serve /etc/dex/config.docker.yaml")
		os.Exit(exitUsage)
	}
	err := run(os.Args[1:], os.Environ())
	fmt.Fprintln(os.Stderr, "docker-entrypoint:", err)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		os.Exit(exitNotFound)
	}
	os.Exit(exitNotExecutable)
}

// run replaces this process, and returns only if that fails.
func run(command, environ []string) error {
	program, err := exec.LookPath(command[0])
	if err != nil {
		return notFound(command, err)
	}
	if isDex(program) {
		environ = withTemplates(environ)
		command = withWholeName(command)
	}
	return fmt.Errorf("start %s: %w", program, syscall.Exec(program, command, environ)) //nolint:gosec // starting it is what this is for
}

// notFound guesses that dex has been left out, as in: docker run IMAGE serve FILE.
func notFound(command []string, err error) error {
	if !errors.Is(err, exec.ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w; commands of dex begin with dex: dex %s", err, strings.Join(command, " "))
}

// isDex reports whether a program is the dex that stands in PATH.
func isDex(program string) bool {
	dex, err := exec.LookPath("dex")
	return err == nil && program == dex
}

func withTemplates(environ []string) []string {
	if value, ok := os.LookupEnv(templateVariable); ok && value != "" {
		return environ
	}
	return append(slices.Clone(environ), templateVariable+"=true")
}

// withWholeName completes the relative name of a configuration file that is in the folder of the configuration and not here.
func withWholeName(command []string) []string {
	command = slices.Clone(command)
	for i, argument := range command {
		if i < 2 || strings.HasPrefix(argument, "-") || filepath.IsAbs(argument) || exists(argument) {
			continue
		}
		switch filepath.Ext(argument) {
		case ".yaml", ".yml", ".tmpl", ".tpl":
			if whole := filepath.Join(configFolder, argument); exists(whole) {
				command[i] = whole
			}
		}
	}
	return command
}

func exists(file string) bool {
	_, err := os.Stat(file) //nolint:gosec // the operator names it
	return err == nil
}
