package main

import (
	"io"

	"dex/internal/app"
	"dex/internal/config"
)

// readPlan reads and checks the configuration in a file, "-" standing for standard input.
func readPlan(file string, stdin io.Reader) (*app.Plan, config.Problems, error) {
	found, err := app.Input{File: file, Stdin: stdin}.Read()
	return found.Plan, found.Problems, err
}
