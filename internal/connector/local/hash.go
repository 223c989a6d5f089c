package local

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/config"
)

// Bounds of bcrypt. A cheaper hash is guessed too fast, and a dearer one takes a core for longer than anybody waits for a
// login; once begun it can't be stopped.
const (
	MinCost     = 10 // also the usual one
	MaxCost     = 16
	MaxPassword = 72 // bytes; bcrypt ignores the rest
)

// A Hash is a bcrypt hash. The configuration file has it as it is or in base64.
type Hash []byte

// noPassword is a hash that no password has. It replaces one that can't be used: the user can't sign in, and still hides a
// stored user with the same address.
var noPassword = Hash(decoy(MinCost))

// NewHash returns the hash of a password. Its error is for people.
func NewHash(password string, cost int) (Hash, error) {
	if password == "" || len(password) > MaxPassword {
		return nil, fmt.Errorf("must have 1 to %d bytes", MaxPassword)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		return nil, fmt.Errorf("can't be hashed: %w", err)
	}
	return hash, nil
}

// CheckCost returns what is wrong with a cost for hashes, or nil.
func CheckCost(cost int) error {
	if cost < MinCost || cost > MaxCost {
		return fmt.Errorf("must be from %d to %d, not %d", MinCost, MaxCost, cost)
	}
	return nil
}

// UnmarshalConfig implements config.Unmarshaler. Text that is no hash in either form is kept for check to find.
func (h *Hash) UnmarshalConfig(s config.Section) config.Problems {
	var text string
	found := s.Decode(&text)
	*h = ParseHash(text)
	return found
}

// ParseHash reads a hash, plain or in base64. It trims line ends: tools that make hashes print one, and a hash with a line
// end matches no password.
func ParseHash(text string) Hash {
	text = strings.TrimSpace(text)
	if bcryptSyntax.MatchString(text) {
		return Hash(text)
	}
	if data, err := base64.StdEncoding.DecodeString(text); err == nil {
		return Hash(strings.TrimSpace(string(data)))
	}
	return Hash(text)
}

var bcryptSyntax = regexp.MustCompile(`^\$2[abxy]?\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)

// Errors of Hash.check.
var (
	errNoHash = errors.New("is neither a bcrypt hash, as dex hash-password prints it, nor one in base64")
	errCost   = fmt.Errorf("it must be from %d to %d; make a new hash with dex hash-password", MinCost, MaxCost)
)

// check returns what is wrong with a hash, or nil.
func (h Hash) check() error {
	if !bcryptSyntax.Match(h) {
		return errNoHash
	}
	if cost, err := bcrypt.Cost(h); err != nil || CheckCost(cost) != nil {
		return fmt.Errorf("has the bcrypt cost %d; %w", cost, errCost)
	}
	return nil
}
