// Package code keeps authorization codes (RFC 6749, section 4.1) from when they are issued until they are redeemed, and for a
// while after that.
package code

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"dex/internal/answer"
	"dex/internal/connector"
	"dex/internal/id"
	"dex/internal/oauth"
	"dex/internal/pkce"
	"dex/internal/store"
	"dex/internal/token"
)

// replayMemory is how long after its use a code is remembered, so that a second use can end what the first one gave.
const replayMemory = 10 * time.Minute

// Issued is the record of an authorization code. Its key is the code's hash, so that nobody who reads the storage can redeem
// it.
type Issued struct {
	token.Authorization
	RedirectURI string         `json:"redirectURI"`
	Challenge   pkce.Challenge `json:"challenge,omitzero"`
	ValidUntil  time.Time      `json:"validUntil"`
	Process     string         `json:"process,omitempty"` // whose clock says so
	// FamilyID names the refresh tokens that the code gives, before there are any, so that a replay finds them.
	FamilyID string `json:"familyID"`
	// Used marks a code that was redeemed without a refresh token, or that somebody failed to redeem. Where there is a refresh
	// token its family shows the use: it can begin only once.
	Used bool `json:"used,omitempty"`
	// Redeemed is when a code was last redeemed without a refresh token, and Stamp names the write; zero otherwise.
	Redeemed time.Time    `json:"redeemed,omitzero"`
	Stamp    answer.Stamp `json:"stamp,omitzero"`
	// Kept is the identity of a code that was redeemed, for whoever has the code and may use it again.
	Kept []byte `json:"kept,omitempty"`
}

// Codes are the authorization codes. They are safe for concurrent use.
type Codes struct {
	table    *store.Table[Issued]
	lifetime time.Duration
	reuse    time.Duration // how long after its use a code gets the same answer again
	answers  *answer.Ledger
	now      func() time.Time
	recent   *recent
}

var kind = store.Declare(store.Declaration[Issued]{
	Name: "code", Quiet: true,
	Expires: func(c *Issued) time.Time { return c.ValidUntil.Add(replayMemory) },
})

// New returns the codes in a storage, each good for a lifetime. Within the reuse interval after its use a code gets the same
// answer again, for a client that lost it; RFC 6749 (4.1.2) wants 0, which means never.
func New(s store.Store, lifetime, reuse time.Duration, answers *answer.Ledger, now func() time.Time) *Codes {
	return &Codes{
		table:    store.In(s, kind),
		lifetime: lifetime,
		reuse:    reuse,
		answers:  answers,
		now:      now,
		recent:   new(recent),
	}
}

// With returns the same codes with another lifetime and reuse interval for those issued and redeemed by it.
func (c *Codes) With(lifetime, reuse time.Duration) *Codes {
	with := *c
	with.lifetime, with.reuse = lifetime, reuse
	return &with
}

// shownLifetime is how long a code lives at least if a user copies it by hand. It is the most that RFC 6749 (4.1.2) recommends.
const shownLifetime = 10 * time.Minute

// Lifetime returns how long codes for a redirect URI live.
func (c *Codes) Lifetime(redirectURI string) time.Duration {
	if redirectURI == oauth.RedirectOutOfBand {
		return max(c.lifetime, shownLifetime)
	}
	return c.lifetime
}

// NewSecret returns an authorization code that stands for nothing yet.
func NewSecret() string { return id.NewSecret() }

// Issue stores an authorization under a new code. What the code gives later belongs to the login that its GrantID names, or
// to a new one. A code that was issued before, for the same login, stays as it is.
func (c *Codes) Issue(
	ctx context.Context, secret string, a token.Authorization, redirectURI string, challenge pkce.Challenge,
) error {
	key := keyOf(secret)
	issued := Issued{
		Authorization: a,
		RedirectURI:   redirectURI,
		Challenge:     challenge,
		ValidUntil:    c.now().Add(c.Lifetime(redirectURI)),
		Process:       c.answers.Self(),
		FamilyID:      cmp.Or(a.GrantID, id.New()),
	}
	e, err := c.table.Create(ctx, key, issued)
	same := func(stored *Issued) bool { return stored.FamilyID == issued.FamilyID }
	switch {
	case err == nil:
		c.recent.put(e)
		return nil
	case errors.Is(err, store.ErrExists):
		if e, err = c.table.Get(ctx, key); err == nil && !same(&e.Value) {
			err = store.ErrExists
		}
	default:
		_, err = answer.LookAgain(ctx, c.table, key, err, same)
	}
	if err != nil {
		return fmt.Errorf("issue authorization code: %w", err)
	}
	return nil
}

// ErrExpired says that a code has expired.
var ErrExpired = errors.New("authorization code has expired")

