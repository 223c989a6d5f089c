package expression

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// A turn of a loop takes the time of many operations, and the library counts none of it. So the condition of each loop is wrapped in a
// call that does nothing and has a price, in the estimate as well as in the evaluation. Expressions can't name it.
const (
	turnFunction = "@turn"
	turnOverload = "dex_turn"
	turnCost     = 80
)

func turn() cel.EnvOption {
	return cel.Function(turnFunction, cel.Overload(turnOverload, []*cel.Type{cel.BoolType}, cel.BoolType,
		cel.UnaryBinding(func(condition ref.Val) ref.Val { return condition })))
}

// linear are the functions whose cost is in proportion to their arguments, which have bounds.
var linear = map[string]bool{
	operators.LogicalAnd: true, operators.LogicalOr: true, operators.LogicalNot: true, operators.Conditional: true,
	operators.Equals: true, operators.NotEquals: true, operators.In: true, operators.Index: true, operators.Add: true,
	operators.Less: true, operators.LessEquals: true, operators.Greater: true, operators.GreaterEquals: true,
	"startsWith": true, "endsWith": true, "contains": true, "size": true,
	"dex.emailDomain": true, "dex.emailLocalPart": true, "dex.groupMatches": true, "dex.groupFilter": true,
}

// maxUncounted is how many calls of linear functions can't come near to what an expression may cost.
const maxUncounted = 50

// A shape is what an expression is made of.
type shape struct {
	loops bool
	other bool // has calls whose cost has no bound before they are made
	calls int
}

// counted reports whether the cost of an expression has to be counted while it is evaluated.
func (s shape) counted() bool { return s.loops || s.other || s.calls > maxUncounted }

// prepare puts the price on turns of loops. It refuses objects that an expression makes, as nothing takes them.
func prepare(compiled *cel.Ast) (shape, error) {
	checked, is := compiled.NativeRep(), shape{}
	var err error
	next := ast.MaxID(checked)
	fac := ast.NewExprFactory()
	ast.PostOrderVisit(checked.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() { //nolint:exhaustive // the others cost what they cost
		case ast.CallKind:
			is.calls++
			is.other = is.other || !linear[e.AsCall().FunctionName()]
		case ast.StructKind:
			at := checked.SourceInfo().GetStartLocation(e.ID())
			err = invalidAt(at, "makes an object of the type "+e.AsStruct().TypeName()+", which nothing here takes")
		case ast.ComprehensionKind:
			is.loops = true
			loop := e.AsComprehension()
			if loop.LoopCondition().Kind() == ast.LiteralKind && loop.LoopCondition().AsLiteral() == types.False {
				return // makes no turns: it only gives a value a name
			}
			next++
			condition := fac.NewCall(next, turnFunction, loop.LoopCondition())
			checked.SetType(next, types.BoolType)
			checked.SetReference(next, ast.NewFunctionReference(turnOverload))
			e.SetKindCase(fac.NewComprehensionTwoVar(e.ID(), loop.IterRange(), loop.IterVar(), loop.IterVar2(), loop.AccuVar(),
				loop.AccuInit(), condition, loop.LoopStep(), loop.Result()))
		}
	}))
	return is, err
}

func invalidAt(at common.Location, message string) *Invalid {
	return &Invalid{Line: max(at.Line(), 1), Column: max(at.Column()+1, 1), Message: message}
}
