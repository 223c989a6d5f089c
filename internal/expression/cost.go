package expression

import (
	"fmt"
	"math"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Sizes that an estimate assumes. An evaluation in which there is more pays for it.
const (
	assumedText    = 256
	assumedList    = 100
	assumedMembers = 20 // of the variables themselves
)

const (
	itemCost    = 4  // of an element of a list that a function makes: it takes 16 bytes, and may be kept
	countedCost = 12 // of a value within another that is compared: it is counted twice besides
	traversed   = 10 // characters or elements for 1
)

// inMap is the overload of in on maps, which is a presence test, and as free as has.
const inMap = "in_map"

// estimator says what the library can't know: how large the variables may be, and what our own functions cost.
type estimator struct{}

// EstimateSize implements cost.Estimator.
func (estimator) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	size := func(most uint64) *cost.SizeEstimate {
		s := cost.RangedSizeEstimate(0, most)
		return &s
	}
	switch at := node.Path(); {
	case len(at) == 1:
		return size(assumedMembers)
	case len(at) == 2 && at[1] == "email_verified":
		one := cost.FixedSizeEstimate(1)
		return &one
	case len(at) == 2 && (at[1] == "groups" || at[1] == "scopes"):
		return size(assumedList)
	case len(at) > 1:
		return size(assumedText)
	}
	if node.Type() != nil && node.Type().Kind() == types.StringKind {
		return size(assumedText)
	}
	return nil
}

// EstimateCallCost implements cost.Estimator.
func (estimator) EstimateCallCost(_, overload string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	text := cost.RangedSizeEstimate(0, assumedText)
	switch overload {
	case emailDomain, emailLocalPart:
		return cost.NewCallEstimate(cost.RangedCostEstimate(1, 2), &text)
	case groupMatches:
		list := cost.ListSizeEstimate(cost.RangedSizeEstimate(0, assumedList), text)
		return cost.NewCallEstimate(cost.RangedCostEstimate(1, assumedList), &list)
	case groupFilter:
		list := cost.ListSizeEstimate(cost.RangedSizeEstimate(0, assumedList), text)
		return cost.NewCallEstimate(cost.RangedCostEstimate(1, 2*assumedList), &list)
	case inMap:
		return cost.NewCallEstimate(cost.FixedCostEstimate(0), nil)
	case turnOverload:
		return cost.NewCallEstimate(cost.FixedCostEstimate(turnCost), nil)
	}
	return nil
}

// CallCost implements cost.ActualCostEstimator. Where only the evaluation shows the types of a call's arguments, the library names no
// overload, and would count 1 for whatever was done.
func (estimator) CallCost(function, overload string, args []ref.Val, result ref.Val) *uint64 {
	paid := uint64(1)
	switch overload {
	case turnOverload:
		paid = turnCost
	case emailDomain, emailLocalPart:
	case groupMatches:
		paid += bulk(args[0]) * stars(textOf(args[1]))
	case groupFilter:
		paid += bulk(args[0]) + bulk(args[1])
	case inMap, briefOverload:
		paid = 0
	case flatOverload:
		paid = countedCost * countAll(args[0])
	case searchedOverload:
		paid = 0
		if _, ok := args[0].(traits.Mapper); !ok {
			paid = countedCost * countAll(args[0])
		}
	default:
		if function == overloads.Matches { // of a value whose type isn't known before
			return matchCost(args, result)
		}
		kept := keptBy(function, result)
		if kept == 0 && overload != "" && overload != function {
			return nil
		}
		paid += kept
		for _, arg := range args {
			paid += sizeOf(arg) / traversed
		}
	}
	return &paid
}

// keptBy returns what a result costs because it takes memory, in which it may be kept until the evaluation is over.
func keptBy(function string, result ref.Val) uint64 {
	size := sizeOf(result)
	switch result.(type) {
	case types.String, types.Bytes:
		switch {
		case size <= assumedText:
			return 0
		case function != operators.Add:
			return itemCost * size
		case size > maxText:
			return maxCost
		}
		return size
	case traits.Lister:
		if function == operators.Add && size > maxItems { // it takes no memory, but may take any time
			return maxCost
		}
		switch function {
		case "slice", "flatten", "reverse", "lists.range", "split":
			return itemCost * size
		}
	}
	return 0
}

// bulk returns what going through a list costs. The estimates are low, so a list that is longer than assumed pays what it takes.
func bulk(list ref.Val) uint64 {
	const each = 8
	if size := sizeOf(list); size > assumedList {
		return each * size
	}
	return sizeOf(list)
}

// matchCost returns what a regular expression takes at worst: each character of the text meets each instruction.
func matchCost(args []ref.Val, _ ref.Val) *uint64 {
	paid := 1 + (sizeOf(args[0])+1)*instructionsOf(textOf(args[1]))/2
	return &paid
}

// stars returns how many times a glob goes through a name.
func stars(glob string) uint64 {
	return 1 + 4*uint64(max(strings.Count(glob, "*")-1, 0))
}

// regexps estimates regular expressions at many times what the library counts, as it knows their length and not their instructions.
func regexps() cel.EnvOption {
	const dearer = 32
	price := func(text, pattern cost.QuantityExpr) cost.OverloadModelOption {
		return cost.EvalCost(cost.Mul(
			cost.Scale(cost.Sum(text, cost.Const(1)), dearer*cost.StringTraversalCostFactor),
			cost.Scale(pattern, cost.RegexStringLengthCostFactor)))
	}
	return cel.CostModel(
		cost.Overload(overloads.Matches, price(cost.Arg(0), cost.Arg(1))),
		cost.MemberOverload(overloads.MatchesString, price(cost.Target(), cost.Arg(0))))
}

func sizeOf(value ref.Val) uint64 {
	if sized, ok := value.(traits.Sizer); ok {
		if size, ok := sized.Size().(types.Int); ok && size > 0 {
			return uint64(size)
		}
	}
	return 0
}

// cheaper says what to write instead.
const cheaper = "; loops within loops cost most: in, sets.intersects and dex.groupMatches do without"

func tooExpensive(most uint64) string {
	if most == math.MaxUint64 {
		return fmt.Sprintf("may cost more than %d, as the size of what it works on has no bound%s", uint64(maxCost), cheaper)
	}
	return fmt.Sprintf("may cost %d, and an expression must cost at most %d%s", most, uint64(maxCost), cheaper)
}