// Read returns a client's code. A code that was issued here may be stale: only Redeem or the beginning of its family finds out
// whether it was used. The error is answer.ErrReplayed or ErrExpired, both with the code, store.ErrNotFound for a code that
// isn't there or is another client's, or that the storage failed.
func (c *Codes) Read(ctx context.Context, secret, clientID string) (store.Entry[Issued], error) {
	key := keyOf(secret)
	e, ok := c.recent.get(key)
	if !ok {
		var err error
		if e, err = c.table.Get(ctx, key); err != nil {
			return e, err
		}
	}
	switch {
	case e.Value.ClientID != clientID:
		return e, fmt.Errorf("code of another client: %w", store.ErrNotFound)
	case e.Value.Used:
		return e, c.recall(ctx, secret, &e.Value)
	case c.now().After(e.Value.ValidUntil.Add(c.answers.Skew(e.Value.Process))):
		return e, ErrExpired
	}
	return e, nil
}

// recall gives a code that was redeemed its identity back, if it may be used again.
func (c *Codes) recall(ctx context.Context, secret string, used *Issued) error {
	if len(used.Kept) == 0 {
		return answer.ErrReplayed
	}
	if !c.MayRepeat(used.Redeemed) {
		owed, err := c.Owed(ctx, answer.Use{Stamp: used.Stamp, At: used.Redeemed})
		switch {
		case err != nil:
			return err
		case !owed:
			return answer.ErrReplayed
		}
	}
	return answer.Open(secret, used.Kept, &used.Identity)
}

// Owed reports whether the answer to the use of a code got lost and is still due.
func (c *Codes) Owed(ctx context.Context, u answer.Use) (bool, error) {
	owed, err := c.answers.Owed(ctx, u, c.now())
	if err != nil {
		return false, fmt.Errorf("code was used, look for the answer: %w", err)
	}
	return owed, nil
}

// MayRepeat reports whether a code that was used at a time may be used once more.
func (c *Codes) MayRepeat(used time.Time) bool {
	return c.reuse > 0 && !used.IsZero() && !c.now().After(used.Add(c.reuse))
}

// MayHaveRepeated reports whether a code that is used once more may only come a little too late for that, by the clock of
// another replica perhaps.
func (c *Codes) MayHaveRepeated(u answer.Use) bool {
	return !u.At.IsZero() && c.MayRepeat(u.At.Add(max(store.UsualSkew, c.answers.Skew(u.Process))))
}

// Redeem marks a code as used, or as used once more if Read has found that it may be. Of any number of callers one succeeds.
// The others get answer.ErrReplayed, unless the reuse interval is not over or the answer to the first got lost.
func (c *Codes) Redeem(ctx context.Context, secret string, e store.Entry[Issued]) error {
	for {
		if e.Value.Used && c.MayRepeat(e.Value.Redeemed) {
			return nil
		}
		err := c.use(ctx, secret, e)
		if !errors.Is(err, answer.ErrReplayed) {
			return err
		}
		if e, err = c.table.Get(store.Latest(ctx), e.Key); err != nil {
			return err
		}
		if err := c.recall(ctx, secret, &e.Value); err != nil {
			return err
		}
	}
}

// use marks a code as used after the use that the entry knows of, if any. The error is answer.ErrReplayed if there was
// another.
func (c *Codes) use(ctx context.Context, secret string, e store.Entry[Issued]) error {
	kept, err := answer.Seal(secret, e.Value.Identity)
	if err != nil {
		return err
	}
	_, err = answer.Write(ctx, c.answers, c.table, e.Key, stampOf, func(stamp answer.Stamp) (store.Entry[Issued], error) {
		return c.table.UpdateEntry(ctx, e, func(stored *Issued) error {
			if stored.Used != e.Value.Used || stored.Stamp != e.Value.Stamp {
				return answer.ErrReplayed
			}
			stored.Used, stored.Redeemed, stored.Stamp = true, c.now(), stamp
			stored.Identity, stored.Kept = connector.Identity{}, kept
			return nil
		})
	})
	return err
}

func stampOf(c *Issued) answer.Stamp { return c.Stamp }

// Spoil marks a code as used, so that nobody can redeem it, and reports whether it already was.
func (c *Codes) Spoil(ctx context.Context, e store.Entry[Issued]) (used bool, err error) {
	_, err = c.table.UpdateEntry(ctx, e, func(stored *Issued) error {
		used = stored.Used
		stored.Used, stored.Redeemed, stored.Stamp = true, time.Time{}, answer.Stamp{}
		stored.Identity, stored.Kept = connector.Identity{}, nil
		return nil
	})
	return used, err
}

func keyOf(secret string) string { return id.Lower(id.Hash(secret)) }
