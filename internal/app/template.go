package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"dex/internal/config"
	"dex/internal/configtemplate"
)

// templateVariable says that the configuration file is a template. The entry point of the container image sets it.
const templateVariable = "DEX_CONFIG_TEMPLATE"

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
		return src, &config.InvalidError{Problems: config.Problems{{
			File: src.Name, Line: mistake.Line, Column: max(mistake.Column, 1), Message: mistake.Message,
		}}}
	}
	if err != nil {
		return src, err
	}
	src.Data, src.Lines = out.Text, out.Lines
	return src, nil
}
