package configtemplate

import (
	"bytes"
	"errors"
	"text/template/parse"
)

var errTooLong = errors.New("the rendered configuration is larger than 16 MiB")

// A writer takes what a template writes, and notes which of its lines each line comes from. text/template hands over the
// template's own text as the parser has stored it, so the first byte tells which text it is; everything else is a value.
type writer struct {
	out   bytes.Buffer
	texts map[*byte]int // the line at which each text begins

	lines []int
	line  int // where the last text has ended
}

func (w *writer) Write(p []byte) (int, error) {
	if w.out.Len()+len(p) > maxOutput {
		return 0, errTooLong
	}
	if len(p) == 0 {
		return 0, nil
	}
	at, isText := w.texts[&p[0]]
	if isText {
		w.line = at
		if w.out.Len() == 0 || w.out.Bytes()[w.out.Len()-1] == '\n' {
			w.lines[len(w.lines)-1] = at
		}
	}
	for range bytes.Count(p, []byte{'\n'}) {
		if isText {
			w.line++
		}
		w.lines = append(w.lines, w.line)
	}
	return w.out.Write(p)
}

// walk visits a node and all below it.
func walk(n parse.Node, visit func(parse.Node)) {
	visit(n)
	for _, child := range children(n) {
		walk(child, visit)
	}
}

func children(n parse.Node) []parse.Node {
	switch n := n.(type) {
	case *parse.ListNode:
		return n.Nodes
	case *parse.ActionNode:
		return []parse.Node{n.Pipe}
	case *parse.IfNode:
		return branches(&n.BranchNode)
	case *parse.RangeNode:
		return branches(&n.BranchNode)
	case *parse.WithNode:
		return branches(&n.BranchNode)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			return []parse.Node{n.Pipe}
		}
	case *parse.PipeNode:
		commands := make([]parse.Node, len(n.Cmds))
		for i, c := range n.Cmds {
			commands[i] = c
		}
		return commands
	case *parse.CommandNode:
		return n.Args
	case *parse.ChainNode:
		return []parse.Node{n.Node}
	}
	return nil
}

func branches(n *parse.BranchNode) []parse.Node {
	below := []parse.Node{n.Pipe, n.List}
	if n.ElseList != nil {
		below = append(below, n.ElseList)
	}
	return below
}
