package policy

import (
	"context"
	"slices"
	"strings"

	"dex/internal/expression"
	"dex/internal/rule"
)

// refusals are some of a list, which are asked together: evaluating one expression that is made of many costs half of evaluating each.
type refusals struct {
	first int // its index in the list
	each  []refusal
	any   program // whether any of them refuses; none if they can't be asked together
}

// Bounds of what is asked together: no expression may be longer than 10 KiB, and those of few calls are evaluated without counting
// what they cost.
const (
	maxTogether = 8 << 10 // bytes
	maxMany     = 16
)

// compileRefusals compiles a list, in parts that are asked together.
func compileRefusals(list []rule.Refusal) []refusals {
	var parts []refusals
	for i := 0; i < len(list); {
		part := refusals{first: i}
		var all strings.Builder
		for ; i < len(list) && (len(part.each) == 0 || all.Len()+len(list[i].Expression) < maxTogether && len(part.each) < maxMany); i++ {
			part.each = append(part.each, compileRefusal(&list[i]))
			if all.Len() > 0 {
				all.WriteString(" || ")
			}
			all.WriteString("(" + list[i].Expression + "\n)") // which may end with a comment
		}
		if len(part.each) > 1 && part.valid() { // or what is wrong alone might be right together
			part.any = compile(all.String(), rule.OfUser, expression.Bool)
		}
		parts = append(parts, part)
	}
	return parts
}

func (r *refusals) valid() bool {
	return !slices.ContainsFunc(r.each, func(one refusal) bool { return one.expression.err != nil })
}

func (r *refusals) needGroups() bool {
	return slices.ContainsFunc(r.each, func(one refusal) bool { return one.needsGroups() })
}

// hold refuses users whom one of the expressions refuses. That none does is asked at once; who does, and why, one by one.
func (r *refusals) hold(ctx context.Context, q *Question, in expression.Input, whose string) error {
	if q.Trace == nil && r.any.Program != nil && r.any.err == nil {
		if refuses, err := r.any.Bool(ctx, in); err == nil && !refuses {
			return nil
		}
	}
	for i := range r.each {
		if err := r.each[i].hold(ctx, q, in, true, whose, "authPolicy", r.first+i); err != nil {
			return err
		}
	}
	return nil
}
