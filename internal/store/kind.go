package store

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// A Declaration is what a room says of the records of one Go type. Whatever treats kinds differently asks for these facts;
// there are no lists of names.
type Declaration[T any] struct {
	// Name is stored with every record.
	Name string
	// Durable records outlive a login: they are exported, imported and sealed anew.
	Durable bool
	// Quiet records change with every login, and no process remembers them. So Watch doesn't report them:
	// telling every replica would cost more than the change.
	Quiet bool
	// Open documents hold nothing secret and are never sealed.
	Open bool
	// Kubernetes says what the records are in a cluster.
	Kubernetes Object
	// Owner returns what List may be asked for; nil means records without owner.
	Owner func(*T) string
	// Expires returns when a record ends; a zero time means never. Kinds that have it are swept.
	Expires func(*T) time.Time
	// OwnSweep leaves expired records to the room, which has something to do for each before it is removed. See [Reap].
	OwnSweep bool
}

// An Object is what a record becomes on Kubernetes.
type Object int

const (
	// OwnObject is an object of our own, within one of upstream's resources.
	OwnObject Object = iota
	// UpstreamObject is upstream's own object, with upstream's name and members.
	UpstreamObject
	// EditedObject is an UpstreamObject that people and operators edit, so that it isn't sealed.
	EditedObject
)

// A Kind is a declared kind. Only [Declare] makes one.
type Kind[T any] struct {
	name    string
	owner   func(*T) string
	expires func(*T) time.Time
}

// Name returns the name of the kind, as it is in records.
func (k *Kind[T]) Name() string { return k.name }

// Facts are what is known of a declared kind, whatever its Go type.
type Facts struct {
	Name       string
	Durable    bool // exported, imported and sealed anew
	Quiet      bool // Watch doesn't report changes
	Open       bool // never sealed
	Expires    bool // swept
	OwnSweep   bool // by its room
	Kubernetes Object
}

// declared are the facts by name. It is filled while the program's packages are initialized, before any store is open.
var declared struct {
	sync.RWMutex
	facts map[string]Facts
}

// Declare makes a kind known. It belongs in a package-level variable of the room that owns the records: backends look at what is
// declared when they open. It panics if the name is taken, since two rooms would then share their records.
func Declare[T any](d Declaration[T]) *Kind[T] {
	if d.Name == "" || len(d.Name) > MaxKey {
		panic(fmt.Sprintf("store: a kind with a name of %d bytes is declared", len(d.Name)))
	}
	declared.Lock()
	defer declared.Unlock()
	if _, taken := declared.facts[d.Name]; taken {
		panic(fmt.Sprintf("store: the kind %q is declared twice", d.Name))
	}
	if declared.facts == nil {
		declared.facts = make(map[string]Facts)
	}
	declared.facts[d.Name] = Facts{
		Name: d.Name, Durable: d.Durable, Quiet: d.Quiet, Open: d.Open, Expires: d.Expires != nil, OwnSweep: d.OwnSweep,
		Kubernetes: d.Kubernetes,
	}
	return &Kind[T]{name: d.Name, owner: d.Owner, expires: d.Expires}
}

// FactsOf returns what is known of a kind; false when this program doesn't have it. A storage may hold such records all the
// same, from a newer release.
func FactsOf(kind string) (Facts, bool) {
	declared.RLock()
	defer declared.RUnlock()
	f, ok := declared.facts[kind]
	return f, ok
}

// Kinds returns the facts of all declared kinds, by name.
func Kinds() []Facts {
	declared.RLock()
	defer declared.RUnlock()
	byName := func(a, b Facts) int { return cmp.Compare(a.Name, b.Name) }
	return slices.SortedFunc(maps.Values(declared.facts), byName)
}

// DurableKinds returns the names of the kinds that outlive a login: what is exported, imported and sealed anew.
func DurableKinds() []string { return kindsThat(func(f Facts) bool { return f.Durable }) }

// ExpiringKinds returns the names of the kinds that have to be swept, except those whose rooms do it themselves.
func ExpiringKinds() []string {
	return kindsThat(func(f Facts) bool { return f.Expires && !f.OwnSweep })
}

// QuietKinds returns the names of the kinds whose changes Watch doesn't report.
func QuietKinds() []string { return kindsThat(func(f Facts) bool { return f.Quiet }) }

// OpenKinds returns the names of the kinds that are never sealed. Objects says that the storage keeps records as objects
// that people and operators may edit.
func OpenKinds(objects bool) []string {
	return kindsThat(func(f Facts) bool { return f.Open || objects && f.Kubernetes == EditedObject })
}

func kindsThat(hold func(Facts) bool) []string {
	var names []string
	for _, f := range Kinds() {
		if hold(f) {
			names = append(names, f.Name)
		}
	}
	return names
}

// Announced reports whether Watch reports the changes of a kind. It does so for kinds that nobody declared: they are a newer
// release's, and a needless report does no harm.
func Announced(kind string) bool {
	f, _ := FactsOf(kind)
	return !f.Quiet
}
