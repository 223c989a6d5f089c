package federation

import (
	"testing"

	"dex/internal/connector"
)

// Register adds a type of connector for the time of a test.
func Register(t *testing.T, kind string, settings connector.Config) {
	t.Helper()
	kinds[kind] = func() connector.Config { return settings }
	t.Cleanup(func() { delete(kinds, kind) })
}
