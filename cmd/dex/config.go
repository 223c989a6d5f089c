package main

import (
	"fmt"
	"io"
	"os"

	"dex/internal/app"
	"dex/internal/config"
)

// maxConfig bounds the configuration file, in bytes.
const maxConfig = 16 << 20

// readPlan reads and checks the configuration in a file, "-" standing for standard input.
func readPlan(file string, o config.Overrides, stdin io.Reader) (*app.Plan, config.Problems, error) {
	data, name, err := readConfig(file, stdin)
	if err != nil {
		return nil, nil, err
	}
	plan, problems := app.Check(config.Source{Name: name, Data: data, Env: config.OS, Overrides: o})
	return plan, problems, nil
}

func readConfig(file string, stdin io.Reader) (data []byte, name string, err error) {
	in, name := stdin, "<stdin>"
	if file != "-" {
		f, err := os.Open(file) //nolint:gosec // the operator names it
		if err != nil {
			return nil, "", fmt.Errorf("read configuration: %w", err)
		}
		defer f.Close() //nolint:errcheck // nothing was written
		in, name = f, file
	}
	data, err = io.ReadAll(io.LimitReader(in, maxConfig+1))
	if err != nil {
		return nil, "", fmt.Errorf("read configuration: %w", err)
	}
	if len(data) > maxConfig {
		return nil, "", fmt.Errorf("configuration %s is larger than %d bytes", name, maxConfig)
	}
	return data, name, nil
}
