package refresh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dex/internal/answer"
	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/store"
	"dex/internal/token"
)

// An effect is what presenting a token comes to.
type effect int

const (
	useCurrent   effect = iota // the token is current: a new one takes its place
	useDuplicate               // the token was current a moment ago, or has just become so: the answer is the current one
	useLate                    // the token was current longer ago: it depends on what became of the answer to its use
	useOwed                    // likewise, and the answer got lost: it is given once more
)

// The reasons for which a token is refused.
const (
	ErrForged  = answer.Refusal("refresh token is not of this family")
	ErrExpired = answer.Refusal("refresh token has expired")
	ErrReused  = answer.Refusal("refresh token was used before")
	ErrRaced   = answer.Refusal("refresh token was used by another request at the same time")
	// ErrOtherClient says that the token belongs to another client.
	ErrOtherClient = answer.Refusal("refresh token of another client")

	errLate = answer.Refusal("refresh token was used by another request")
)

// Refused is the error for ErrReused and ErrExpired. It says which login the refused token is from.
type Refused struct {
	event.Login
	Generation uint64 // of the token
	reason     error
}

// Error returns the reason.
func (r *Refused) Error() string { return r.reason.Error() }

// Unwrap returns the reason.
func (r *Refused) Unwrap() error { return r.reason }

// A Token is a refresh token as a client sent it.
type Token struct {
	FamilyID string
	secret   presented
}

// Read takes a refresh token apart; false if it can't be one of ours.
func Read(text string) (Token, bool) {
	familyID, secret := decode(text)
	if familyID == "" || len(familyID) > store.MaxKey {
		return Token{}, false
	}
	return Token{FamilyID: familyID, secret: readSecret(secret)}, true
}

// A Presented token is one that its client may use now.
type Presented struct {
	token.Authorization        // of the login, without the data that only the connector understands
	FamilyID            string // of the token
	Generation          uint64 // of the current token
	Shown               uint64 // the generation of the token that was presented
	// Current is set if the next token takes the place of this one, so that the source must be asked first. Otherwise the
	// answer is one that was given before.
	Current bool

	entry   store.Entry[family]
	effect  effect
	secret  presented
	arrived time.Time
}

// Present judges a token that a client presents now. The error is store.ErrNotFound, one of the reasons above, or that the
// storage failed.
func (s *Families) Present(ctx context.Context, t Token, clientID string) (*Presented, error) {
	arrived := s.now()
	e, u, err := s.read(ctx, t.FamilyID, t.secret, arrived)
	if f := &e.Value; e.Key != "" && !f.Ended && f.ClientID != clientID {
		return nil, ErrOtherClient
	}
	if err == nil {
		u, err = s.settle(ctx, &e.Value, u, arrived)
	}
	shown, _ := e.Value.generationOf(t.FamilyID, t.secret)
	if errors.Is(err, ErrReused) || errors.Is(err, ErrExpired) {
		return nil, &Refused{Login: e.Value.Login(t.FamilyID), Generation: shown, reason: err}
	}
	if err != nil {
		return nil, err
	}
	return &Presented{
		Authorization: e.Value.Authorization, FamilyID: t.FamilyID, Generation: e.Value.Generation, Shown: shown, Current: u == useCurrent,
		entry: e, effect: u, secret: t.secret, arrived: arrived,
	}, nil
}

// judge says what presenting a secret comes to. What counts is when it arrived: a request that waited for the identity source
// while another one's answer rotated the token is no reuse.
func (s *Families) judge(familyID string, f *family, p presented, arrived time.Time) (effect, error) {
	generation, ok := f.generationOf(familyID, p)
	switch {
	case f.Ended || !ok:
		return 0, ErrForged
	case s.expired(f, arrived):
		return 0, ErrExpired
	}
	inWindow := s.inWindow(f, arrived)
	switch {
	case generation == f.Generation && inWindow, generation+1 == f.Generation && inWindow:
		return useDuplicate, nil
	case generation == f.Generation:
		return useCurrent, nil
	case generation+1 == f.Generation:
		return useLate, nil
	}
	return 0, ErrReused
}

// read returns a family and what presenting one of its tokens comes to. Only the latest record refuses a token: a server of a
// cluster that is a moment behind doesn't know the token that another has just stored.
func (s *Families) read(
	ctx context.Context, familyID string, p presented, arrived time.Time,
) (e store.Entry[family], u effect, err error) {
	if e, err = s.get(ctx, familyID); err != nil {
		return e, 0, err
	}
	if u, err = s.judge(familyID, &e.Value, p, arrived); err == nil {
		return e, u, nil
	}
	if e, err = s.get(store.Latest(ctx), familyID); err != nil {
		return e, 0, err
	}
	u, err = s.judge(familyID, &e.Value, p, arrived)
	return e, u, err
}

