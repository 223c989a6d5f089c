package expression

import (
	"reflect"
	"slices"
	"sync"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// texts is a list of strings. It is as quick to look into as a []string; values are made only for expressions that go through it.
type texts struct {
	traits.Lister // of values, for all that isn't below
	all           []string
}

func newTexts(all []string) *texts {
	return &texts{Lister: &listed{all: all}, all: all}
}

// Contains implements traits.Container.
func (t *texts) Contains(value ref.Val) ref.Val {
	text, ok := value.(types.String)
	if !ok {
		return types.False // a value of another type is equal to none
	}
	for _, each := range t.all {
		if each == string(text) {
			return types.True
		}
	}
	return types.False
}

// Equal implements ref.Val.
func (t *texts) Equal(other ref.Val) ref.Val {
	if own, ok := other.(*texts); ok {
		return types.Bool(slices.Equal(t.all, own.all))
	}
	return t.Lister.Equal(other)
}

// Size implements traits.Sizer.
func (t *texts) Size() ref.Val { return types.Int(len(t.all)) }

// Value implements ref.Val.
func (t *texts) Value() any { return t.all }

// listed has the strings as values, from the first time on that they are needed.
type listed struct {
	all    []string
	once   sync.Once
	values traits.Lister
}

func (l *listed) list() traits.Lister {
	l.once.Do(func() {
		values := make([]ref.Val, len(l.all))
		for i, text := range l.all {
			values[i] = boundText(text)
		}
		l.values = types.NewRefValList(types.DefaultTypeAdapter, values)
	})
	return l.values
}

// ConvertToNative implements ref.Val.
func (l *listed) ConvertToNative(to reflect.Type) (any, error) { return l.list().ConvertToNative(to) }

// ConvertToType implements ref.Val.
func (l *listed) ConvertToType(to ref.Type) ref.Val { return l.list().ConvertToType(to) }

// Equal implements ref.Val.
func (l *listed) Equal(other ref.Val) ref.Val { return l.list().Equal(other) }

// Type implements ref.Val.
func (l *listed) Type() ref.Type { return types.ListType }

// Value implements ref.Val.
func (l *listed) Value() any { return l.all }

// Add implements traits.Adder.
func (l *listed) Add(other ref.Val) ref.Val { return l.list().Add(other) }

// Contains implements traits.Container.
func (l *listed) Contains(value ref.Val) ref.Val { return l.list().Contains(value) }

// Get implements traits.Indexer.
func (l *listed) Get(index ref.Val) ref.Val { return l.list().Get(index) }

// Iterator implements traits.Iterable.
func (l *listed) Iterator() traits.Iterator { return l.list().Iterator() }

// Size implements traits.Sizer.
func (l *listed) Size() ref.Val { return types.Int(len(l.all)) }
