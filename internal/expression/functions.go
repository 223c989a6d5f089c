package expression

import (
	"fmt"
	"path"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// The overloads of our own functions.
const (
	emailDomain    = "dex_email_domain_string"
	emailLocalPart = "dex_email_local_part_string"
	groupMatches   = "dex_group_matches_list_string"
	groupFilter    = "dex_group_filter_list_list"
)

// ownFunctions returns our own functions.
func ownFunctions() []cel.EnvOption {
	texts := cel.ListType(cel.StringType)
	return []cel.EnvOption{
		turn(),
		cel.Function("dex.emailDomain", cel.Overload(emailDomain, []*cel.Type{cel.StringType}, cel.StringType,
			cel.UnaryBinding(func(email ref.Val) ref.Val {
				_, domain, _ := strings.Cut(textOf(email), "@")
				return types.String(domain)
			}))),
		cel.Function("dex.emailLocalPart", cel.Overload(emailLocalPart, []*cel.Type{cel.StringType}, cel.StringType,
			cel.UnaryBinding(func(email ref.Val) ref.Val {
				local, _, _ := strings.Cut(textOf(email), "@")
				return types.String(local)
			}))),
		cel.Function("dex.groupMatches", cel.Overload(groupMatches, []*cel.Type{texts, cel.StringType}, texts,
			cel.BinaryBinding(matchGroups))),
		cel.Function("dex.groupFilter", cel.Overload(groupFilter, []*cel.Type{texts, texts}, texts,
			cel.BinaryBinding(filterGroups))),
	}
}

func textOf(value ref.Val) string {
	text, _ := value.(types.String)
	return string(text)
}

// matchGroups keeps the groups that match a glob. The pattern is tried by itself first: a list without groups, or whose groups
// differ before the mistake, would not show that it is malformed.
func matchGroups(groups, pattern ref.Val) ref.Val {
	glob := textOf(pattern)
	if _, err := path.Match(glob, ""); err != nil {
		return types.WrapErr(fmt.Errorf("dex.groupMatches: %q is no pattern: %w", glob, err))
	}
	var kept []string
	eachText(groups, func(group string) {
		if matched, err := path.Match(glob, group); err == nil && matched {
			kept = append(kept, group)
		}
	})
	return newTexts(kept)
}

// filterGroups keeps the groups of the first list that are in the second one.
func filterGroups(groups, allowed ref.Val) ref.Val {
	known := map[string]bool{}
	eachText(allowed, func(group string) { known[group] = true })
	var kept []string
	eachText(groups, func(group string) {
		if known[group] {
			kept = append(kept, group)
		}
	})
	return newTexts(kept)
}

// eachText calls a function with the texts of a list, and skips all else: a list of claims may have anything in it.
func eachText(list ref.Val, do func(string)) {
	if own, ok := list.(*texts); ok {
		for _, text := range own.all {
			do(text)
		}
		return
	}
	values, ok := list.(traits.Iterable)
	if !ok {
		return
	}
	for each := values.Iterator(); each.HasNext() == types.True; {
		if text, ok := each.Next().(types.String); ok {
			do(string(text))
		}
	}
}
