package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/configtemplate"
)

// maxConfig bounds the configuration file, in bytes.
const maxConfig = 16 << 20

// templateVariable says that the configuration file is a template. The entry point of the container image sets it.
const templateVariable = "DEX_CONFIG_TEMPLATE"

// readPlan reads and checks the configuration in a file, "-" standing for standard input.
func readPlan(file string, o config.Overrides, stdin io.Reader) (*app.Plan, config.Problems, error) {
	src, err := readConfig(file, stdin)
	if invalid, ok := errors.AsType[*config.InvalidError](err); ok {
		return nil, invalid.Problems, nil
	}
	if err != nil {
		return nil, nil, err
	}
	src.Overrides = o
	plan, problems := app.Check(src)
	return plan, problems, nil
}

// readConfig reads the configuration in a file. A mistake in a template is a *config.InvalidError.
func readConfig(file string, stdin io.Reader) (config.Source, error) {
	in, name := stdin, "<stdin>"
	if file != "-" {
		f, err := os.Open(file) //nolint:gosec // the operator names it
		if err != nil {
			return config.Source{}, fmt.Errorf("read configuration: %w", err)
		}
		defer f.Close() //nolint:errcheck // nothing was written
		in, name = f, file
	}
	data, err := io.ReadAll(io.LimitReader(in, maxConfig+1))
	if err != nil {
		return config.Source{}, fmt.Errorf("read configuration: %w", err)
	}
	if len(data) > maxConfig {
		return config.Source{}, fmt.Errorf("configuration %s is larger than %d bytes", name, maxConfig)
	}
	src := config.Source{Name: name, Data: data, Env: config.OS}
	template, err := isTemplate(file)
	if err != nil || !template {
		return src, err
	}
	return rendered(src)
}

// isTemplate reports whether a configuration file is to be rendered.
func isTemplate(file string) (bool, error) {
	word := os.Getenv(templateVariable)
	if word == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(word)
	if err != nil {
		return false, fmt.Errorf("environment: %s: must be true or false", templateVariable)
	}
	return on && slices.Contains([]string{".yaml", ".yml", ".tmpl", ".tpl"}, filepath.Ext(file)), nil
}

// rendered returns what a template becomes, in memory only: the result has secrets in it.
func rendered(src config.Source) (config.Source, error) {
	out, err := configtemplate.Render(string(src.Data), os.Environ())
	if mistake, ok := errors.AsType[*configtemplate.Error](err); ok {
		return config.Source{}, &config.InvalidError{Problems: config.Problems{{
			File: src.Name, Line: mistake.Line, Column: max(mistake.Column, 1), Message: mistake.Message,
		}}}
	}
	if err != nil {
		return config.Source{}, err
	}
	src.Data, src.Lines = out.Text, out.Lines
	return src, nil
}
