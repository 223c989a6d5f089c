//go:build unix

package sqlite_test

import (
	"path/filepath"
	"testing"

	"dex/internal/store"
	"dex/internal/store/storetest"
)

func Benchmark(b *testing.B) {
	storetest.Bench(b, func(b *testing.B) store.Store { return open(b, filepath.Join(b.TempDir(), "dex.db")) })
}
