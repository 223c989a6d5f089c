package expression

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Bounds of what one call may do. The library counts what a call has cost only when it is over.
const (
	maxPairs = 4_000_000 // elements that are compared with each other
	maxItems = 100_000   // elements that flatten puts into one list, or that one comparison goes through
)

var (
	errTooMuch = errors.New("operation cancelled: there is too much to compare")
	errTooLong = fmt.Errorf("a text of more than the %d bytes that expressions work on", maxText)
)

// guards look at the arguments of functions whose work or whose result may be out of all proportion to them. All of these
// functions' results are held to maxText too. The result of + is held to it where its cost is counted: the library binds it in a way that
// can't be replaced.
var guards = map[string]func(args []ref.Val) error{
	"strings.quote":   nil,
	"base64.encode":   nil,
	"join":            checkJoin,
	"replace":         checkReplace,
	"format":          checkFormat,
	"flatten":         checkFlatten,
	"indexOf":         checkSearch,
	"lastIndexOf":     checkSearch,
	"distinct":        func(args []ref.Val) error { return checkPairs(args[0], args[0]) },
	"sets.contains":   func(args []ref.Val) error { return checkPairs(args[0], args[1]) },
	"sets.equivalent": func(args []ref.Val) error { return checkPairs(args[0], args[1]) },
	"sets.intersects": func(args []ref.Val) error { return checkPairs(args[0], args[1]) },
}

// guardAll binds the functions of an environment anew, with their guards before them.
func guardAll(env *cel.Env) ([]cel.EnvOption, error) {
	var all []cel.EnvOption
	for name, check := range guards {
		declared, found := env.Functions()[name]
		if !found {
			return nil, fmt.Errorf("there is no function %s", name)
		}
		bound, err := declared.Bindings()
		if err != nil {
			return nil, err
		}
		var overloads []cel.FunctionOpt
		for _, overload := range declared.OverloadDecls() {
			for _, one := range bound {
				if one.Operator == overload.ID() {
					overloads = append(overloads, guarded(overload, one, check))
				}
			}
		}
		if len(overloads) != len(declared.OverloadDecls()) {
			return nil, fmt.Errorf("the function %s isn't bound by its overloads", name)
		}
		all = append(all, cel.Function(name, overloads...))
	}
	return all, nil
}

func guarded(overload *decls.OverloadDecl, bound *functions.Overload, check func([]ref.Val) error) cel.FunctionOpt {
	before := func(args ...ref.Val) ref.Val {
		if check == nil {
			return nil
		}
		if err := check(args); err != nil {
			return types.WrapErr(err)
		}
		return nil
	}
	options := []cel.OverloadOpt{cel.OverloadOperandTrait(overload.OperandTrait())}
	switch {
	case bound.Unary != nil:
		options = append(options, cel.UnaryBinding(func(arg ref.Val) ref.Val {
			if failed := before(arg); failed != nil {
				return failed
			}
			return boundResult(bound.Unary(arg))
		}))
	case bound.Binary != nil:
		options = append(options, cel.BinaryBinding(func(a, b ref.Val) ref.Val {
			if failed := before(a, b); failed != nil {
				return failed
			}
			return boundResult(bound.Binary(a, b))
		}))
	default:
		options = append(options, cel.FunctionBinding(func(args ...ref.Val) ref.Val {
			if failed := before(args...); failed != nil {
				return failed
			}
			return boundResult(bound.Function(args...))
		}))
	}
	if overload.IsMemberFunction() {
		return cel.MemberOverload(overload.ID(), overload.ArgTypes(), overload.ResultType(), options...)
	}
	return cel.Overload(overload.ID(), overload.ArgTypes(), overload.ResultType(), options...)
}

func boundResult(value ref.Val) ref.Val {
	switch v := value.(type) {
	case types.String:
		if len(v) > maxText {
			return types.WrapErr(errTooLong)
		}
	case types.Bytes:
		if len(v) > maxText {
			return types.WrapErr(errTooLong)
		}
	}
	return value
}

// checkPairs bounds what compares each element of a list with each one of another, and all that is in them.
func checkPairs(a, b ref.Val) error {
	if n, m := countAll(a), countAll(b); n > maxItems || m > maxItems || n*m > maxPairs {
		return errTooMuch
	}
	return nil
}

// checkSearch bounds what looks for a text at each character of another.
func checkSearch(args []ref.Val) error {
	if sizeOf(args[0])*sizeOf(args[1]) > maxPairs {
		return errTooMuch
	}
	return nil
}

func checkFlatten(args []ref.Val) error {
	depth := types.Int(1)
	if len(args) > 1 {
		depth, _ = args[1].(types.Int)
	}
	room := maxItems
	if !countFlat(args[0], depth, &room) {
		return errTooMuch
	}
	return nil
}

// countFlat takes the elements that a list has once it is flattened from room, and reports whether there was enough.
func countFlat(value ref.Val, depth types.Int, room *int) bool {
	list, ok := value.(traits.Lister)
	if !ok || depth < 0 {
		*room--
		return *room >= 0
	}
	if *room -= 1; *room < 0 {
		return false // an empty list is work too
	}
	for each := list.Iterator(); each.HasNext() == types.True; {
		if !countFlat(each.Next(), depth-1, room) {
			return false
		}
	}
	return true
}

func checkJoin(args []ref.Val) error {
	room := maxText
	if len(args) > 1 {
		room -= int(min(sizeOf(args[0]), maxText)) * len(textOf(args[1]))
	}
	return takeText(args[0], &room, maxDepth)
}

func checkReplace(args []ref.Val) error {
	text, old, with := textOf(args[0]), textOf(args[1]), textOf(args[2])
	if len(text)+strings.Count(text, old)*len(with) > 2*maxText {
		return errTooLong
	}
	return nil
}

// checkFormat relies on each clause using an argument of its own.
func checkFormat(args []ref.Val) error {
	room := maxText - len(textOf(args[0]))
	return takeText(args[1], &room, maxDepth)
}

// takeText takes the length of all texts in a value from room.
func takeText(value ref.Val, room *int, depth int) error {
	if depth == 0 {
		return errTooLong
	}
	var inside traits.Iterable
	switch v := value.(type) {
	case types.String:
		*room -= len(v)
	case types.Bytes:
		*room -= len(v)
	case *texts:
		for _, each := range v.all {
			*room -= len(each)
		}
	case traits.Lister:
		inside = v
	case traits.Mapper:
		if err := takeEach(v.Iterator(), room, depth-1, v.Get); err != nil {
			return err
		}
		inside = v
	}
	if inside != nil {
		if err := takeEach(inside.Iterator(), room, depth-1, func(item ref.Val) ref.Val { return item }); err != nil {
			return err
		}
	}
	if *room < 0 {
		return errTooLong
	}
	return nil
}

// takeEach takes the length of all texts in what of gives for each item.
func takeEach(each traits.Iterator, room *int, depth int, of func(ref.Val) ref.Val) error {
	for *room >= 0 && each.HasNext() == types.True {
		*room--
		if err := takeText(of(each.Next()), room, depth); err != nil {
			return err
		}
	}
	return nil
}
