package expression

import (
	"errors"
	"regexp/syntax"
	"slices"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// The library's own operators can't be bound anew, and a call can't be interrupted. So arguments on which one call could work for long are
// wrapped in a call of ours that refuses them. Expressions can't name these.
const (
	// flatFunction refuses values with too much in them: a list may have the same list in it many times over, so that comparing two
	// goes through far more than there is in the memory.
	flatFunction = "@flat"
	flatOverload = "dex_flat"
	// searchedFunction does so for what in looks into; of a map it takes one key.
	searchedFunction = "@searched"
	searchedOverload = "dex_searched"
	// briefFunction refuses texts that are too long for a regular expression.
	briefFunction = "@brief"
	briefOverload = "dex_brief"
)

// maxMatched bounds a text that a regular expression looks at, in bytes: at worst each byte meets each of its maxRegexp instructions.
const maxMatched = 4 << 10

var errTooLongToMatch = errors.New("a text is too long for a regular expression: it may have 4096 bytes")

func wrappers() []cel.EnvOption {
	anything := cel.TypeParamType("A")
	return []cel.EnvOption{
		cel.Function(flatFunction, cel.Overload(flatOverload, []*cel.Type{anything}, anything, cel.UnaryBinding(boundAll))),
		cel.Function(searchedFunction, cel.Overload(searchedOverload, []*cel.Type{anything}, anything, cel.UnaryBinding(boundSearched))),
		cel.Function(briefFunction, cel.Overload(briefOverload, []*cel.Type{cel.StringType}, cel.StringType, cel.UnaryBinding(boundMatched))),
	}
}

func boundAll(value ref.Val) ref.Val {
	if countAll(value) > maxItems {
		return types.WrapErr(errTooMuch)
	}
	return value
}

func boundSearched(value ref.Val) ref.Val {
	if _, ok := value.(traits.Mapper); ok {
		return value
	}
	return boundAll(value)
}

func boundMatched(value ref.Val) ref.Val {
	if len(textOf(value)) > maxMatched {
		return types.WrapErr(errTooLongToMatch)
	}
	return value
}

// wrapArguments wraps the arguments of comparisons and of regular expressions. It comes after the estimate, which knows nothing of it.
func wrapArguments(compiled *cel.Ast) {
	checked := compiled.NativeRep()
	next, fac := ast.MaxID(checked), ast.NewExprFactory()
	wrap := func(e ast.Expr, function, overload string) ast.Expr {
		next++
		checked.SetType(next, checked.GetType(e.ID()))
		checked.SetReference(next, ast.NewFunctionReference(overload))
		return fac.NewCall(next, function, e)
	}
	ast.PostOrderVisit(checked.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			return
		}
		call := e.AsCall()
		switch name, args := call.FunctionName(), call.Args(); {
		case name == operators.Equals || name == operators.NotEquals || name == operators.In:
			wrapped := slices.Clone(args)
			for i, arg := range args {
				if bound := boundOf(checked.GetType(arg.ID()), name == operators.In && i == 1); bound != nil {
					wrapped[i] = wrap(arg, bound[0], bound[1])
				}
			}
			e.SetKindCase(fac.NewCall(e.ID(), name, wrapped...))
		case name == "matches" && call.IsMemberFunction():
			e.SetKindCase(fac.NewMemberCall(e.ID(), name, wrap(call.Target(), briefFunction, briefOverload), args...))
		case name == "matches" && len(args) > 0:
			e.SetKindCase(fac.NewCall(e.ID(), name, append([]ast.Expr{wrap(args[0], briefFunction, briefOverload)}, args[1:]...)...))
		}
	}))
}

// boundOf returns the function that bounds an argument of a comparison of a type, and its overload; nil where it needs none.
func boundOf(is *cel.Type, searched bool) []string {
	switch {
	case !mayNest(is) || searched && is.Kind() == types.MapKind:
		return nil
	case searched:
		return []string{searchedFunction, searchedOverload}
	}
	return []string{flatFunction, flatOverload}
}

// mayNest reports whether values of a type may have lists or maps within them. A list of texts is no longer than what it was made of.
func mayNest(is *cel.Type) bool {
	switch is.Kind() { //nolint:exhaustive // the others are single values
	case types.ListKind, types.MapKind:
		for _, inside := range is.Parameters() {
			if inside.Kind() == types.ListKind || mayNest(inside) {
				return true
			}
		}
		return is.Kind() == types.MapKind
	case types.DynKind, types.AnyKind, types.TypeParamKind, types.OpaqueKind:
		return true
	}
	return false
}

// countAll returns how many values there are within a value, each as often as comparing it meets it. It stops counting above maxItems.
func countAll(value ref.Val) uint64 {
	room := maxItems + 1
	countInto(value, &room)
	return uint64(maxItems + 1 - room)
}

// countInto takes the values within a value from room, until there is none left.
func countInto(value ref.Val, room *int) {
	inside := func(item ref.Val) {
		*room--
		countInto(item, room)
	}
	switch v := value.(type) {
	case *texts:
		*room -= min(len(v.all), *room)
	case traits.Mapper:
		for each := v.Iterator(); *room > 0 && each.HasNext() == types.True; {
			inside(v.Get(each.Next()))
		}
	case traits.Lister:
		for each := v.Iterator(); *room > 0 && each.HasNext() == types.True; {
			inside(each.Next())
		}
	}
}

// instructions remembers how many instructions the programs of regular expressions have.
var instructions struct {
	sync.Mutex
	of map[string]uint64
}

// instructionsOf returns how many instructions a regular expression has; maxRegexp if it is none.
func instructionsOf(pattern string) uint64 {
	instructions.Lock()
	defer instructions.Unlock()
	if n, known := instructions.of[pattern]; known {
		return n
	}
	if len(instructions.of) >= maxPatterns || instructions.of == nil {
		instructions.of = make(map[string]uint64)
	}
	n := uint64(maxRegexp)
	if parsed, err := syntax.Parse(pattern, syntax.Perl); err == nil {
		if program, err := syntax.Compile(parsed.Simplify()); err == nil {
			n = uint64(len(program.Inst))
		}
	}
	instructions.of[pattern] = n
	return n
}

// maxPatterns bounds the patterns whose instructions are remembered: claims may have made them.
const maxPatterns = 1000
