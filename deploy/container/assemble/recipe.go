package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// A recipe is a Dockerfile.
type recipe struct {
	stages []instructions.Stage
	// what the build doesn't see of the repository, from the file beside it that ends in .dockerignore
	ignored *patternmatcher.PatternMatcher
}

func readRecipe(file string) (*recipe, error) {
	text, err := os.ReadFile(file) //nolint:gosec // it is named on the command line
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(parsed.Warnings) > 0 {
		return nil, fmt.Errorf("%s: %s", file, parsed.Warnings[0].Short)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if last := stages[len(stages)-1]; last.BaseName != "scratch" {
		return nil, fmt.Errorf("%s: the last stage begins from %s, and must from scratch", file, last.BaseName)
	}
	ignored, err := readIgnored(file + ".dockerignore")
	if err != nil {
		return nil, err
	}
	return &recipe{stages, ignored}, nil
}

func readIgnored(file string) (*patternmatcher.PatternMatcher, error) {
	text, err := os.ReadFile(file) //nolint:gosec // beside the recipe
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	patterns, err := ignorefile.ReadAll(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return patternmatcher.New(patterns)
}

// variables are the ARGs and ENVs that an instruction sees.
type variables map[string]string

// Get and Keys make them what the parser's own substitution reads.
func (v variables) Get(name string) (string, bool) {
	value, ok := v[name]
	return value, ok
}

func (v variables) Keys() []string { return slices.Sorted(maps.Keys(v)) }

// expand replaces $NAME and ${NAME} in a word.
func (v variables) expand(word string) (string, error) {
	result, err := shell.NewLex('\\').ProcessWordWithMatches(word, v)
	return result.Result, err
}

// declare gives ARGs their values: from the command line or the platform, or their defaults.
func (v variables) declare(args []instructions.KeyValuePairOptional, given map[string]string) error {
	for _, arg := range args {
		if value, ok := given[arg.Key]; ok {
			v[arg.Key] = value
			continue
		}
		if arg.Value == nil {
			if _, ok := v[arg.Key]; !ok {
				v[arg.Key] = ""
			}
			continue
		}
		value, err := v.expand(*arg.Value)
		if err != nil {
			return err
		}
		v[arg.Key] = value
	}
	return nil
}
