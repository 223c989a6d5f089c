// Package transfer moves the durable records of a storage into a file and from a file into a storage of any type, so
// that nobody is signed out by the move. A file is checked whole before the first record of it is written.
//
// A record is copied as it is at the moment when it is read. While a server writes to the storage, the file is not
// a snapshot of one moment.
package transfer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrDamaged says that a file is not whole, or was changed since it was written.
var ErrDamaged = errors.New("the export file is damaged")

// Counts are what was done with the records of each kind.
type Counts map[string]Count

// A Count is what was done, or with [Options].CheckOnly what would be done, with the records of one kind.
type Count struct {
	Records   int // in the file
	Created   int
	Same      int // were in the storage already
	Replaced  int
	Conflicts int // differ from a record in the storage, which stays
	Expired   int // since the file was written; left out
}

// Total returns the sum of all kinds.
func (c Counts) Total() Count {
	var sum Count
	for _, n := range c {
		sum = sum.plus(n)
	}
	return sum
}

func (c Count) plus(d Count) Count {
	return Count{
		Records:   c.Records + d.Records,
		Created:   c.Created + d.Created,
		Same:      c.Same + d.Same,
		Replaced:  c.Replaced + d.Replaced,
		Conflicts: c.Conflicts + d.Conflicts,
		Expired:   c.Expired + d.Expired,
	}
}

// maxListed is how many conflicts an error names.
const maxListed = 20

// keysKind is the kind of the signing keys.
const keysKind = "keys"

// A ConflictError says that the storage has other records than the file under the same keys.
type ConflictError struct {
	Count   int
	Records []string // some of them: kind and key
	Written bool     // some records of the file have been written already
}

func (e *ConflictError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d records of the file are in the storage already, with different content", e.Count)
	if e.Written {
		b.WriteString("; somebody else writes to the storage, and some records of the file have been written: " +
			"stop the servers and import again")
	} else {
		b.WriteString("; nothing was written. Overwriting replaces them with those of the file")
	}
	for _, r := range e.Records {
		b.WriteString("\n  " + r)
	}
	if more := e.Count - len(e.Records); more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	if slices.ContainsFunc(e.Records, func(r string) bool { return strings.HasPrefix(r, keysKind+" ") }) {
		b.WriteString("\nkeys are the signing keys: a server that was started on this storage before the import made its " +
			"own. If nobody has used it yet, overwrite them")
	}
	return b.String()
}
