// Package refresh keeps logins alive: refresh tokens in families, what connectors need to say later who a user is, and
// upstream's refresh tokens.
package refresh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"dex/internal/answer"
	"dex/internal/id"
	"dex/internal/store"
	"dex/internal/token"
)

// family is the record of a login that can be prolonged: all the refresh tokens that one device gets one after the other
// (RFC 9700, section 4.14.2). It holds no token and nothing to make one from; see secret.go.
type family struct {
	token.Authorization
	Key        []byte    `json:"key,omitempty"`
	Generation uint64    `json:"generation"`         // of the token that is current
	Secret     []byte    `json:"secret,omitempty"`   // hash of the current token's
	Previous   []byte    `json:"previous,omitempty"` // hash of that of the token before
	Salt       []byte    `json:"salt,omitempty"`     // the current secret is derived from it and the one before
	Created    time.Time `json:"created"`
	LastUsed   time.Time `json:"lastUsed"`
	// Rotated is when the current token took the place of the one before; zero for the first.
	Rotated time.Time `json:"rotated,omitzero"`
	// Repeated is when the first token was given once more because nobody knew of an answer; zero otherwise.
	Repeated time.Time `json:"repeated,omitzero"`
	// Stamp names the write that made the current token, and so the process by whose clock it was.
	Stamp answer.Stamp `json:"stamp,omitzero"`
	// Upstream is set where the first token was one of upstream's.
	Upstream *upstreams `json:"upstream,omitempty"`
	// Ended marks a tombstone.
	Ended   bool      `json:"ended,omitempty"`
	Expires time.Time `json:"expires,omitzero"`

	limits Limits // of its client, today
}

// Limits are lifetimes of one client's refresh tokens; 0 stands for that of the Lifetimes.
type Limits struct {
	ValidIfNotUsedFor, AbsoluteLifetime time.Duration
}

// Clients says which lifetimes a client has of its own.
type Clients interface {
	RefreshLimits(ctx context.Context, clientID string) (Limits, error)
}

// Lifetimes is how long refresh tokens live and what happens when one is used.
type Lifetimes struct {
	Rotate            bool
	ReuseInterval     time.Duration // how long after a rotation the token before is answered with the same next one
	ValidIfNotUsedFor time.Duration // 0 means for ever
	AbsoluteLifetime  time.Duration // 0 means for ever
}

// Families are the refresh tokens. They are safe for concurrent use.
type Families struct {
	table     *store.Table[family]
	lifetimes Lifetimes
	clients   Clients // nil where none has lifetimes of its own
	answers   *answer.Ledger
	now       func() time.Time
	log       *slog.Logger

	created *atomic.Uint64
}

var familyKind = store.Declare(store.Declaration[family]{
	Name: "refresh", Durable: true, Quiet: true,
	Owner:   func(f *family) string { return token.SubjectKey(f.Identity.UserID, f.ConnectorID) },
	Expires: func(f *family) time.Time { return f.Expires },
})

// New returns the families in a storage.
func New(s store.Store, l Lifetimes, answers *answer.Ledger, now func() time.Time, log *slog.Logger) *Families {
	return &Families{
		table:     store.In(s, familyKind),
		lifetimes: l,
		answers:   answers,
		now:       now,
		log:       log,
		created:   new(atomic.Uint64),
	}
}

// With returns the same families, to be begun and used with other lifetimes.
func (s *Families) With(l Lifetimes, of Clients) *Families {
	with := *s
	with.lifetimes, with.clients = l, of
	return &with
}

// limit looks up the lifetimes of a family's client. It has to be called before anything is asked about the family's end.
func (s *Families) limit(ctx context.Context, f *family) error {
	if s.clients == nil || f.Ended {
		return nil
	}
	var err error
	if f.limits, err = s.clients.RefreshLimits(ctx, f.ClientID); err != nil {
		return fmt.Errorf("look up the client of a refresh token: %w", err)
	}
	return nil
}

