package connector

// Unique returns names, such as groups, without those that have come before and without empty ones.
func Unique(names []string) []string {
	seen := make(map[string]bool, len(names))
	var once []string
	for _, name := range names {
		if name != "" && !seen[name] {
			seen[name] = true
			once = append(once, name)
		}
	}
	return once
}
