package token

import (
	"log/slog"
	"testing"
	"time"

	"dex/internal/answer"
	"dex/internal/store"
)

// newAnswers returns the ledger of a process that doesn't wait for others: tellAll has to be called before they are asked.
func newAnswers(s store.Store, now func() time.Time) *answer.Ledger {
	return answer.New(s, now, slog.New(slog.DiscardHandler), answer.Impatient())
}

// tellAll tells other processes of all that was answered.
func tellAll(t *testing.T, l *answer.Ledger) {
	t.Helper()
	if _, err := l.Tell(t.Context()); err != nil {
		t.Fatal(err)
	}
}
