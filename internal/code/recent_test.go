package code

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"dex/internal/answer"
	"dex/internal/answer/answertest"
	"dex/internal/connector"
	"dex/internal/pkce"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/token"
)

// countReads counts the reads of codes.
type countReads struct {
	store.Store
	reads int
}

func (c *countReads) Get(ctx context.Context, kind, key string) (store.Record, error) {
	if kind == "code" {
		c.reads++
	}
	return c.Store.Get(ctx, kind, key)
}

func newCodes(s store.Store, reuse time.Duration, now func() time.Time) *Codes {
	return New(s, time.Minute, reuse, answertest.New(s, now), now)
}

var someone = token.Authorization{ClientID: "app", ConnectorID: "mock", Identity: connector.Identity{UserID: "u"}}

func TestCodeIsNotReadWhereItWasIssued(t *testing.T) {
	s := &countReads{Store: memory.New()}
	here, there := newCodes(s, 0, time.Now), newCodes(s, 0, time.Now)
	issue := func() string {
		secret := NewSecret()
		err := here.Issue(t.Context(), secret, someone, "http://app.test/", pkce.Challenge{})
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}

	use := func(codes *Codes, secret, client string) error {
		e, err := codes.Read(t.Context(), secret, client)
		if err != nil {
			return err
		}
		if e.Value.Identity.UserID != "u" {
			t.Errorf("got %+v", e.Value)
		}
		defer answertest.Tell(t, codes.answers)
		return codes.Redeem(t.Context(), secret, e)
	}

	secret := issue()
	if err := use(here, secret, "app"); err != nil || s.reads != 0 {
		t.Errorf("got error %v after %d reads", err, s.reads)
	}
	if err := use(here, secret, "app"); !errors.Is(err, answer.ErrReplayed) {
		t.Errorf("the second use: got error %v", err)
	}
	if err := use(there, secret, "app"); !errors.Is(err, answer.ErrReplayed) {
		t.Errorf("the third, at another replica: got error %v", err)
	}

	secret = issue()
	if err := use(there, secret, "app"); err != nil {
		t.Errorf("at another replica: got error %v", err)
	}
	if err := use(here, secret, "app"); !errors.Is(err, answer.ErrReplayed) {
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

// With a reuse interval a code is answered again for that long, but not when somebody has spoiled it.
func TestCodeMayBeRepeatedWithinTheInterval(t *testing.T) {
	clock := time.Now()
	s := memory.New()
	codes := newCodes(s, 2*time.Second, func() time.Time { return clock })
	elsewhere := newCodes(s, 2*time.Second, func() time.Time { return clock })
	use := func(codes *Codes, secret string) error {
		e, err := codes.Read(t.Context(), secret, "app")
		if err != nil {
			return err
		}
		if e.Value.Identity.UserID != "u" {
			t.Errorf("got %+v", e.Value)
		}
		defer answertest.Tell(t, codes.answers)
		return codes.Redeem(t.Context(), secret, e)
	}
	secret := NewSecret()
	err := codes.Issue(t.Context(), secret, someone, "http://app.test/", pkce.Challenge{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := errors.Join(use(codes, secret), use(elsewhere, secret)); err != nil {
			t.Error(err)
		}
		clock = clock.Add(time.Second)
	}
	for _, c := range []*Codes{codes, elsewhere} {
		if err := use(c, secret); !errors.Is(err, answer.ErrReplayed) {
			t.Errorf("after the interval: got error %v", err)
		}
	}

	secret = NewSecret()
	if err = codes.Issue(t.Context(), secret, someone, "http://app.test/", pkce.Challenge{}); err != nil {
		t.Fatal(err)
	}
	e, err := codes.Read(t.Context(), secret, "app")
	err = errors.Join(err, codes.Redeem(t.Context(), secret, e))
	if used, spoilErr := codes.Spoil(t.Context(), e); err != nil || spoilErr != nil || !used {
		t.Fatal(err, spoilErr, used)
	}
	for _, c := range []*Codes{codes, elsewhere} {
		if err := use(c, secret); !errors.Is(err, answer.ErrReplayed) {
			t.Errorf("a spoiled code: got error %v", err)
		}
	}
}

func TestRecentCodesAreBounded(t *testing.T) {
	var r recent
	for i := range 3 * maxRecent {
		r.put(store.Entry[Issued]{Key: fmt.Sprint(i)})
	}
	if len(r.byKey) != maxRecent {
		t.Errorf("%d codes are remembered, want %d", len(r.byKey), maxRecent)
	}
	if _, ok := r.get(fmt.Sprint(3*maxRecent - 1)); !ok {
		t.Error("the newest is not remembered")
	}
}
