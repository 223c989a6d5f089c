//go:build unix

package memory_test

import (
	"testing"

	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/store/storetest"
)

func Benchmark(b *testing.B) {
	storetest.Bench(b, func(*testing.B) store.Store { return memory.New() })
}
