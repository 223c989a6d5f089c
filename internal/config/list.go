package config

// LastOfEach returns items without those that have the same id as a later one, which replaces them.
func LastOfEach[T any](items []T, id func(T) string) []T {
	last := make(map[string]int, len(items))
	for i, item := range items {
		last[id(item)] = i
	}
	if len(last) == len(items) {
		return items
	}
	var kept []T
	for i, item := range items {
		if last[id(item)] == i {
			kept = append(kept, item)
		}
	}
	return kept
}
