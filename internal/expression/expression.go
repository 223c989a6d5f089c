// Package expression compiles and evaluates the CEL expressions of a configuration, at bounded cost. See docs/expressions.md.
package expression

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// MaxLength bounds the text of an expression, in bytes.
const MaxLength = 10_240

// maxCost bounds what an expression may cost: its estimate, when it is compiled, and what it has cost when it is evaluated.
const maxCost = 10_000_000

// maxTime bounds how long a loop goes on. Its cost ends before that, except where a machine is slow or the cost doesn't tell: what is
// decided then depends on the machine, so it is more than a pause of a process whose share of a processor is used up.
var maxTime = 200 * time.Millisecond

var errTooSlow = errors.New("it takes too long")

// Variables says which variables a place of use offers.
type Variables struct{ Identity, Request, Claims, ExistingClaims bool }

// Type is what an expression has to result in.
type Type int

// The types of results. The type of an expression that reads claims may be known only when it is evaluated; then a result of
// another type is an error.
const (
	Bool Type = iota + 1
	String
	StringList
	Any
)

// String returns the type's name in messages.
func (t Type) String() string {
	switch t {
	case Bool:
		return "a bool"
	case String:
		return "a string"
	case StringList:
		return "a list of strings"
	case Any:
		return "a value"
	}
	return fmt.Sprintf("Type(%d)", int(t))
}

// Invalid says what is wrong with an expression, and where in its text. Lines and columns count from 1; columns count
// characters.
type Invalid struct {
	Line, Column int
	Message      string
}

// Error implements error.
func (e *Invalid) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Message) }

// A Program is an expression that has been compiled. It is safe for concurrent use.
type Program struct {
	program cel.Program
	loops   bool // and so may take long
	groups  bool
}

// ReadsGroups reports whether the expression may read the groups of the identity. Where it can't be told it may.
func (p *Program) ReadsGroups() bool { return p.groups }

// A source is what a program is made of.
type source struct {
	text string
	on   Variables
	want Type
}

// maxCompiled bounds how many programs are remembered.
const maxCompiled = 10_000

var (
	compiledOnce  sync.Map // *Program by source: a configuration that is read again has the programs that it had
	compiledCount atomic.Int64
)

// Compile checks an expression. The same one results in the same program. Its errors are *Invalid.
func Compile(text string, on Variables, want Type) (*Program, error) {
	of := source{text, on, want}
	known, _ := compiledOnce.Load(of)
	if p, ok := known.(*Program); ok {
		return p, nil
	}
	p, err := compile(text, on, want)
	if err != nil {
		return nil, err
	}
	if compiledCount.Add(1) > maxCompiled {
		compiledOnce.Clear()
		compiledCount.Store(1)
	}
	first, _ := compiledOnce.LoadOrStore(of, p)
	if other, ok := first.(*Program); ok {
		return other, nil
	}
	return p, nil
}

func compile(text string, on Variables, want Type) (*Program, error) {
	if len(text) > MaxLength {
		return nil, &Invalid{Line: 1, Column: 1, Message: fmt.Sprintf("is %d bytes long, and may have %d", len(text), MaxLength)}
	}
	env, err := environment(on)
	if err != nil {
		return nil, &Invalid{Line: 1, Column: 1, Message: err.Error()}
	}
	compiled, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, firstIssue(issues, on, want)
	}
	if !fits(compiled.OutputType(), want) {
		return nil, &Invalid{Line: 1, Column: 1, Message: fmt.Sprintf("must result in %s, but results in %s", want, compiled.OutputType())}
	}
	groups := readsGroups(compiled)
	is, err := prepare(compiled)
	if err != nil {
		return nil, err
	}
	estimate, err := env.EstimateCost(compiled, estimator{})
	if err != nil {
		return nil, &Invalid{Line: 1, Column: 1, Message: "has a cost that can't be estimated: " + err.Error()}
	}
	if estimate.Max > maxCost {
		return nil, &Invalid{Line: 1, Column: 1, Message: tooExpensive(estimate.Max)}
	}
	wrapArguments(compiled)
	program, err := env.Program(compiled, programOptions(is)...)
	if err != nil {
		return nil, &Invalid{Line: 1, Column: 1, Message: err.Error()}
	}
	return &Program{program: program, loops: is.loops, groups: groups}, nil
}

// fits reports whether an expression of a type may result in what is wanted. A value of a claim may be anything.
func fits(is *cel.Type, want Type) bool {
	if is.Kind() == types.DynKind {
		return true
	}
	switch want {
	case Bool:
		return is.Kind() == types.BoolKind
	case String:
		return is.Kind() == types.StringKind
	case StringList:
		if is.Kind() != types.ListKind {
			return false
		}
		element := is.Parameters()[0].Kind()
		return element == types.StringKind || element == types.DynKind || element == types.TypeParamKind
	case Any:
		return true
	}
	return false
}

func firstIssue(issues *cel.Issues, on Variables, want Type) *Invalid {
	if all := issues.Errors(); len(all) > 0 {
		return invalidAt(all[0].Location, plain(all[0].Message)+hint(all[0].Message, on, want))
	}
	return &Invalid{Line: 1, Column: 1, Message: issues.Err().Error()}
}

// Input is what an expression is about. What its place of use doesn't offer may be missing.
type Input struct {
	Identity               *Identity
	Request                *Request
	Claims, ExistingClaims map[string]any
}

// Bool evaluates an expression that was compiled as Bool. Any error has to count as a refusal.
func (p *Program) Bool(ctx context.Context, in Input) (bool, error) {
	value, err := p.evaluate(ctx, &in)
	if err != nil {
		return false, err
	}
	is, ok := value.(types.Bool)
	if !ok {
		return false, wrongType(Bool, value)
	}
	return bool(is), nil
}

// String evaluates an expression that was compiled as String.
func (p *Program) String(ctx context.Context, in Input) (string, error) {
	value, err := p.evaluate(ctx, &in)
	if err != nil {
		return "", err
	}
	text, ok := value.(types.String)
	if !ok {
		return "", wrongType(String, value)
	}
	if len(text) > maxText {
		return "", errTooLarge
	}
	return string(text), nil
}

// Strings evaluates an expression that was compiled as StringList. The caller must not change the result.
func (p *Program) Strings(ctx context.Context, in Input) ([]string, error) {
	value, err := p.evaluate(ctx, &in)
	if err != nil {
		return nil, err
	}
	return stringsOf(value)
}

// Any evaluates an expression and returns its value as JSON has it: nil, string, bool, int64, float64, []any or
// map[string]any, of at most MaxResult bytes.
func (p *Program) Any(ctx context.Context, in Input) (any, error) {
	value, err := p.evaluate(ctx, &in)
	if err != nil {
		return nil, err
	}
	room := MaxResult
	return plainValue(value, &room, maxDepth)
}

// activations are the variables of one evaluation each.
var activations = sync.Pool{New: func() any { return new(activation) }}

func (p *Program) evaluate(ctx context.Context, in *Input) (value ref.Val, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	variables := activations.Get().(*activation) // the pool has nothing else
	variables.in = *in
	if p.loops {
		limited, cancel := context.WithTimeoutCause(ctx, maxTime, errTooSlow)
		value, _, err = p.program.ContextEval(limited, variables)
		cancel()
	} else {
		value, _, err = p.program.Eval(variables)
	}
	variables.in = Input{}
	activations.Put(variables)
	if err != nil {
		return nil, err
	}
	if value == nil || types.IsUnknownOrError(value) {
		return nil, errors.New("the expression has no value")
	}
	return value, nil
}
