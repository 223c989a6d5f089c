package token

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"time"

	"dex/internal/connector"
	"dex/internal/id"
	"dex/internal/oauth"
	"dex/internal/store"
)

// replayMemory is how long after its use a code is remembered, so that a second use can end what the first one gave.
const replayMemory = 10 * time.Minute

// A Challenge is the application's proof key (RFC 7636); zero if it sent none.
type Challenge struct {
	Value  string `json:"value,omitempty"`
	Method string `json:"method,omitempty"`
	// AnyForm is set where challenge and verifier may be of any form, as upstream has it.
	AnyForm bool `json:"anyForm,omitempty"`
}

// code is the record of an authorization code. Its key is the code's hash, so that who reads the storage can't redeem it.
type code struct {
	Authorization
	RedirectURI string    `json:"redirectURI"`
	Challenge   Challenge `json:"challenge,omitzero"`
	ValidUntil  time.Time `json:"validUntil"`
	// FamilyID names the refresh tokens that the code gives, before there are any, so that a replay finds them.
	FamilyID string `json:"familyID"`
	// Used marks a code without refresh tokens that was redeemed, or any that somebody could not redeem. Where there are
	// refresh tokens it is their family that shows the use: it can begin only once.
	Used bool `json:"used,omitempty"`
	// Redeemed is when a code without refresh tokens was redeemed, where that may be repeated; zero otherwise.
	Redeemed time.Time `json:"redeemed,omitzero"`
}

// Codes are the authorization codes. They are safe for concurrent use.
type Codes struct {
	table    *store.Table[code]
	lifetime time.Duration
	reuse    time.Duration // how long after its use a code gets the same answer again
	now      func() time.Time
	recent   recent
}

// NewCodes returns the codes in a storage, each good for a lifetime. Within the reuse interval after its use a code gets the
// same answer again, for who lost it; RFC 6749 (4.1.2) wants 0, which means never.
func NewCodes(s store.Store, lifetime, reuse time.Duration, now func() time.Time) *Codes {
	return &Codes{
		table: store.In(s, store.Kind[code]{
			Name:    "code",
			Expires: func(c *code) time.Time { return c.ValidUntil.Add(replayMemory) },
		}),
		lifetime: lifetime,
		reuse:    reuse,
		now:      now,
	}
}

// Issue stores an authorization and returns the code for it. What the code gives later belongs to the login that its
// GrantID names, or to a new one.
func (c *Codes) Issue(ctx context.Context, a Authorization, redirectURI string, challenge Challenge) (string, error) {
	secret := id.New()
	e, err := c.table.Create(ctx, codeKey(secret), code{
		Authorization: a,
		RedirectURI:   redirectURI,
		Challenge:     challenge,
		ValidUntil:    c.now().Add(c.lifetime),
		FamilyID:      cmp.Or(a.GrantID, id.New()),
	})
	if err != nil {
		return "", fmt.Errorf("issue authorization code: %w", err)
	}
	c.recent.put(e)
	return secret, nil
}

// The reasons for which a code is refused, besides store.ErrNotFound.
var (
	errReplayed = errors.New("authorization code was used before")
	errTooOld   = errors.New("authorization code has expired")
)

// read returns a client's code. What was issued here may be stale: who goes by it must find out by a write of their own
// whether it was used. The error is errReplayed or errTooOld, both with the code, or store.ErrNotFound for a code that is
// not there or is another client's, or that the storage failed.
func (c *Codes) read(ctx context.Context, secret, clientID string) (store.Entry[code], error) {
	key := codeKey(secret)
	e, ok := c.recent.get(key)
	if !ok {
		var err error
		if e, err = c.table.Get(ctx, key); err != nil {
			return e, err
		}
	}
	switch {
	case e.Value.ClientID != clientID:
		return e, fmt.Errorf("code of another client: %w", store.ErrNotFound)
	case e.Value.Used && !c.mayRepeat(e.Value.Redeemed):
		return e, errReplayed
	case c.now().After(e.Value.ValidUntil):
		return e, errTooOld
	}
	return e, nil
}

// mayRepeat reports whether what was used at a time may be used once more.
func (c *Codes) mayRepeat(used time.Time) bool {
	return c.reuse > 0 && !used.IsZero() && !c.now().After(used.Add(c.reuse))
}

// mayHaveRepeated reports whether what was used at a time, by the clock of another replica perhaps, is used once more by
// somebody who only comes a little too late.
func (c *Codes) mayHaveRepeated(used time.Time) bool {
	return !used.IsZero() && c.mayRepeat(used.Add(clockSkew))
}

// redeem marks a code as used. Of any number of callers one succeeds, the others get errReplayed, but within the reuse
// interval.
func (c *Codes) redeem(ctx context.Context, e store.Entry[code]) error {
	return c.change(ctx, e, func(stored *code) error {
		switch {
		case stored.Used && c.mayRepeat(stored.Redeemed):
			return store.ErrUnchanged
		case stored.Used:
			return errReplayed
		case c.reuse > 0:
			stored.Redeemed = c.now()
		default:
			stored.Identity = connector.Identity{} // what is kept is only for recognizing a replay
		}
		stored.Used = true
		return nil
	})
}

// spoil marks a code as used, so that nobody can redeem it, and reports whether it was so marked before.
func (c *Codes) spoil(ctx context.Context, e store.Entry[code]) (used bool, err error) {
	err = c.change(ctx, e, func(stored *code) error {
		used = stored.Used
		stored.Used, stored.Redeemed, stored.Identity = true, time.Time{}, connector.Identity{}
		return nil
	})
	return used, err
}

func (c *Codes) change(ctx context.Context, e store.Entry[code], how func(*code) error) error {
	_, err := c.table.UpdateEntry(ctx, e, how)
	return err
}

func codeKey(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return id.Lower(sum[:])
}

var (
	// verifierForm is the form of a code verifier, and of a plain challenge (RFC 7636, section 4.1).
	verifierForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)
	// s256Form is the form of a hashed challenge (section 4.2).
	s256Form = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
)

// Valid reports whether the challenge can be met by any verifier.
func (ch Challenge) Valid() bool {
	if ch.AnyForm {
		return true
	}
	if ch.Method == oauth.ChallengeS256 {
		return s256Form.MatchString(ch.Value)
	}
	return verifierForm.MatchString(ch.Value)
}

// check compares a code verifier with the challenge (RFC 7636, section 4.6).
func (ch Challenge) check(verifier string) error {
	switch {
	case ch.Value == "" && verifier == "":
		return nil
	case ch.Value == "":
		return oauth.Errorf(oauth.InvalidRequest, "There is a code_verifier, but the authorization request had no code_challenge.")
	case verifier == "":
		return oauth.Errorf(oauth.InvalidGrant, "The code_verifier is missing.")
	case !ch.AnyForm && !verifierForm.MatchString(verifier):
		return oauth.Errorf(oauth.InvalidGrant, "The code_verifier must be 43 to 128 letters, digits, or - . _ ~")
	}
	if ch.Method == oauth.ChallengeS256 {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if subtle.ConstantTimeCompare([]byte(verifier), []byte(ch.Value)) != 1 {
		return oauth.Errorf(oauth.InvalidGrant, "The code_verifier does not match.")
	}
	return nil
}
