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

	use := func(codes *Codes, secret, client string) error {
		e, err := codes.read(t.Context(), secret, client)
		if err != nil {
			return err
		}
		if e.Value.Identity.UserID != "u" {
			t.Errorf("got %+v", e.Value)
		}
		return codes.spend(t.Context(), e)
	}

	secret := issue()
	if err := use(here, secret, "app"); err != nil || s.reads != 0 {
		t.Errorf("got error %v after %d reads", err, s.reads)
	}
	if err := use(here, secret, "app"); !errors.Is(err, errReplayed) {
		t.Errorf("the second use: got error %v", err)
	}
	if err := use(there, secret, "app"); !errors.Is(err, errReplayed) {
		t.Errorf("the third, at another replica: got error %v", err)
	}

	secret = issue()
	if err := use(there, secret, "app"); err != nil {
		t.Errorf("at another replica: got error %v", err)
	}
	if err := use(here, secret, "app"); !errors.Is(err, errReplayed) {
		t.Errorf("after it was used at another replica: got error %v", err)
	}

	secret = issue()
	if err := use(here, secret, "stranger"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("by another client: got error %v", err)
	}
	if err := use(here, secret, "app"); err != nil {
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
	if _, ok := r.get(fmt.Sprint(3*maxRecent - 1)); !ok {
		t.Error("the newest is not remembered")
	}
}
