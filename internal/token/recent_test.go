package token

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/store/memory"
)

// countReads counts the reads of codes.
type countReads struct {
	store.Store
	reads int
}

func (c *countReads) Get(ctx context.Context, kind, key string) (store.Record, error) {
	c.reads++
	return c.Store.Get(ctx, kind, key)
}

func TestCodeIsNotReadWhereItWasIssued(t *testing.T) {
	s := &countReads{Store: memory.New()}
	here, there := NewCodes(s, time.Minute, time.Now), NewCodes(s, time.Minute, time.Now)
	issue := func() string {
		secret, err := here.Issue(t.Context(), someone, "http://app.test/", Challenge{})
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}

	secret := issue()
	if c, err := here.use(t.Context(), secret, "app"); err != nil || c.Identity.UserID != "u" || s.reads != 0 {
		t.Errorf("got %+v and error %v after %d reads", c, err, s.reads)
	}
	if _, err := here.use(t.Context(), secret, "app"); !errors.Is(err, errReplayed) {
		t.Errorf("the second use: got error %v", err)
	}

	secret = issue()
	if _, err := there.use(t.Context(), secret, "app"); err != nil {
		t.Errorf("at another replica: got error %v", err)
	}
	if _, err := here.use(t.Context(), secret, "app"); !errors.Is(err, errReplayed) {
		t.Errorf("after it was used at another replica: got error %v", err)
	}

	secret = issue()
	if _, err := here.use(t.Context(), secret, "stranger"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("by another client: got error %v", err)
	}
	if _, err := here.use(t.Context(), secret, "app"); err != nil {
		t.Errorf("after another client tried: got error %v", err)
	}
}

func TestRecentCodesAreBounded(t *testing.T) {
	var r recent
	for i := range 3 * maxRecent {
		r.put(store.Entry[code]{Key: fmt.Sprint(i)})
	}
	if len(r.byKey) != maxRecent {
		t.Errorf("%d codes are remembered, want %d", len(r.byKey), maxRecent)
	}
	if _, ok := r.take(fmt.Sprint(3*maxRecent - 1)); !ok {
		t.Error("the newest is not remembered")
	}
}
