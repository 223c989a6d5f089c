package policy

import (
	"sync"
	"sync/atomic"
)

// maxMemos bounds what a memo remembers. Stored clients are read anew now and then, and each time as other values.
const maxMemos = 10_000

// A memo remembers what was made of what a client or a connector says, by its address: copies of a client share what its pointers and
// lists lead to, which nobody changes. The zero value is ready. It is safe for concurrent use.
type memo[T, V any] struct {
	made  sync.Map // by *T
	count atomic.Int64
}

// of returns what was made of what is at an address, by first if nobody has asked before.
func (m *memo[T, V]) of(at *T, first func() V) V {
	known, _ := m.made.Load(at)
	if v, ok := known.(V); ok {
		return v
	}
	v := first()
	if m.count.Add(1) > maxMemos {
		m.made.Clear()
		m.count.Store(1)
	}
	m.made.Store(at, v)
	return v
}
