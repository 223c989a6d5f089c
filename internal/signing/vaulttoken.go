package signing

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"time"
)

// never is longer than anybody waits.
const never = time.Duration(math.MaxInt64)

// A tokenKeeper renews the token that Vault is asked with, as long as Vault lets it, and warns before the token ends.
type tokenKeeper struct {
	transit *transit
	log     *slog.Logger
	ends    time.Time // zero while it isn't known
	next    time.Time // when to renew; zero if there is nothing left to do
}

// begin finds out how long the token is good for.
func (k *tokenKeeper) begin(ctx context.Context) {
	now := time.Now()
	life, err := k.transit.lookUpToken(ctx)
	_, refused := errors.AsType[*refusal](err)
	k.next = time.Time{}
	switch {
	case ctx.Err() != nil:
	case err != nil && !refused:
		k.next = now.Add(readEvery) // Vault can't be reached
	case err != nil:
		k.log.WarnContext(ctx, "the Vault token won't be renewed, because its remaining life is unknown", "err", err)
	case life.left <= 0:
	case !life.renewable:
		k.log.WarnContext(ctx, "the Vault token expires and can't be renewed; nobody can sign in after that", "ends", now.Add(life.left))
	default:
		k.ends, k.next = now.Add(life.left), now.Add(life.left/2)
	}
}

// renew renews the token if it is time to.
func (k *tokenKeeper) renew(ctx context.Context) {
	now := time.Now()
	if k.next.IsZero() || now.Before(k.next) {
		return
	}
	if k.ends.IsZero() {
		k.begin(ctx)
		return
	}
	life, err := k.transit.renewToken(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil && now.After(k.ends):
		k.log.ErrorContext(ctx, "the Vault token has ended; nobody can sign in until there is another", "err", err)
		k.next = time.Time{}
	case err != nil:
		k.log.WarnContext(ctx, "the Vault token could not be renewed", "ends", k.ends, "err", err)
		k.next = now.Add(readEvery)
	case !now.Add(life.left).After(k.ends.Add(time.Second)):
		// Answers are in whole seconds.
		k.log.WarnContext(ctx, "the Vault token has reached the end of its life; nobody can sign in after that", "ends", k.ends)
		k.next = time.Time{}
	default:
		k.ends, k.next = now.Add(life.left), now.Add(life.left/2)
	}
}

// wait returns how long there is nothing to do.
func (k *tokenKeeper) wait() time.Duration {
	if k.next.IsZero() {
		return never
	}
	return time.Until(k.next)
}
