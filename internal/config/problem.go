package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is something wrong with the configuration. It never quotes a secret.
type Problem struct {
	File    string // the name of the file, or "environment" or "command line"
	Line    int    // counted from 1; 0 where there is no line to point to
	Column  int    // counted from 1, in characters
	Key     string // the setting, as in connectors[1].config.host; empty for the file as a whole
	Message string // what is wrong, and what would be right
	Warning bool   // the configuration can be used anyway
	// Consequence is what serve does instead of stopping, such as leaving out a connector; empty if it does stop, or for a
	// plain warning. A problem with a consequence is an error for dex check.
	Consequence string
}

// IsError reports whether a configuration with the problem should not be used.
func (p Problem) IsError() bool { return !p.Warning || p.Consequence != "" }

// String returns file:line:column: key: message, without the parts that are not known.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	if p.Consequence != "" {
		b.WriteString("; " + p.Consequence)
	}
	return b.String()
}

// Problems is everything that was found wrong, errors and warnings together, in the order of the file.
type Problems []Problem

// HasErrors reports whether there are errors, even if the server could start in spite of them.
func (p Problems) HasErrors() bool {
	return slices.ContainsFunc(p, Problem.IsError)
}

// Fatal reports whether there is an error that the server can't start with.
func (p Problems) Fatal() bool {
	return slices.ContainsFunc(p, func(q Problem) bool { return !q.Warning && q.Consequence == "" })
}

// Errors returns the problems that are errors.
func (p Problems) Errors() Problems {
	return slices.DeleteFunc(slices.Clone(p), func(q Problem) bool { return !q.IsError() })
}

// An InvalidError is why something can't be used. Its text has one line for each problem.
type InvalidError struct{ Problems Problems }

func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns an *InvalidError with the problems that aren't warnings, or nil.
func (p Problems) Err() error {
	mistakes := slices.DeleteFunc(slices.Clone(p), func(q Problem) bool { return q.Warning })
	if len(mistakes) == 0 {
		return nil
	}
	return &InvalidError{mistakes}
}

// InOrder sorts by position and removes duplicates, such as problems of a mapping that is merged into several others.
func (p Problems) InOrder() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.File, b.File),
			cmp.Compare(a.Key, b.Key), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(p)
}

// A position is a place in the file; the zero position is unknown.
type position struct{ line, column int }
