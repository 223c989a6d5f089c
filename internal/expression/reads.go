package expression

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

const groupsField = "groups"

// readsGroups reports whether an expression may read the user's groups. It doesn't if all that it takes of the identity are other fields,
// by constant names: a name that is computed may be any.
func readsGroups(compiled *cel.Ast) bool {
	isIdentity := func(e ast.NavigableExpr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == identityName }
	for _, found := range ast.MatchDescendants(ast.NavigateAST(compiled.NativeRep()), isIdentity) {
		if field, named := fieldOf(found); !named || field == groupsField {
			return true
		}
	}
	return false
}

// fieldOf returns the field that an expression takes of a value, which may be dyn() of it; false if it does anything else with it.
func fieldOf(value ast.NavigableExpr) (string, bool) {
	parent, has := value.Parent()
	if !has {
		return "", false
	}
	switch parent.Kind() { //nolint:exhaustive // the others take no field
	case ast.SelectKind:
		return parent.AsSelect().FieldName(), true
	case ast.CallKind:
		call := parent.AsCall()
		switch args := call.Args(); {
		case call.FunctionName() == "dyn":
			return fieldOf(parent)
		case call.FunctionName() == operators.Index && args[0].ID() == value.ID() && args[1].Kind() == ast.LiteralKind:
			name, isText := args[1].AsLiteral().(types.String)
			return string(name), isText
		}
	}
	return "", false
}
