package telemetry

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// Bounds of how many values a label may have: each makes series that live as long as the process.
const (
	mostClients    = 200
	mostConnectors = 100
)

// otherLabel is the value of all that came after the bound.
const otherLabel = "other"

// A labelSet bounds the values of a label. The first ones that come keep their names.
type labelSet struct {
	most int

	mu    sync.RWMutex
	known map[string]bool
}

func newLabelSet(most int) *labelSet { return &labelSet{most: most, known: map[string]bool{}} }

// of returns the value for a name.
func (l *labelSet) of(name string) string {
	if name == "" {
		return ""
	}
	l.mu.RLock()
	known, full := l.known[name], len(l.known) >= l.most
	l.mu.RUnlock()
	switch {
	case known:
		return name
	case full || !utf8.ValidString(name): // no label can hold anything else
		return otherLabel
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) >= l.most && !l.known[name] {
		return otherLabel
	}
	name = strings.Clone(name) // which may be a part of a whole request
	l.known[name] = true
	return name
}

// word returns a text of the log as the value of a label.
func word(text string) string { return strings.ReplaceAll(text, " ", "_") }
