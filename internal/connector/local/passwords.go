package local

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/telemetry"
)

// passwords checks passwords, at the same cost for everybody.
type passwords struct {
	cost  int  // of a wrong password, as bcrypt counts: each step doubles it
	lower bool // hashes that cost more are replaced, too
	// hashing bounds how many hashes are computed at once. Each takes a core for some 50 ms and more: a crowd at the
	// login page waits in line, instead of sharing the cores with everybody who is signed in already.
	hashing *turns
	compare func(hash, password []byte) error // bcrypt's
}

// decoy returns a hash that no password has, to compare one with where there is no user.
func decoy(cost int) []byte { return fmt.Appendf(nil, "$2a$%02d$%s", cost, strings.Repeat("X", 22+31)) }

// networkBits is how much of an IPv6 address tells who waits for a hash: the largest network that a subscriber gets.
const networkBits = 48

// turn waits for the turn to compute a hash. done must be called after it.
func (p *passwords) turn(ctx context.Context) (done func(), err error) {
	return p.hashing.take(ctx, telemetry.Network(telemetry.ClientAddress(ctx), networkBits))
}

// check checks a password, waiting its turn. A wrong one costs what the settings say, even if the hash costs less, so that the
// time doesn't tell who exists.
func (p *passwords) check(ctx context.Context, hash []byte, password string) (bool, error) {
	cost, err := bcrypt.Cost(hash)
	if err == nil && cost > MaxCost {
		return false, fmt.Errorf("compare password: the hash has the bcrypt cost %d; it must be at most %d", cost, MaxCost)
	}
	done, turnErr := p.turn(ctx)
	if turnErr != nil {
		return false, turnErr
	}
	defer done()
	err = p.compare(hash, []byte(password))
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		for ; cost < p.cost; cost++ { // 2^cost, and all powers from there on, make 2^p.cost
			_ = p.compare(decoy(cost), []byte(password))
		}
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("compare password: %w", err)
	}
	return true, nil
}

// hash returns a hash of a password that is right, waiting its turn.
func (p *passwords) hash(ctx context.Context, password string) ([]byte, error) {
	done, err := p.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	hash, err := bcrypt.GenerateFromPassword([]byte(password[:min(len(password), MaxPassword)]), p.cost)
	if err != nil {
		return nil, fmt.Errorf("hash password: %w", err)
	}
	return hash, nil
}
