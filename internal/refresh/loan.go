package refresh

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"dex/internal/store"
	"dex/internal/token"
	"dex/internal/wait"
)

const (
	// AskTimeout bounds how long an identity source may take to say who a user is now.
	AskTimeout = 30 * time.Second
	// loanTime is how long one question to a source may take. If a replica dies with a loan, the others wait so long.
	loanTime = AskTimeout + 5*time.Second
	// loanPoll is how often a replica checks whether another has given the data back.
	loanPoll = 50 * time.Millisecond
)

// A Loan is the right to ask a source with a user's data, which only one replica may do at a time: a source whose refresh
// tokens work once may take the second of two questions for a thief's. The replicas that waited find what the first has
// brought. The zero value is for a user without data.
type Loan struct {
	Data   []byte
	holder string // random; empty if there is nothing to give back
}

// lent says in the record who has the data.
type lent struct {
	Holder string    `json:"holder,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}

// Borrow waits until nobody else asks the source with a user's data.
func (o *OfflineSessions) Borrow(ctx context.Context, userID, connectorID string) (Loan, error) {
	key, mine := token.SubjectKey(userID, connectorID), lent{Holder: rand.Text()}
	var other string
	var seen time.Time // since when the other one has it, by this process's clock
	for {
		e, err := o.table.Get(store.Latest(ctx), key)
		if errors.Is(err, store.ErrNotFound) {
			return Loan{}, nil
		}
		if err != nil {
			return Loan{}, err
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
				return Loan{Data: e.Value.ConnectorData, holder: mine.Holder}, nil
			}
			if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
				return Loan{}, fmt.Errorf("borrow connector data: %w", err)
			}
		}
		if err := wait.For(ctx, loanPoll); err != nil {
			return Loan{}, fmt.Errorf("another replica asks the source for this user: %w", err)
		}
	}
}

// GiveBack lets others ask the source. If it fails, they wait for loanTime.
func (o *OfflineSessions) GiveBack(ctx context.Context, userID, connectorID string, l Loan) error {
	if l.holder == "" {
		return nil
	}
	_, err := o.table.Update(ctx, token.SubjectKey(userID, connectorID), func(stored *offline) error {
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
