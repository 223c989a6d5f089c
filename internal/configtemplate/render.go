// Package configtemplate renders configuration files that are templates, as those of container images are: Go's text/template,
// with the functions that such files use most, under the names and with the arguments that they have in gomplate. Nothing is
// written to a file, as what is rendered has secrets in it.
package configtemplate

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	"dex/internal/spelling"
)

// maxOutput bounds what a template may become, in bytes.
const maxOutput = 16 << 20

// An Output is what a template has become.
type Output struct {
	Text []byte
	// Lines has, for each line of Text, the line of the template that it comes from, counted from 1.
	Lines []int
}

// An Error is a mistake in a template.
type Error struct {
	Line, Column int // counted from 1; 0 if unknown
	Message      string
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

// name stands for the template in the messages of text/template, which begin with it.
const name = "config"

// Render renders a template with the variables of an environment, each of them NAME=VALUE. Its errors are of type *Error.
func Render(text string, environ []string) (*Output, error) {
	env := newEnvironment(environ)
	funcs := functions(env)
	root, err := template.New(name).Option("missingkey=error").Funcs(funcs).Parse(text)
	if err != nil {
		return nil, explain(err, funcs)
	}
	w := &writer{texts: map[*byte]int{}, lines: []int{1}, line: 1}
	for _, t := range root.Templates() {
		if err := inspect(t.Root, text, w.texts); err != nil {
			return nil, err
		}
	}
	if err := root.Execute(w, map[string]any{"Env": map[string]string(env)}); err != nil {
		return nil, explain(err, funcs)
	}
	return &Output{Text: w.out.Bytes(), Lines: w.lines}, nil
}

// inspect finds functions that a namespace doesn't have, also where the template isn't executed, and notes the line of each text
// under its first byte.
func inspect(root *parse.ListNode, source string, texts map[*byte]int) (mistake error) {
	walk(root, func(n parse.Node) {
		switch n := n.(type) {
		case *parse.TextNode:
			if len(n.Text) > 0 {
				line, _ := place(source, n.Pos)
				texts[&n.Text[0]] = line
			}
		case *parse.ChainNode:
			if message := unknownMember(n); message != "" && mistake == nil {
				line, column := place(source, n.Pos)
				mistake = &Error{line, column, message}
			}
		}
	})
	return mistake
}

func unknownMember(n *parse.ChainNode) string {
	space, ok := n.Node.(*parse.IdentifierNode)
	if !ok || namespaces[space.Ident] == nil || len(n.Field) == 0 {
		return ""
	}
	known := members[space.Ident]
	if slices.Contains(known, n.Field[0]) {
		return ""
	}
	return unknown(space.Ident+"."+n.Field[0], known)
}

func unknown(function string, known []string) string {
	message := fmt.Sprintf("there is no function %s in templates", function)
	if near, ok := spelling.Nearest(function, known); ok {
		return message + "; did you mean " + near + "?"
	}
	if space, member, ok := strings.Cut(function, "."); ok {
		if near, ok := spelling.Nearest(space+"."+member, qualified(space, known)); ok {
			return message + "; did you mean " + near + "?"
		}
		return fmt.Sprintf("%s; %s has %s", message, space, strings.Join(known, ", "))
	}
	return message + "; docs/container.md lists those that there are"
}

func qualified(space string, names []string) []string {
	whole := make([]string, len(names))
	for i, n := range names {
		whole[i] = space + "." + n
	}
	return whole
}

// place returns the line and the column of a byte of the template, counted from 1.
func place(source string, at parse.Pos) (line, column int) {
	before := source[:at]
	return 1 + strings.Count(before, "\n"), int(at) - strings.LastIndexByte(before, '\n')
}

var (
	position  = regexp.MustCompile(`(?s)^template: ` + name + `:(\d+)(?::(\d+))?: (?:executing "[^"]*" at )?(.*)$`)
	undefined = regexp.MustCompile(`function "(.*)" not defined`)
	unset     = regexp.MustCompile(`^<\$?\.Env\.[^>]*>: map has no entry for key "(.*)"$`)
	calling   = regexp.MustCompile(`(?s)^(<.*>): error calling [^:]*: (.*)$`)
)

// explain says in our words what text/template has found.
func explain(err error, funcs template.FuncMap) error {
	if errors.Is(err, errTooLong) {
		return &Error{Message: err.Error()}
	}
	found := position.FindStringSubmatch(err.Error())
	if found == nil {
		return &Error{Message: err.Error()}
	}
	e := &Error{Message: found[3]}
	e.Line, _ = strconv.Atoi(found[1]) // the pattern has digits only
	if found[2] != "" {
		e.Column, _ = strconv.Atoi(found[2])
		e.Column++ // it counts from 0
	}
	if said, ok := errors.AsType[refusal](err); ok {
		e.Message = string(said)
	} else if m := undefined.FindStringSubmatch(e.Message); m != nil {
		e.Message = unknown(m[1], slices.Sorted(maps.Keys(funcs)))
	} else if m := unset.FindStringSubmatch(e.Message); m != nil {
		e.Message = fmt.Sprintf(`the environment variable %s is not set; {{ getenv "%[1]s" "..." }} would have a default`, m[1])
	} else if m := calling.FindStringSubmatch(e.Message); m != nil {
		e.Message = m[1] + ": " + m[2]
	}
	return e
}
