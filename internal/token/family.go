package token

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"dex/internal/answer"
	"dex/internal/store"
)

const (
	// maxFamilies is how many logins of one user stay alive; beyond it the least recently used end.
	maxFamilies = 1000
	// trimEvery is how many logins pass between two counts, as counting reads them all.
	trimEvery = 512
	// trimAtOnce is how many logins are ended at once, so that a storage that gathers writes has some to gather.
	trimAtOnce = 64
	// tombstoneTime is how long a family that must not come to be is kept from it; longer than any code is good.
	tombstoneTime = time.Hour
)

// family is the record of a login that can be prolonged: all the refresh tokens that one device gets one after the other
// (RFC 9700, section 4.14.2). It holds no token and nothing to make one from; see secret.go.
type family struct {
	Authorization
	Key        []byte    `json:"key,omitempty"`
	Generation uint64    `json:"generation"`         // of the token that is current
	Secret     []byte    `json:"secret,omitempty"`   // hash of the current token's
	Previous   []byte    `json:"previous,omitempty"` // hash of that of the token before
	Salt       []byte    `json:"salt,omitempty"`     // made the current secret of the one before
	Created    time.Time `json:"created"`
	LastUsed   time.Time `json:"lastUsed"`
	// Rotated is when the current token came to be from the one before; zero for the first.
	Rotated time.Time `json:"rotated,omitzero"`
	// Repeated is when the first token was given once more, as nobody knew of an answer; zero otherwise.
	Repeated time.Time `json:"repeated,omitzero"`
	// Stamp names the write that made the current token, and so the process by whose clock it was.
	Stamp answer.Stamp `json:"stamp,omitzero"`
	// Upstream is set where the first token was one of upstream's.
	Upstream *upstreams `json:"upstream,omitempty"`
	// Ended marks a tombstone.
	Ended   bool      `json:"ended,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

// Policy is how long refresh tokens live and what happens when one is used.
type Policy struct {
	Rotate            bool
	ReuseInterval     time.Duration // how long after a rotation the token before is answered with the same next one
	ValidIfNotUsedFor time.Duration // 0 means for ever
	AbsoluteLifetime  time.Duration // 0 means for ever
}

// Families are the refresh tokens. They are safe for concurrent use.
type Families struct {
	table   *store.Table[family]
	policy  Policy
	answers *answer.Ledger
	now     func() time.Time
	log     *slog.Logger

	created atomic.Uint64
}

var familyKind = store.Declare(store.Declaration[family]{
	Name: "refresh", Durable: true, Quiet: true,
	Owner:   func(f *family) string { return subjectKey(f.Identity.UserID, f.ConnectorID) },
	Expires: func(f *family) time.Time { return f.Expires },
})

// NewFamilies returns the families in a storage.
func NewFamilies(s store.Store, p Policy, answers *answer.Ledger, now func() time.Time, log *slog.Logger) *Families {
	answers.TellAfter(p.ReuseInterval)
	return &Families{
		table:   store.In(s, familyKind),
		policy:  p,
		answers: answers,
		now:     now,
		log:     log,
	}
}

// begin starts a family and returns its first token, which is derived from the code that it is for.
func (s *Families) begin(ctx context.Context, familyID, code string, a Authorization) (string, error) {
	f := family{Authorization: a, Key: randomBytes(secretLen), Salt: randomBytes(secretLen), Created: s.now()}
	first := nextSecret(code, f.Salt)
	f.Secret = hashSecret(first)
	f.Identity.Data = nil // has its own record, which all families of the user share
	f.LastUsed = f.Created
	s.setExpiry(&f)
	_, err := s.write(ctx, familyID, func(stamp answer.Stamp) (store.Entry[family], error) {
		f.Stamp = stamp
		return s.table.Create(ctx, familyID, f)
	})
	if err != nil {
		return "", fmt.Errorf("begin refresh token family: %w", err)
	}
	if s.created.Add(1)%trimEvery == 0 {
		if err := s.trim(ctx, subjectKey(a.Identity.UserID, a.ConnectorID), a.ClientID); err != nil {
			s.log.WarnContext(ctx, "could not end the oldest logins of a user", "client_id", a.ClientID, "err", err)
		}
	}
	return encodeRefreshToken(familyID, f.secretText(familyID, 0, first)), nil
}

// repeat says that the first token of a family is given once more. The error is answer.ErrReplayed if there was another use
// of what it was given for than the one that the caller knows of.
func (s *Families) repeat(ctx context.Context, familyID string, known answer.Use) error {
	_, err := s.write(ctx, familyID, func(stamp answer.Stamp) (store.Entry[family], error) {
		return s.table.Update(ctx, familyID, func(f *family) error {
			if f.Ended || f.Stamp != known.Stamp {
				return answer.ErrReplayed
			}
			f.Stamp, f.Repeated = stamp, s.now()
			return nil
		})
	})
	return err
}

// write stores a family by a stamped write.
func (s *Families) write(
	ctx context.Context, familyID string, how func(answer.Stamp) (store.Entry[family], error),
) (store.Entry[family], error) {
	return answer.Write(ctx, s.answers, s.table, familyID, func(f *family) answer.Stamp { return f.Stamp }, how)
}

// first returns the first token of a family, and how it was given last, for whoever has the code. The use is zero when the
// token was used already, or the family has ended.
func (s *Families) first(ctx context.Context, familyID, code string) (token string, begun answer.Use, err error) {
	e, err := s.table.Get(store.Latest(ctx), familyID)
	if errors.Is(err, store.ErrNotFound) {
		return "", answer.Use{}, nil
	}
	if err != nil {
		return "", answer.Use{}, err
	}
	f := &e.Value
	secret := nextSecret(code, f.Salt)
	if f.Ended || !f.LastUsed.Equal(f.Created) || f.Generation != 0 || !isHashOf(f.Secret, secret) {
		return "", answer.Use{}, nil
	}
	return encodeRefreshToken(familyID, f.secretText(familyID, 0, secret)), answer.Use{Stamp: f.Stamp, At: cmp.Or(f.Repeated, f.Created)}, nil
}

// An effect is what presenting a token comes to.
type effect int

const (
	useCurrent   effect = iota // the token is current: a new one takes its place
	useDuplicate               // the token was current a moment ago, or has just become so: the answer is the current one
	useLate                    // the token was current longer ago: what became of the answer to its use decides
	useOwed                    // likewise, and the answer got lost: it is given once more
)

// The reasons for which a token is refused.
const (
	errForged  = answer.Refusal("refresh token is not of this family")
	errExpired = answer.Refusal("refresh token has expired")
	errReused  = answer.Refusal("refresh token was used before")
	errRaced   = answer.Refusal("refresh token was used by another request at the same time")
	errLate    = answer.Refusal("refresh token was used by another request")
)

// judge says what presenting a secret comes to. What counts is when it arrived: whoever had to wait for the identity source
// while another one's answer rotated the token has not reused it.
func (s *Families) judge(familyID string, f *family, p presented, arrived time.Time) (effect, error) {
	generation, ok := f.generationOf(familyID, p)
	switch {
	case f.Ended || !ok:
		return 0, errForged
	case s.expired(f, arrived):
		return 0, errExpired
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
	return 0, errReused
}

// read returns a family and what presenting one of its tokens comes to. A token is refused only by a record that is the
// latest: a server of a cluster that is a moment behind does not know a token that another has just stored.
func (s *Families) read(
	ctx context.Context, familyID string, p presented, arrived time.Time,
) (e store.Entry[family], u effect, err error) {
	if e, err = s.table.Get(ctx, familyID); err != nil {
		return e, 0, err
	}
	if u, err = s.judge(familyID, &e.Value, p, arrived); err == nil {
		return e, u, nil
	}
	if e, err = s.table.Get(store.Latest(ctx), familyID); err != nil {
		return e, 0, err
	}
	u, err = s.judge(familyID, &e.Value, p, arrived)
	return e, u, err
}

// inWindow reports whether a request arrived within the reuse interval. A rotation that seems to lie far ahead was made by a
// clock that was wrong, and has no window.
func (s *Families) inWindow(f *family, arrived time.Time) bool {
	if f.Rotated.IsZero() || s.policy.ReuseInterval <= 0 || arrived.Before(f.Rotated.Add(-store.ClockSkew)) {
		return false
	}
	end := f.Rotated.Add(s.policy.ReuseInterval)
	if f.Stamp.Process != s.answers.Self() {
		end = end.Add(store.UsualSkew)
	}
	return !arrived.After(end)
}

// settle says what presenting the token before the current one comes to, later than the reuse interval: who had no answer
// gets it now.
func (s *Families) settle(ctx context.Context, f *family, e effect, arrived time.Time) (effect, error) {
	if e != useLate {
		return e, nil
	}
	u := answer.Use{Stamp: f.Stamp, At: f.Rotated, GoodFor: s.policy.ReuseInterval}
	o, err := s.answers.Of(ctx, u, arrived)
	switch {
	case err != nil:
		return 0, fmt.Errorf("refresh token was used, look for the answer: %w", err)
	case o == answer.Unanswered && s.answers.WithinDoubt(u, arrived):
		return useOwed, nil
	case o != answer.Overtaken, arrived.After(u.At.Add(u.GoodFor + s.answers.Skew(u.Process))):
		return 0, errReused
	case u.GoodFor > 0 && u.Process != s.answers.Self():
		return useDuplicate, nil // by that clock it may be in time
	}
	return 0, errRaced // two requests at once can't both be answered then, but nobody is a thief
}

// advance makes the next token current, once, however many present the same one, and returns the token to use from now
// on. Whoever comes second within the reuse interval gets the same answer, without a write; whoever is owed one gets it by a
// write that says so.
func (s *Families) advance(
	ctx context.Context, e store.Entry[family], u effect, p presented, arrived time.Time, fresh Authorization,
) (string, error) {
	for u != useDuplicate {
		next, err := s.swap(ctx, e, u, p, arrived, fresh)
		if err == nil {
			e = next
			break
		}
		if !errors.Is(err, errLate) {
			return "", err
		}
		if e, u, err = s.late(ctx, e.Key, p, arrived); err != nil {
			return "", err
		}
	}
	return e.Value.successor(e.Key, p), nil
}

// swap makes the next token current, or says that it is given once more. The error is errLate where what became of the
// answer to another request decides.
func (s *Families) swap(
	ctx context.Context, e store.Entry[family], u effect, p presented, arrived time.Time, fresh Authorization,
) (store.Entry[family], error) {
	known := e.Value.Stamp
	return s.write(ctx, e.Key, func(stamp answer.Stamp) (store.Entry[family], error) {
		return s.table.UpdateEntry(ctx, e, func(f *family) error {
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
				return errRaced // it was rotated back and forth, which only a restored backup does
			}
			s.renew(f, p, fresh)
			f.Stamp = stamp
			return nil
		})
	})
}

// renew makes the token that follows the presented one current.
func (s *Families) renew(f *family, p presented, fresh Authorization) {
	f.LastUsed = s.now()
	if s.policy.Rotate {
		f.rotate(p)
		f.Rotated = f.LastUsed
	}
	f.Identity = fresh.Identity
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
		err = errRaced // as in swap
	}
	return e, u, err
}

// End ends a family, or keeps it from beginning. A tombstone takes its place, so that the code that it began from, which
// may still be good, can't begin it again.
func (s *Families) End(ctx context.Context, familyID string) error {
	for {
		_, err := s.table.Update(ctx, familyID, func(f *family) error {
			*f = s.tombstone()
			return nil
		})
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		_, err = s.table.Create(ctx, familyID, s.tombstone())
		if !errors.Is(err, store.ErrExists) {
			return err
		}
		// It began in between.
	}
}

func (s *Families) tombstone() family {
	return family{Ended: true, Expires: s.now().Add(tombstoneTime)}
}

// begun returns when a family began, zero if it did not, or has ended; and whether it still can.
func (s *Families) begun(ctx context.Context, familyID string) (at time.Time, possible bool, err error) {
	e, err := s.table.Get(ctx, familyID)
	if errors.Is(err, store.ErrNotFound) {
		return time.Time{}, true, nil
	}
	return e.Value.Created, false, err // a tombstone has no time
}

// trim ends the least recently used families of a user at a client until no more than maxFamilies are left.
func (s *Families) trim(ctx context.Context, owner, clientID string) error {
	var logins []store.Entry[family]
	for after := ""; ; {
		page, err := s.table.List(ctx, store.Query{Owner: owner, After: after})
		if err != nil {
			return err
		}
		for _, e := range page {
			if e.Value.ClientID == clientID {
				// Of a page's documents only this much is kept.
				logins = append(logins, store.Entry[family]{Key: e.Key, Revision: e.Revision, Value: family{
					Created: e.Value.Created, LastUsed: e.Value.LastUsed,
				}})
			}
		}
		if len(page) < store.MaxLimit {
			break
		}
		after = page[len(page)-1].Key
	}
	slices.SortFunc(logins, func(a, b store.Entry[family]) int { return a.Value.LastUsed.Compare(b.Value.LastUsed) })
	ending, ctx := errgroup.WithContext(ctx)
	ending.SetLimit(trimAtOnce)
	for _, e := range logins[:max(0, len(logins)-maxFamilies)] {
		ending.Go(func() error { return s.remove(ctx, e) })
	}
	return ending.Wait()
}

// remove ends a family that nobody has used since it was read.
func (s *Families) remove(ctx context.Context, e store.Entry[family]) error {
	var err error
	if s.now().Sub(e.Value.Created) > tombstoneTime {
		err = s.table.Delete(ctx, e.Key, e.Revision)
	} else {
		e.Value = s.tombstone()
		_, err = s.table.Replace(ctx, e)
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// expired reports whether the family had come of age or been idle for too long at a time.
func (s *Families) expired(f *family, at time.Time) bool {
	end := s.end(f)
	return !end.IsZero() && at.After(end)
}

// end returns when the family ends if it isn't used before; zero means never. The limits are today's, so that a shorter
// one in the configuration holds for old families too.
func (s *Families) end(f *family) time.Time {
	var end time.Time
	if s.policy.AbsoluteLifetime > 0 {
		end = f.Created.Add(s.policy.AbsoluteLifetime)
	}
	if s.policy.ValidIfNotUsedFor > 0 {
		if idle := f.LastUsed.Add(s.policy.ValidIfNotUsedFor); end.IsZero() || idle.Before(end) {
			end = idle
		}
	}
	return end
}

// setExpiry lets the storage forget the family when it has ended, but not before the code has that it began from: the
// record is what shows that the code was used.
func (s *Families) setExpiry(f *family) {
	f.Expires = s.end(f)
	if kept := f.Created.Add(tombstoneTime); !f.Expires.IsZero() && f.Expires.Before(kept) {
		f.Expires = kept
	}
}
