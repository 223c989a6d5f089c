package local

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/telemetry"
)

// passwords checks passwords, at the same cost for every user.
type passwords struct {
	cost  int  // of a wrong password, as bcrypt counts: each step doubles it
	lower bool // hashes that cost more are replaced too
	// hashing bounds how many hashes are computed at once. Each takes a core for 50 ms or more, so a crowd at the login
	// page waits in line instead of slowing down everybody who is signed in.
	hashing *turns
	compare func(hash, password []byte) error // bcrypt's
}

// decoy returns a hash that no password has, to compare with if there is no user.
func decoy(cost int) []byte { return fmt.Appendf(nil, "$2a$%02d$%s", cost, strings.Repeat("X", 22+31)) }

// networkBits is how much of an IPv6 address tells waiting networks apart: the largest one that a subscriber gets.
const networkBits = 48

// turn waits until a hash may be computed. The caller must call done afterwards.
func (p *passwords) turn(ctx context.Context) (done func(), err error) {
	return p.hashing.take(ctx, telemetry.Network(telemetry.ClientAddress(ctx), networkBits))
}

// check checks a password when its turn comes. A wrong one costs what the settings say, even if the hash is cheaper, so that
// the time doesn't tell which users exist.
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

// hash returns a new hash of a password that was right, when its turn comes.
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