// get returns a family with the lifetimes of its client.
func (s *Families) get(ctx context.Context, familyID string) (store.Entry[family], error) {
	e, err := s.table.Get(ctx, familyID)
	if err == nil {
		err = s.limit(ctx, &e.Value)
	}
	if err != nil {
		return store.Entry[family]{}, err
	}
	return e, nil
}

// inWindow reports whether a request arrived within the reuse interval. A rotation that seems to lie far ahead was made by a
// clock that was wrong, and has no window.
func (s *Families) inWindow(f *family, arrived time.Time) bool {
	if f.Rotated.IsZero() || s.lifetimes.ReuseInterval <= 0 || arrived.Before(f.Rotated.Add(-store.ClockSkew)) {
		return false
	}
	end := f.Rotated.Add(s.lifetimes.ReuseInterval)
	if f.Stamp.Process != s.answers.Self() {
		end = end.Add(store.UsualSkew)
	}
	return !arrived.After(end)
}

// settle says what presenting the token before the current one comes to after the reuse interval: a client that had no answer
// gets it now.
func (s *Families) settle(ctx context.Context, f *family, e effect, arrived time.Time) (effect, error) {
	if e != useLate {
		return e, nil
	}
	u := answer.Use{Stamp: f.Stamp, At: f.Rotated, GoodFor: s.lifetimes.ReuseInterval}
	o, err := s.answers.Of(ctx, u, arrived)
	switch {
	case err != nil:
		return 0, fmt.Errorf("refresh token was used, look for the answer: %w", err)
	case o == answer.Unanswered && s.answers.WithinDoubt(u, arrived):
		return useOwed, nil
	case o != answer.Overtaken, arrived.After(u.At.Add(u.GoodFor + s.answers.Skew(u.Process))):
		return 0, ErrReused
	case u.GoodFor > 0 && u.Process != s.answers.Self():
		return useDuplicate, nil // by that clock it may be in time
	}
	return 0, ErrRaced // two requests at once can't both be answered then, but nobody is a thief
}

// Advance makes the next token current, once, however many present the same one, and returns the token to use from now on.
// The identity is what the source says now. A second request within the reuse interval gets the same answer, without a
// write; one whose answer got lost gets it by a write that says so.
func (s *Families) Advance(ctx context.Context, p *Presented, fresh connector.Identity) (string, error) {
	e, u := p.entry, p.effect
	for u != useDuplicate {
		next, err := s.swap(ctx, e, u, p.secret, p.arrived, fresh)
		if err == nil {
			e = next
			break
		}
		if !errors.Is(err, errLate) {
			return "", err
		}
		if e, u, err = s.late(ctx, e.Key, p.secret, p.arrived); err != nil {
			return "", err
		}
	}
	return e.Value.successor(e.Key, p.secret), nil
}

// swap makes the next token current, or notes that it is given once more. The error is errLate if another request was faster
// and it depends on what became of its answer.
func (s *Families) swap(
	ctx context.Context, e store.Entry[family], u effect, p presented, arrived time.Time, fresh connector.Identity,
) (store.Entry[family], error) {
	known := e.Value.Stamp
	return s.write(ctx, e.Key, func(stamp answer.Stamp) (store.Entry[family], error) {
		return s.table.UpdateEntry(ctx, e, func(f *family) error {
			f.limits = e.Value.limits // if it was read again
			if u == useOwed && f.Stamp == known {
				f.Rotated, f.Stamp = s.now(), stamp
				return nil
			}
			now, err := s.judge(e.Key, f, p, arrived)
			switch {
			case err != nil:
				return err
			case now == useLate:
				return errLate
			case now == useDuplicate:
				return store.ErrUnchanged
			case u != useCurrent:
				return ErrRaced // it was rotated back and forth, which only a restored backup does
			}
			s.renew(f, p, fresh)
			f.Stamp = stamp
			return nil
		})
	})
}

// renew makes the token that follows the presented one current.
func (s *Families) renew(f *family, p presented, fresh connector.Identity) {
	f.LastUsed = s.now()
	if s.lifetimes.Rotate {
		f.rotate(p)
		f.Rotated = f.LastUsed
	}
	f.Identity = fresh
	f.Identity.Data = nil
	s.setExpiry(f)
}

// late is for a token that another request has used meanwhile.
func (s *Families) late(
	ctx context.Context, familyID string, p presented, arrived time.Time,
) (store.Entry[family], effect, error) {
	e, u, err := s.read(store.Latest(ctx), familyID, p, arrived)
	if err == nil {
		u, err = s.settle(ctx, &e.Value, u, arrived)
	}
	if err == nil && u == useCurrent {
		err = ErrRaced // as in swap
	}
	return e, u, err
}
