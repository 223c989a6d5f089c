package config

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v4"
)

// parse returns the root of the first document in a file, or nil if the file is empty. JSON needs no case of its own, because
// it is YAML.
func parse(file string, data []byte) (*yaml.Node, Problems) {
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return nil, Problems{syntaxProblem(file, err)}
	}
	var document, next yaml.Node
	if err := loader.Load(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, Problems{pointToQuote(syntaxProblem(file, err), data)}
	}
	var found Problems
	if err := loader.Load(&next); !errors.Is(err, io.EOF) {
		found = append(found, secondDocument(file, &next, err))
	}
	if len(document.Content) == 0 || isNull(document.Content[0]) {
		return nil, found
	}
	return document.Content[0], found
}

// secondDocument is the warning about anything after the first document, whether or not it can be parsed.
func secondDocument(file string, next *yaml.Node, err error) Problem {
	p := Problem{File: file, Line: next.Line, Column: next.Column}
	if err != nil {
		p = syntaxProblem(file, err)
	}
	p.Message = "only the first YAML document is read; what follows from here on is ignored"
	p.Warning = true
	return p
}
