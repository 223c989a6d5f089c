package app

import "context"

// Sweep removes what has expired, as is done every few minutes.
func (c *Core) Sweep(ctx context.Context) error { return c.sweep(ctx) }

// Patterns returns the patterns of all routes, for tests that visit each.
func (c *Core) Patterns() []string {
	var patterns []string
	for _, r := range c.edition.Load().routes {
		patterns = append(patterns, r.Pattern)
	}
	return patterns
}

// MaxBodies returns how large a body each route takes, in bytes; 0 for those that say nothing of their own.
func (c *Core) MaxBodies() map[string]int64 {
	bounds := map[string]int64{}
	for _, r := range c.edition.Load().routes {
		bounds[r.Pattern] = r.MaxBody
	}
	return bounds
}
