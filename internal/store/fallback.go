package store

import "sync/atomic"

// A Fallback holds values that count where neither the configuration nor the storage has their key. Whoever owns it replaces them
// all at once. Values are shared: callers must not change them. It is safe for concurrent use; a nil one has no values.
type Fallback[T any] struct {
	current atomic.Pointer[map[string]Entry[T]]
}

// Replace replaces all values, by their keys.
func (f *Fallback[T]) Replace(values map[string]Entry[T]) { f.current.Store(&values) }

// Get returns the value of a key.
func (f *Fallback[T]) Get(key string) (Entry[T], bool) {
	e, ok := f.all()[key]
	return e, ok
}

func (f *Fallback[T]) all() map[string]Entry[T] {
	if f == nil {
		return nil
	}
	if current := f.current.Load(); current != nil {
		return *current
	}
	return nil
}
