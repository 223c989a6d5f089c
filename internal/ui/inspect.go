package ui

import "text/template/parse"

// inspect visits every node of a template.
func inspect(tree *parse.Tree, visit func(parse.Node)) {
	if tree != nil {
		inspectList(tree.Root, visit)
	}
}

func inspectList(list *parse.ListNode, visit func(parse.Node)) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		visit(n)
		switch n := n.(type) {
		case *parse.ActionNode:
			inspectPipe(n.Pipe, visit)
		case *parse.TemplateNode:
			inspectPipe(n.Pipe, visit)
		case *parse.IfNode:
			inspectBranch(&n.BranchNode, visit)
		case *parse.RangeNode:
			inspectBranch(&n.BranchNode, visit)
		case *parse.WithNode:
			inspectBranch(&n.BranchNode, visit)
		}
	}
}

func inspectBranch(n *parse.BranchNode, visit func(parse.Node)) {
	inspectPipe(n.Pipe, visit)
	inspectList(n.List, visit)
	inspectList(n.ElseList, visit)
}

func inspectPipe(pipe *parse.PipeNode, visit func(parse.Node)) {
	if pipe == nil {
		return
	}
	for _, command := range pipe.Cmds {
		for _, arg := range command.Args {
			visit(arg)
			if chain, ok := arg.(*parse.ChainNode); ok {
				arg = chain.Node
			}
			if nested, ok := arg.(*parse.PipeNode); ok {
				inspectPipe(nested, visit)
			}
		}
	}
}
