package memory

import (
	"iter"
	"math/bits"
	"math/rand/v2"
)

// levels bounds the height of an index: with a quarter of the nodes on each next level, good for 4^12 keys.
const levels = 12

// An index keeps keys in order, as a skip list: adding, removing and finding a place take logarithmic time, and a page
// can be read from any place on without copying or sorting the rest. It is not safe for concurrent use.
type index[K any] struct {
	compare func(a, b K) int
	head    node[K] // its key is not used
}

type node[K any] struct {
	key  K
	next []*node[K]
}

func newIndex[K any](compare func(a, b K) int) *index[K] {
	return &index[K]{compare: compare, head: node[K]{next: make([]*node[K], levels)}}
}

// add puts a key in its place; a key that is there stays there once.
func (x *index[K]) add(key K) {
	before := x.before(key)
	if n := before[0].next[0]; n != nil && x.compare(n.key, key) == 0 {
		return
	}
	n := &node[K]{key: key, next: make([]*node[K], height())}
	for level := range n.next {
		n.next[level] = before[level].next[level]
		before[level].next[level] = n
	}
}

// remove takes a key out, if it is there.
func (x *index[K]) remove(key K) {
	before := x.before(key)
	n := before[0].next[0]
	if n == nil || x.compare(n.key, key) != 0 {
		return
	}
	for level := range n.next {
		before[level].next[level] = n.next[level]
	}
}

// from returns the keys that are not less than the one given, in order.
func (x *index[K]) from(key K) iter.Seq[K] {
	return func(yield func(K) bool) {
		for n := x.before(key)[0].next[0]; n != nil; n = n.next[0] {
			if !yield(n.key) {
				return
			}
		}
	}
}

// before returns for each level the last node whose key is less than the one given.
func (x *index[K]) before(key K) [levels]*node[K] {
	var last [levels]*node[K]
	n := &x.head
	for level := levels - 1; level >= 0; level-- {
		for n.next[level] != nil && x.compare(n.next[level].key, key) < 0 {
			n = n.next[level]
		}
		last[level] = n
	}
	return last
}

// height draws the height of a new node: 1, and one more with a chance of a quarter each time.
func height() int {
	zeros := bits.TrailingZeros64(rand.Uint64()) //nolint:gosec // balance, not a secret
	return min(1+zeros/2, levels)
}
