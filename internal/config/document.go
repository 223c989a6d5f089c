package config

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v4"
)

// parse returns the root of the first document in a file, or nil if the file is empty. JSON needs no case of its own, because
// it is YAML.
func (s Source) parse() (*yaml.Node, Problems) {
	loader, err := yaml.NewLoader(bytes.NewReader(s.Data))
	if err != nil {
		return nil, Problems{s.syntaxProblem(err)}
	}
	var document, next yaml.Node
	if err := loader.Load(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, Problems{s.syntaxProblem(err)}
	}
	var found Problems
	if err := loader.Load(&next); !errors.Is(err, io.EOF) {
		found = append(found, s.secondDocument(&next, err))
	}
	if len(document.Content) == 0 || isNull(document.Content[0]) {
		return nil, found
	}
	s.place(document.Content[0])
	return document.Content[0], found
}

// secondDocument is the warning about anything after the first document, whether or not it can be parsed.
func (s Source) secondDocument(next *yaml.Node, err error) Problem {
	p := Problem{File: s.Name, Line: s.line(next.Line), Column: next.Column}
	if err != nil {
		p = s.syntaxProblem(err)
	}
	p.Message = "only the first YAML document is read; what follows from here on is ignored"
	p.Warning = true
	return p
}

// line returns the line of the file that a line of the text comes from.
func (s Source) line(number int) int {
	if number < 1 || number > len(s.Lines) {
		return number
	}
	return s.Lines[number-1]
}

// place gives a node and all in it the lines of the file. What an alias stands for has its place elsewhere.
func (s Source) place(n *yaml.Node) {
	if s.Lines == nil {
		return
	}
	n.Line = s.line(n.Line)
	for _, child := range n.Content {
		s.place(child)
	}
}
