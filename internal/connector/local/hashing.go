package local

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/turn"
)

// Hashing says how passwords are hashed.
type Hashing struct {
	Argon2id bool // new hashes; otherwise they are of bcrypt
	Cost     int  // of bcrypt: of new hashes, and of any wrong password
	Lower    bool // bcrypt hashes that cost more are replaced too
}

// A LengthError says that a password is empty or too long.
type LengthError struct{ longest int }

// Error says how long it may be, to follow the name of the setting.
func (e *LengthError) Error() string { return fmt.Sprintf("must have 1 to %d bytes", e.longest) }

// Hash returns the hash of a password. The error is a *LengthError, or ours.
func (h Hashing) Hash(password string) (Hash, error) {
	if longest := h.longest(); password == "" || len(password) > longest {
		return nil, &LengthError{longest}
	}
	if h.Argon2id {
		a := newArgon2id()
		a.sum = a.key([]byte(password))
		return Hash(a.String()), nil
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), h.Cost)
	if err != nil {
		return nil, fmt.Errorf("hash password: %w", err)
	}
	return hash, nil
}

// String says what new hashes are like, for the log.
func (h Hashing) String() string {
	if h.Argon2id {
		return parsedHash{argon2id: new(newArgon2id())}.String()
	}
	return parsedHash{cost: h.Cost}.String()
}

// longest is how many bytes a password may have.
func (h Hashing) longest() int {
	if h.Argon2id {
		return MaxArgon2idPassword
	}
	return MaxBcryptPassword
}

// renewal returns how a hash is made anew, now that a password is known that was right; false if it stays.
func (h Hashing) renewal(old parsedHash, password string) (Hashing, bool) {
	switch {
	case old.argon2id != nil && h.Argon2id:
		return h, !old.argon2id.usual() && len(password) <= h.longest()
	case old.argon2id == nil && (!h.Argon2id || len(password) > MaxBcryptPassword):
		// Of a longer password bcrypt has checked only the beginning. Its end may be mistyped, and argon2id would insist on it.
		h.Argon2id = false
		return h, old.cost < h.Cost || old.cost > h.Cost && h.Lower
	}
	return h, len(password) <= MaxBcryptPassword
}

// dearer reports whether a hash takes another time than others however wrong passwords are evened out.
func (h Hashing) dearer(hash parsedHash) bool {
	if a := hash.argon2id; a != nil {
		return a.work() > usualWork || a.lanes != usualLanes
	}
	return hash.cost > h.Cost
}

// passwords hashes and checks passwords. A wrong one costs the same for every user, and for nobody: one bcrypt of the cost that
// Hashing says, and one argon2id like that of new hashes. Neither is left out while one of them isn't in use, as a few old
// or imported hashes are enough to tell their users apart.
type passwords struct {
	Hashing

	// line bounds how many hashes are computed at once. Each takes a core for 20 ms or more, and 19 MiB of memory if it is an
	// argon2id, so a crowd at the login page waits in line instead of slowing down everybody who is signed in.
	line *turn.Line
	with *algorithms
}

// algorithms are how hashes are computed; tests count them. They are behind a pointer as functions can't be compared, which would
// make the connector another one with each configuration.
type algorithms struct {
	bcrypt   func(hash, password []byte) error
	argon2id func(a argon2id, password []byte) []byte
}

var ordinary = &algorithms{bcrypt.CompareHashAndPassword, argon2id.key}

// decoy returns a bcrypt hash that no password has, to compare with if there is no user.
func decoy(cost int) []byte { return fmt.Appendf(nil, "$2a$%02d$%s", cost, strings.Repeat("X", 22+31)) }

// turn waits until a hash may be computed. The caller must call done afterwards.
func (p *passwords) turn(ctx context.Context) (done func(), err error) {
	return p.line.Take(ctx)
}

// check checks a password when its turn comes. A wrong one takes as long as for every other user, so that the time doesn't tell
// which users exist.
func (p *passwords) check(ctx context.Context, hash Hash, password string) (bool, error) {
	parsed, err := hash.parse()
	if err != nil {
		return false, fmt.Errorf("compare password: %w", err)
	}
	done, err := p.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	match, err := p.matches(hash, parsed, []byte(password))
	if err == nil && !match {
		p.evenOut(parsed, []byte(password))
	}
	return match, err
}

func (p *passwords) matches(hash Hash, parsed parsedHash, password []byte) (bool, error) {
	if a := parsed.argon2id; a != nil {
		return subtle.ConstantTimeCompare(p.with.argon2id(*a, password), a.sum) == 1, nil
	}
	err := p.with.bcrypt(hash, password)
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("compare password: %w", err)
	}
	return true, nil
}

// evenOut does what a wrong password has yet to cost.
func (p *passwords) evenOut(parsed parsedHash, password []byte) {
	if a := parsed.argon2id; a != nil {
		_ = p.with.bcrypt(decoy(p.Cost), password)
		if rest, ok := a.rest(); ok {
			p.with.argon2id(rest, password)
		}
		return
	}
	for cost := parsed.cost; cost < p.Cost; cost++ { // 2^cost, and all powers from there on, make 2^p.Cost
		_ = p.with.bcrypt(decoy(cost), password)
	}
	p.with.argon2id(newArgon2id(), password)
}

// hash returns a hash of a password when its turn comes.
func (p *passwords) hash(ctx context.Context, h Hashing, password string) (Hash, error) {
	done, err := p.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return h.Hash(password)
}
