package app

// Patterns returns the patterns of all routes, for tests that visit each.
func (a *App) Patterns() []string {
	var patterns []string
	for _, r := range a.routes {
		patterns = append(patterns, r.Pattern)
	}
	return patterns
}
