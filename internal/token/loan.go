package token

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"dex/internal/store"
	"dex/internal/wait"
)

const (
	// loanTime is how long one question to a source may take. A replica that died with a loan costs the others so much.
	loanTime = askTimeout + 5*time.Second
	// loanPoll is how often a replica looks whether another has given the data back.
	loanPoll = 50 * time.Millisecond
)

// A loan is the right to ask a source with a user's data, which only one replica may do at a time: a source whose refresh
// tokens work once may take the second of two questions for a thief's. Whoever has waited finds what the first has brought.
// The zero value is of a user without data.
type loan struct {
	data   []byte
	holder string // random; empty where there is nothing to give back
}

// lent says in the record who has the data.
type lent struct {
	Holder string    `json:"holder,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}

// borrow waits until nobody else asks the source with a user's data.
func (o *OfflineSessions) borrow(ctx context.Context, userID, connectorID string) (loan, error) {
	key, mine := subjectKey(userID, connectorID), lent{Holder: rand.Text()}
	var other string
	var seen time.Time // since when the other one has it, by this process's clock
	for {
		e, err := o.table.Get(store.Latest(ctx), key)
		if errors.Is(err, store.ErrNotFound) {
			return loan{}, nil
		}
		if err != nil {
			return loan{}, err
		}
		if h := e.Value.Lent.Holder; h != other {
			other, seen = h, time.Now()
		}
		over := time.Since(seen) > loanTime || o.now().After(e.Value.Lent.Since.Add(loanTime+store.ClockSkew))
		if other == "" || over {
			mine.Since = o.now()
			e.Value.Lent = mine
			if !o.lastsLongEnough(&e.Value) {
				o.prolong(&e.Value)
			}
			if e, err = o.table.Replace(ctx, e); err == nil {
				return loan{data: e.Value.ConnectorData, holder: mine.Holder}, nil
			}
			if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
				return loan{}, fmt.Errorf("borrow connector data: %w", err)
			}
		}
		if err := wait.For(ctx, loanPoll); err != nil {
			return loan{}, fmt.Errorf("another replica asks the source for this user: %w", err)
		}
	}
}

// giveBack lets others ask the source. One that fails costs them loanTime.
func (o *OfflineSessions) giveBack(ctx context.Context, userID, connectorID string, l loan) error {
	if l.holder == "" {
		return nil
	}
	_, err := o.table.Update(ctx, subjectKey(userID, connectorID), func(stored *offline) error {
		if stored.Lent.Holder != l.holder {
			return store.ErrUnchanged
		}
		stored.Lent = lent{}
		return nil
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("give connector data back: %w", err)
	}
	return nil
}
