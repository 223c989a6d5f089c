// Package answertest has ledgers for tests.
package answertest

import (
	"log/slog"
	"testing"
	"time"

	"dex/internal/answer"
	"dex/internal/store"
)

// New returns the ledger of a process that doesn't wait for others: Tell has to be called before they are asked.
func New(s store.Store, now func() time.Time) *answer.Ledger {
	return answer.New(s, now, slog.New(slog.DiscardHandler), answer.Impatient())
}

// Tell tells other processes of everything that was answered.
func Tell(t *testing.T, l *answer.Ledger) {
	t.Helper()
	if _, err := l.Tell(t.Context()); err != nil {
		t.Fatal(err)
	}
}
