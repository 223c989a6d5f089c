package client

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"dex/internal/turn"
)

// Secrets wait in the line of all hashes, which leaves a processor free. One that was right before doesn't wait.
func TestSecretsWaitInTheLineOfHashes(t *testing.T) {
	s, line := newSecrets(), turn.ForHashes()
	s.line = line
	c := &Client{ID: "app", Secret: HashSecret("short")}
	if which, err := s.match(t.Context(), c, "short"); which != matchedCurrent || err != nil {
		t.Fatalf("%v, %v", which, err)
	}
	turns := max(1, runtime.GOMAXPROCS(0)-1)
	for range turns {
		done, err := line.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer done()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.match(ctx, c, "wrong"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d hashes at once: %v", turns+1, err)
	}
	if which, err := s.match(t.Context(), c, "short"); which != matchedCurrent || err != nil {
		t.Errorf("a secret that was right before: %v, %v", which, err)
	}
}
