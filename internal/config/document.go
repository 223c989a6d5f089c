package config

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
)

// parse returns the root of the first document of a file, nil where the file holds nothing. JSON needs no case of its
// own, because it is YAML.
func parse(file string, data []byte) (*yaml.Node, Problems) {
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return nil, Problems{syntaxProblem(file, err)}
	}
	var document, next yaml.Node
	if err := loader.Load(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, Problems{syntaxProblem(file, err)}
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

// secondDocument is the warning about what follows the first document, whether or not it can be parsed.
func secondDocument(file string, next *yaml.Node, err error) Problem {
	p := Problem{File: file, Line: next.Line, Column: next.Column}
	if err != nil {
		p = syntaxProblem(file, err)
	}
	p.Message = "only the first YAML document is read; what follows from here on is ignored"
	p.Warning = true
	return p
}

func syntaxProblem(file string, err error) Problem {
	p := Problem{File: file, Line: 1, Column: 1, Message: "not valid YAML"}
	var at *yaml.LoadError
	if !errors.As(err, &at) {
		return p
	}
	if at.Mark.Line > 0 {
		p.Line, p.Column = at.Mark.Line, max(at.Mark.Column, 1)
	}
	p.Message += ": " + syntaxMessage(at)
	return p
}

// syntaxMessage words what the parser has to say. Two of its messages quote the file, which at that place may well be a
// password that nobody put into quotes.
func syntaxMessage(err *yaml.LoadError) string {
	switch {
	case strings.Contains(err.Message, "unknown anchor"):
		return "a value that begins with * refers to an anchor, and there is none of that name; " +
			"write it in quotes if it is meant as text"
	case strings.Contains(err.Message, "YAML tag"):
		return "a value that begins with ! is a tag, and this one has a character that no tag may have; " +
			"write it in quotes if it is meant as text"
	case strings.Contains(err.Message, "cannot start any token"):
		return "this character cannot begin a value; text that begins with @, % or ` must be in quotes, and " +
			"lines must be indented with spaces, not tabs"
	case err.ContextMsg != "":
		return err.ContextMsg + ": " + err.Message
	default:
		return err.Message
	}
}
