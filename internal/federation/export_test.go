package federation

import (
	"slices"
	"testing"

	"dex/internal/connector"
)

// Register adds a type of connector for the time of a test.
func Register(t *testing.T, name string, settings connector.Config) {
	t.Helper()
	before := kinds
	kinds = append(slices.Clone(before), kind{name: name, settings: func() connector.Config { return settings }})
	t.Cleanup(func() { kinds = before })
}