// Begin starts a family and returns its first token, which is derived from the code that it is for.
func (s *Families) Begin(ctx context.Context, familyID, code string, a token.Authorization) (string, error) {
	f := family{Authorization: a, Key: id.Random(secretLen), Salt: id.Random(secretLen), Created: s.now()}
	first := nextSecret(code, f.Salt)
	f.Secret = id.Hash(first)
	f.Identity.Data = nil // has its own record, which all families of the user share
	f.LastUsed = f.Created
	if err := s.limit(ctx, &f); err != nil {
		return "", err
	}
	s.setExpiry(&f)
	_, err := s.write(ctx, familyID, func(stamp answer.Stamp) (store.Entry[family], error) {
		f.Stamp = stamp
		return s.table.Create(ctx, familyID, f)
	})
	if err != nil {
		return "", fmt.Errorf("begin refresh token family: %w", err)
	}
	if s.created.Add(1)%trimEvery == 0 {
		if err := s.trim(ctx, token.SubjectKey(a.Identity.UserID, a.ConnectorID), a.ClientID); err != nil {
			s.log.WarnContext(ctx, "could not end the oldest logins of a user", "client_id", a.ClientID, "err", err)
		}
	}
	return encode(familyID, f.secretText(familyID, 0, first)), nil
}

// Repeat says that the first token of a family is given once more. The error is answer.ErrReplayed if there was another use
// of what it was given for than the one that the caller knows of.
func (s *Families) Repeat(ctx context.Context, familyID string, known answer.Use) error {
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

// First returns the first token of a family to whoever has the code that it was given for, and how it was given last. Both are
// empty if the token was used, or the family has ended.
func (s *Families) First(ctx context.Context, familyID, code string) (first string, begun answer.Use, err error) {
	e, err := s.table.Get(store.Latest(ctx), familyID)
	if errors.Is(err, store.ErrNotFound) {
		return "", answer.Use{}, nil
	}
	if err != nil {
		return "", answer.Use{}, err
	}
	f := &e.Value
	secret := nextSecret(code, f.Salt)
	if f.Ended || !f.LastUsed.Equal(f.Created) || f.Generation != 0 || !id.IsHashOf(f.Secret, secret) {
		return "", answer.Use{}, nil
	}
	begun = answer.Use{Stamp: f.Stamp, At: cmp.Or(f.Repeated, f.Created)}
	return encode(familyID, f.secretText(familyID, 0, secret)), begun, nil
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

// Begun returns when a family began, zero if it hasn't or has ended, and whether it still can begin.
func (s *Families) Begun(ctx context.Context, familyID string) (at time.Time, possible bool, err error) {
	e, err := s.table.Get(ctx, familyID)
	if errors.Is(err, store.ErrNotFound) {
		return time.Time{}, true, nil
	}
	return e.Value.Created, false, err // a tombstone has no time
}

// expired reports whether the family was too old, or had been idle for too long, at a time.
func (s *Families) expired(f *family, at time.Time) bool {
	end := s.end(f)
	return !end.IsZero() && at.After(end)
}

// end returns when the family ends if it isn't used before; zero means never. The limits are today's, so that a shorter
// one in the configuration holds for old families too.
func (s *Families) end(f *family) time.Time {
	var end time.Time
	if absolute := cmp.Or(f.limits.AbsoluteLifetime, s.lifetimes.AbsoluteLifetime); absolute > 0 {
		end = f.Created.Add(absolute)
	}
	if unused := cmp.Or(f.limits.ValidIfNotUsedFor, s.lifetimes.ValidIfNotUsedFor); unused > 0 {
		if idle := f.LastUsed.Add(unused); end.IsZero() || idle.Before(end) {
			end = idle
		}
	}
	return end
}

// setExpiry sets when the storage may forget the family: when it has ended, but not before the code that it began from is
// forgotten, as the record shows that the code was used.
func (s *Families) setExpiry(f *family) {
	f.Expires = s.end(f)
	if kept := f.Created.Add(tombstoneTime); !f.Expires.IsZero() && f.Expires.Before(kept) {
		f.Expires = kept
	}
}
