package local

import (
	"bytes"
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
	MinCost           = 10 // also the usual one
	MaxCost           = 16
	MaxBcryptPassword = 72 // bytes; bcrypt ignores the rest
)

// A Hash is a hash of bcrypt or of argon2id. The configuration file has it as it is or in base64.
type Hash []byte

// noPassword is a hash that no password has. It replaces one that can't be used: the user can't sign in, and still hides a
// stored user with the same address.
var noPassword = Hash(decoy(MinCost))

// CheckCost returns what is wrong with a cost for bcrypt hashes, or nil.
func CheckCost(cost int) error {
	if cost < MinCost || cost > MaxCost {
		return fmt.Errorf("must be from %d to %d, not %d", MinCost, MaxCost, cost)
	}
	return nil
}

// UnmarshalConfig implements config.Unmarshaler. Text that is no hash in either form is kept for Check to find.
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
	if data, err := base64.StdEncoding.DecodeString(text); err == nil { // a hash itself is none, as it begins with $
		return Hash(strings.TrimSpace(string(data)))
	}
	return Hash(text)
}

var bcryptSyntax = regexp.MustCompile(`^\$2[abxy]?\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)

// Errors of Hash.Check.
var (
	errNoHash = errors.New("is neither a bcrypt nor an argon2id hash, as dex hash-password prints them, nor one in base64")
	errCost   = fmt.Errorf("it must be from %d to %d; make a new hash with dex hash-password", MinCost, MaxCost)
)

// Check returns what is wrong with a hash, or nil. The error is to follow the name of the setting.
func (h Hash) Check() error {
	if h.IsArgon2id() {
		_, err := parseArgon2id(h)
		return err
	}
	if !bcryptSyntax.Match(h) {
		return errNoHash
	}
	if cost, err := bcrypt.Cost(h); err != nil || CheckCost(cost) != nil {
		return fmt.Errorf("has the bcrypt cost %d; %w", cost, errCost)
	}
	return nil
}

// outOfBounds reports whether an error of Check is about a hash that would take too much, or too little.
func outOfBounds(err error) bool { return errors.Is(err, errCost) || errors.Is(err, errArgon2idBounds) }

// IsArgon2id reports whether the hash says that it is one of argon2id.
func (h Hash) IsArgon2id() bool { return bytes.HasPrefix(h, []byte(argon2idPrefix)) }

// A parsedHash is one of bcrypt with a cost, or of argon2id.
type parsedHash struct {
	cost     int
	argon2id *argon2id // nil for bcrypt
}

// parse reads a hash to compare with. A cost of bcrypt below MinCost is accepted, as the storage may have one.
func (h Hash) parse() (parsedHash, error) {
	if h.IsArgon2id() {
		a, err := parseArgon2id(h)
		return parsedHash{argon2id: &a}, err
	}
	cost, err := bcrypt.Cost(h)
	if err == nil && cost > MaxCost {
		err = fmt.Errorf("the hash has the bcrypt cost %d; it must be at most %d", cost, MaxCost)
	}
	return parsedHash{cost: cost}, err
}

// String says what the hash is like, for the log.
func (p parsedHash) String() string {
	if a := p.argon2id; a != nil {
		return fmt.Sprintf("argon2id m=%d,t=%d,p=%d", a.memory, a.passes, a.lanes)
	}
	return fmt.Sprintf("bcrypt cost %d", p.cost)
}
