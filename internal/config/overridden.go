package config

// LastOfEach returns items whose ids differ: what stands further down in a file takes the place of what is above.
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
