package client

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"dex/internal/turn"
)

const (
	// hashPrefix begins a hashed secret, which is prefix, iterations, salt and hash, with dollar signs between them.
	hashPrefix = "$pbkdf2-sha256$"
	// iterations is for new secrets, and takes some 20 ms: people choose secrets too.
	iterations = 100_000
	// A secret of generatedLength characters was made by a program and can't be guessed, however fast the hash. There may
	// be very many of them to hash when upstream's clients are taken over.
	generatedLength, generatedIterations = 32, 1000
	// maxIterations bounds what a stored hash may ask for.
	maxIterations = 10_000_000
	// maxRemembered is how many checked secrets are remembered, 32 bytes each.
	maxRemembered = 10_000
)

// HashSecret returns the stored form of a client's secret; empty for an empty one.
func HashSecret(secret string) string {
	if secret == "" {
		return ""
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	n := iterations
	if len(secret) >= generatedLength {
		n = generatedIterations
	}
	enc := base64.RawStdEncoding
	hash := pbkdf2SHA256(secret, salt, n)
	return fmt.Sprintf("%s%d$%s$%s", hashPrefix, n, enc.EncodeToString(salt), enc.EncodeToString(hash))
}

// IsHashed reports whether a stored secret is a hash of one.
func IsHashed(stored string) bool { return strings.HasPrefix(stored, hashPrefix) }

// IsSecret reports whether a stored secret is this one. It takes as long as a hash does.
func IsSecret(stored, secret string) bool {
	if stored == "" || secret == "" {
		return false
	}
	if !IsHashed(stored) {
		return subtle.ConstantTimeCompare([]byte(stored), []byte(secret)) == 1
	}
	same, err := matchesHash(stored, secret)
	return same && err == nil
}

// unguessable reports whether all secrets of a client were made by a program.
func (c *Client) unguessable() bool {
	return isGenerated(c.Secret) && (c.PreviousSecret == "" || isGenerated(c.PreviousSecret))
}

// isGenerated reports whether a secret is so long that a program must have made it. For a hash the iterations tell.
func isGenerated(stored string) bool {
	rest, hashed := strings.CutPrefix(stored, hashPrefix)
	if !hashed {
		return len(stored) >= generatedLength
	}
	iterations, _, _ := strings.Cut(rest, "$")
	return iterations == strconv.Itoa(generatedIterations)
}

func pbkdf2SHA256(secret string, salt []byte, n int) []byte {
	sum, err := pbkdf2.Key(sha256.New, secret, salt, n, sha256.Size)
	if err != nil {
		panic(err) // only for a key length that SHA-256 doesn't have
	}
	return sum
}

// matchesHash reports whether a presented secret has the stored hash.
func matchesHash(stored, presented string) (bool, error) {
	parts := strings.Split(strings.TrimPrefix(stored, hashPrefix), "$")
	if len(parts) != 3 {
		return false, fmt.Errorf("stored secret: %d parts, want 3", len(parts))
	}
	n, err := strconv.Atoi(parts[0])
	if err != nil || n < 1 || n > maxIterations {
		return false, fmt.Errorf("stored secret: %q iterations; must be 1 to %d", parts[0], maxIterations)
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[1])
	if err != nil {
		return false, fmt.Errorf("stored secret: salt: %w", err)
	}
	hash, err := base64.RawStdEncoding.DecodeString(parts[2])
	if err != nil || len(hash) != sha256.Size {
		return false, fmt.Errorf("stored secret: the hash is not %d bytes in base64", sha256.Size)
	}
	return subtle.ConstantTimeCompare(hash, pbkdf2SHA256(presented, salt, n)) == 1, nil
}

// secrets checks clients' secrets. Hashing is slow, so a secret that was right is remembered, as a MAC by a key that only
// this process has. A client seen before doesn't queue behind guessers.
type secrets struct {
	key  []byte
	line *turn.Line // in front of the hashes

	mu         sync.Mutex
	remembered map[[sha256.Size]byte]struct{}
}

func newSecrets() *secrets {
	s := &secrets{
		key:        make([]byte, sha256.Size),
		line:       turn.ForHashes(),
		remembered: make(map[[sha256.Size]byte]struct{}),
	}
	_, _ = rand.Read(s.key) // never fails
	return s
}

// match says which of the client's secrets was presented. It compares in constant time, whatever the lengths. A hash takes
// longer than plain text, which tells nothing secret: client ids are public.
func (s *secrets) match(ctx context.Context, c *Client, presented string) (matched, error) {
	if c.Secret == "" {
		// The configuration allows this only for public clients; a stored client may lack its secret by mistake.
		if c.Public && presented == "" {
			return matchedCurrent, nil
		}
		return matchedNone, nil
	}
	ok, err := s.equal(ctx, c.Secret, presented)
	if err != nil {
		return matchedNone, fmt.Errorf("client %q: %w", c.ID, err)
	}
	if ok {
		return matchedCurrent, nil
	}
	if c.PreviousSecret == "" {
		return matchedNone, nil
	}
	if ok, err = s.equal(ctx, c.PreviousSecret, presented); err != nil {
		return matchedNone, fmt.Errorf("client %q: previous secret: %w", c.ID, err)
	}
	if ok {
		return matchedPrevious, nil
	}
	return matchedNone, nil
}

// matched is which secret of a client was presented.
type matched int

const (
	matchedNone matched = iota
	matchedCurrent
	matchedPrevious
)

// equal compares a presented secret with a stored one, hashed or plain.
func (s *secrets) equal(ctx context.Context, stored, presented string) (bool, error) {
	if !IsHashed(stored) {
		want, got := sha256.Sum256([]byte(stored)), sha256.Sum256([]byte(presented))
		return subtle.ConstantTimeCompare(want[:], got[:]) == 1, nil
	}
	if presented == "" {
		return false, nil
	}
	memory := s.mac(stored, presented)
	if s.remembers(memory) {
		return true, nil
	}
	done, err := s.line.Take(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	ok, err := matchesHash(stored, presented)
	if ok {
		s.remember(memory)
	}
	return ok, err
}

func (s *secrets) mac(stored, presented string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(stored)) // always has the same number of dollar signs, so its end is unambiguous
	mac.Write([]byte{'$'})
	mac.Write([]byte(presented))
	mac.Sum(sum[:0])
	return sum
}

func (s *secrets) remembers(memory [sha256.Size]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.remembered[memory]
	return ok
}

func (s *secrets) remember(memory [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.remembered) >= maxRemembered {
		clear(s.remembered)
	}
	s.remembered[memory] = struct{}{}
}
