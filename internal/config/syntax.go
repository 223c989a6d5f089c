package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

func (s Source) syntaxProblem(err error) Problem {
	p := Problem{File: s.Name, Line: s.line(1), Column: 1, Message: "not valid YAML"}
	at, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		return p
	}
	message, mark := syntaxMessage(at)
	p.Message += ": " + message
	if mark.Line > 0 {
		p.Message += s.unclosedQuote(message, mark.Line)
		p.Line, p.Column = s.line(mark.Line), max(mark.Column, 1)
	}
	return p
}

const aboveUnclosed = "a quote above that is closed too early, or isn't closed"

// syntaxMistakes has our wording for the parser's messages, by a part of them. If open is set, the mistake is where something
// was opened. Two of the parser's messages quote the file, and the text there may well be an unquoted password.
var syntaxMistakes = []struct {
	says, message string
	open          bool
}{
	{says: "unknown anchor", message: "a value that begins with * refers to an anchor, and there is none of that name; " +
		"write it in quotes if it is meant as text"},
	{says: "YAML tag", message: "a value that begins with ! is a tag, and this one has a character that no tag may have; " +
		"write it in quotes if it is meant as text"},
	{says: "cannot start any token", message: "this character cannot begin a value; text that begins with @, % or ` must be " +
		"in quotes, and lines must be indented with spaces, not tabs"},
	{says: "mapping values are not allowed", message: "this colon comes where no key can be: put text that has a colon and a space " +
		"in it into quotes, or look for a missing colon in the line above, and at the indentation"},
	{says: "could not find expected ':'", message: "there is no colon after this key, or a quote above isn't closed", open: true},
	{says: "did not find expected key", message: "this doesn't go with the lines above: look at its indentation, which must be " +
		"that of the other keys, and for " + aboveUnclosed},
	{says: "did not find expected '-'", message: "this doesn't go with the list above: its items begin with a dash, all of them " +
		"indented alike"},
	{says: "did not find expected node content", message: "there is no value here: look for a [ or { above that isn't closed, " +
		"and for a bracket, brace or comma too many"},
	{says: "block sequence entries are not allowed", message: "a list can't begin here: put the dash on a line of its own, below " +
		"the key"},
	{says: "did not find expected ',' or ']'", message: "this list isn't closed by a ], or a comma is missing in it", open: true},
	{says: "did not find expected ',' or '}'", message: "this mapping isn't closed by a }, or a comma is missing in it", open: true},
	{says: "unknown escape character", message: "a backslash in double quotes begins an escape, and there is none of this " +
		"name; write the text in single quotes"},
	{says: "tab", message: "lines must be indented with spaces, not tabs"},
	{says: "unexpected end of stream", message: "this quote isn't closed", open: true},
}

// unclosedQuote adds to a mistake which line to look at, if an unclosed quote above may be the cause.
func (s Source) unclosedQuote(message string, below int) string {
	if !strings.Contains(message, aboveUnclosed) {
		return ""
	}
	number := 0
	for line := range bytes.Lines(s.Data) {
		if number++; number >= below {
			break
		}
		quotes := bytes.Count(line, []byte{'"'}) - bytes.Count(line, []byte(`\"`))
		if quotes%2 != 0 && !bytes.HasPrefix(bytes.TrimSpace(line), []byte{'#'}) {
			return fmt.Sprintf(", such as the one on line %d", s.line(number))
		}
	}
	return ""
}

// syntaxMessage returns what is wrong, and where.
func syntaxMessage(err *yaml.LoadError) (string, yaml.Mark) {
	for _, m := range syntaxMistakes {
		if !strings.Contains(err.Message, m.says) {
			continue
		}
		if m.open && err.ContextMark.Line > 0 {
			return m.message, err.ContextMark
		}
		return m.message, err.Mark
	}
	if err.ContextMsg != "" {
		return err.ContextMsg + ": " + err.Message, err.Mark
	}
	return err.Message, err.Mark
}
