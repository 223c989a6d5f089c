package factor

import (
	"context"
	"slices"
	"strings"
	"time"

	"dex/internal/event"
	"dex/internal/id"
)

const (
	recoveryLen   = 16 // characters of base32, 80 bits
	recoveryGroup = 4
)

// NewRecoveryCodes gives a user recovery codes in place of those from before. They can't be read again.
func (f *Factors) NewRecoveryCodes(ctx context.Context, u User) ([]string, error) {
	if f.recoveryCodes <= 0 {
		return nil, nil
	}
	codes := make([]string, f.recoveryCodes)
	hashes := make([][]byte, f.recoveryCodes)
	for i := range codes {
		codes[i] = id.Lower(id.Random(recoveryLen * 5 / 8))
		hashes[i] = id.Hash(codes[i])
		codes[i] = grouped(codes[i])
	}
	err := f.change(ctx, u, func(r *Record) error {
		if !r.Any() {
			return ErrNotEnrolled
		}
		r.RecoveryCodes = hashes
		return nil
	})
	if err != nil {
		return nil, err
	}
	f.events.Emit(ctx, event.RecoveryCodesMade{UserID: u.UserID, ConnectorID: u.ConnectorID, Codes: len(codes)})
	return codes, nil
}

// UseRecoveryCode passes one of a user's recovery codes, once, and returns how many are left.
func (f *Factors) UseRecoveryCode(ctx context.Context, u User, code string) (left int, err error) {
	factor := u.factor("", event.FactorRecovery)
	code, ok := readRecoveryCode(code)
	if !ok {
		f.refused(ctx, factor, ErrWrong) // nobody guesses so
		return 0, ErrWrong
	}
	err = f.checkCode(ctx, u, factor, func(r *Record, _ time.Time) error {
		if id.IsHashOf(r.UsedCode, code) {
			return ErrReplayed
		}
		if len(r.RecoveryCodes) == 0 {
			return ErrNotEnrolled
		}
		found := -1
		for i, hash := range r.RecoveryCodes {
			if id.IsHashOf(hash, code) {
				found = i
			}
		}
		if found < 0 {
			return ErrWrong
		}
		r.UsedCode = r.RecoveryCodes[found]
		r.RecoveryCodes = slices.Delete(r.RecoveryCodes, found, found+1)
		left = len(r.RecoveryCodes)
		return nil
	})
	if err != nil {
		return 0, err
	}
	f.events.Emit(ctx, event.RecoveryCodeUsed{UserID: u.UserID, ConnectorID: u.ConnectorID, Left: left})
	return left, nil
}

// grouped returns a text in groups that are easy to copy.
func grouped(s string) string {
	groups := slices.Collect(slices.Chunk([]byte(s), recoveryGroup))
	texts := make([]string, len(groups))
	for i, g := range groups {
		texts[i] = string(g)
	}
	return strings.Join(texts, " ")
}

// readRecoveryCode returns a code as it was made, from how people type it; false if it can't be one. No code has the digits 0 and 8.
func readRecoveryCode(code string) (string, bool) {
	code = recoveryTyped.Replace(strings.ToLower(code))
	return code, len(code) == recoveryLen
}

var recoveryTyped = strings.NewReplacer(" ", "", "-", "", "\t", "", "0", "o", "8", "b")
