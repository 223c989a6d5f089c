package local

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"

	"golang.org/x/crypto/argon2"
)

// MaxArgon2idPassword is the most bytes that a password with a new argon2id hash may have. The algorithm itself takes any number.
const MaxArgon2idPassword = 1024

// The argon2id of new hashes, as OWASP recommends: it takes about half as long as bcrypt with the cost 10, and 19 MiB of memory.
const (
	usualMemory = 19 << 10 // KiB
	usualPasses = 2
	usualLanes  = 1
	usualSalt   = 16 // bytes
	usualSum    = 32 // bytes
)

// Bounds of hashes that come from elsewhere. All processors may be hashing at once, each with as much memory.
const (
	maxMemory        = 64 << 10 // KiB
	maxPasses        = 10
	maxLanes         = 4
	minSalt, maxSalt = 8, 64  // bytes
	minSum, maxSum   = 16, 64 // bytes
)

// An argon2id is a hash by Argon2id (RFC 9106).
type argon2id struct {
	memory uint32 // KiB; m in the RFC
	passes uint32 // t
	lanes  uint8  // p
	salt   []byte
	sum    []byte
}

var (
	argon2idPrefix = "$argon2id$"
	argon2idSyntax = regexp.MustCompile(`^\$argon2id\$v=19\$m=([1-9][0-9]{0,9}),t=([1-9][0-9]{0,9}),p=([1-9][0-9]{0,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$`)
	// Strict, so that a hash has one form only.
	phcBase64 = base64.RawStdEncoding.Strict()

	errArgon2id       = errors.New("is not an argon2id hash in the form $argon2id$v=19$m=19456,t=2,p=1$salt$hash")
	errArgon2idBounds = fmt.Errorf("it must have m of at most %d, t of at most %d, p of at most %d, a salt of %d to %d bytes and a hash of "+
		"%d to %d; make a new hash with dex hash-password", maxMemory, maxPasses, maxLanes, minSalt, maxSalt, minSum, maxSum)
)

// parseArgon2id reads a hash in the PHC string format. Its error is to follow the name of the setting.
func parseArgon2id(hash []byte) (argon2id, error) {
	m := argon2idSyntax.FindSubmatch(hash)
	if m == nil {
		return argon2id{}, errArgon2id
	}
	var a argon2id
	var errSalt, errSum error
	_, tooLarge := fmt.Sscan(string(bytes.Join(m[1:4], []byte(" "))), &a.memory, &a.passes, &a.lanes)
	a.salt, errSalt = phcBase64.DecodeString(string(m[4]))
	a.sum, errSum = phcBase64.DecodeString(string(m[5]))
	if errSalt != nil || errSum != nil {
		return argon2id{}, errArgon2id
	}
	if tooLarge != nil || a.memory > maxMemory || a.passes > maxPasses || a.lanes > maxLanes {
		return argon2id{}, fmt.Errorf("asks too much of argon2id; %w", errArgon2idBounds)
	}
	return a, a.check()
}

// check returns what a hash has too little of, or too many bytes for; or nil.
func (a argon2id) check() error {
	if a.memory < 8*uint32(a.lanes) { // RFC 9106, section 3.1
		return fmt.Errorf("has less memory than 8 KiB for each lane; %w", errArgon2idBounds)
	}
	if len(a.salt) < minSalt || len(a.salt) > maxSalt || len(a.sum) < minSum || len(a.sum) > maxSum {
		return fmt.Errorf("has a salt or a hash of the wrong size; %w", errArgon2idBounds)
	}
	return nil
}

// newArgon2id returns what a new hash is made with; it has no sum yet.
func newArgon2id() argon2id {
	salt := make([]byte, usualSalt)
	_, _ = rand.Read(salt) // never fails
	return argon2id{memory: usualMemory, passes: usualPasses, lanes: usualLanes, salt: salt, sum: make([]byte, usualSum)}
}

// String returns the hash in the PHC string format.
func (a argon2id) String() string {
	return fmt.Sprintf("%sv=%d$m=%d,t=%d,p=%d$%s$%s", argon2idPrefix, argon2.Version, a.memory, a.passes, a.lanes,
		phcBase64.EncodeToString(a.salt), phcBase64.EncodeToString(a.sum))
}

// key returns what the sum of a password is. It takes as long as its work says.
func (a argon2id) key(password []byte) []byte {
	return argon2.IDKey(password, a.salt, a.passes, a.memory, a.lanes, uint32(len(a.sum))) //nolint:gosec // G115: at most maxSum
}

// usual reports whether the hash costs what new ones do.
func (a argon2id) usual() bool {
	return a.memory == usualMemory && a.passes == usualPasses && a.lanes == usualLanes
}

// work is how much a hash costs: the KiB that are filled.
func (a argon2id) work() uint32 { return a.memory * a.passes }

// usualWork is the work of new hashes.
const usualWork = usualMemory * usualPasses

// rest returns a hash for the work that this one has less than a new one; false if there is none to speak of.
func (a argon2id) rest() (argon2id, bool) {
	if a.work()+8*usualPasses > usualWork {
		return argon2id{}, false
	}
	r := newArgon2id()
	r.memory = (usualWork - a.work()) / usualPasses
	return r, true
}
