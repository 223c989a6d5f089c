package relyingparty

import (
	"maps"
	"slices"
)

// GroupNames reads a claim of groups: one text, a list of texts and of objects with a name, or an object whose members are
// the groups, as roles are with Zitadel. A member that is false or null is no group. What else a list has is odd.
func GroupNames(value any) (names []string, odd any) {
	switch v := value.(type) {
	case string:
		return []string{v}, nil
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if v[name] != nil && v[name] != false {
				names = append(names, name)
			}
		}
	case []any:
		for _, item := range v {
			switch item := item.(type) {
			case string:
				names = append(names, item)
			case map[string]any:
				if name, ok := item["name"].(string); ok {
					names = append(names, name)
				}
			default:
				odd = item
			}
		}
	}
	return names, odd
}
