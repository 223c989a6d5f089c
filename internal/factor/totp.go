package factor

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238's default, and the only one that all apps know
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"dex/internal/event"
	"dex/internal/id"
)

const (
	totpDigits = 6
	totpPeriod = 30 // seconds
	// totpSecretLen is what RFC 4226 (4, R6) recommends.
	totpSecretLen = 20
	// maxDrift bounds how wrong an app's clock may be, in steps, once it has become so little by little.
	maxDrift = 10
)

var totpEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewTOTPSecret returns a secret for an app, in base32. It counts once ConfirmTOTP has seen a code of it.
func NewTOTPSecret() string { return totpEncoding.EncodeToString(id.Random(totpSecretLen)) }

// ConfirmTOTP enrolls an app that has proved to have the secret, if the conditions hold.
func (f *Factors) ConfirmTOTP(ctx context.Context, u User, authenticatorID, secret, code string, only ...Condition) error {
	if _, ok := f.totp[authenticatorID]; !ok {
		return fmt.Errorf("%q is no authenticator of type %s", authenticatorID, TypeTOTP)
	}
	key, err := readSecret(secret)
	if err != nil {
		return err
	}
	now := f.now()
	t := TOTP{Secret: key, Created: now}
	factor := u.factor(authenticatorID, event.FactorTOTP)
	if err := t.accept(code, now); err != nil {
		f.refused(ctx, factor, err)
		return err
	}
	err = f.change(ctx, u, func(r *Record) error {
		if _, taken := r.TOTP[authenticatorID]; taken {
			return ErrTaken
		}
		if err := r.meets(only); err != nil {
			return err
		}
		if r.TOTP == nil {
			r.TOTP = map[string]TOTP{}
		}
		r.TOTP[authenticatorID] = t
		return nil
	})
	if err == nil {
		f.events.Emit(ctx, event.FactorEnrolled{Factor: factor})
	}
	return err
}

// CheckTOTP passes a code of a user's app once.
func (f *Factors) CheckTOTP(ctx context.Context, u User, authenticatorID, code string) error {
	factor := u.factor(authenticatorID, event.FactorTOTP)
	if _, ok := readCode(code); !ok {
		f.refused(ctx, factor, ErrWrong) // nobody guesses so
		return ErrWrong
	}
	return f.checkCode(ctx, u, factor, func(r *Record, now time.Time) error {
		t, ok := r.TOTP[authenticatorID]
		if !ok {
			return ErrNotEnrolled
		}
		if err := t.accept(code, now); err != nil {
			return err
		}
		r.TOTP[authenticatorID] = t
		return nil
	})
}

// checkCode lets check look at a record and at what it makes of it, counts the guess, and tells what came of it.
func (f *Factors) checkCode(ctx context.Context, u User, factor event.Factor, check func(*Record, time.Time) error) error {
	var outcome error
	wrong := 0
	err := f.change(ctx, u, func(r *Record) error {
		now := f.now()
		outcome = r.guess(now, func() error { return check(r, now) })
		wrong = r.Guesses.Wrong
		if outcome != nil && !errors.Is(outcome, ErrWrong) {
			return outcome
		}
		return nil
	})
	if err == nil {
		err = outcome
	}
	if err == nil {
		f.events.Emit(ctx, event.FactorPassed{Factor: factor})
	} else {
		f.refused(ctx, factor, err)
	}
	if errors.Is(err, ErrWrong) && wrong == maxGuesses {
		f.events.Emit(ctx, event.FactorsLocked{UserID: u.UserID, ConnectorID: u.ConnectorID, Wrong: wrong})
	}
	return err
}

// accept checks a code, and remembers that it was used.
func (t *TOTP) accept(code string, now time.Time) error {
	code, ok := readCode(code)
	if !ok {
		return ErrWrong
	}
	current := now.Unix() / totpPeriod
	found := false
	var step int64
	for s := current - maxDrift - 1; s <= current+maxDrift+1; s++ {
		// All are compared, so that the time it takes says nothing of which one it was.
		equal := subtle.ConstantTimeCompare([]byte(totpCode(t.Secret, s)), []byte(code)) == 1
		if equal && t.allows(s-current) {
			found, step = true, s
		}
	}
	switch {
	case !found:
		return ErrWrong
	case step <= t.Step:
		return ErrReplayed
	}
	t.Step, t.Drift, t.LastUsed = step, step-current, now
	return nil
}

// readCode returns a code as apps make it, from how people type it; false if it can't be one.
func readCode(code string) (string, bool) {
	code = strings.ReplaceAll(code, " ", "")
	return code, len(code) == totpDigits && strings.Trim(code, "0123456789") == ""
}

// allows reports whether an app's clock may be ahead by so many steps: by one at most of ours, or of what it was before.
func (t *TOTP) allows(drift int64) bool {
	return near(drift, 0) || near(drift, t.Drift) && -maxDrift <= drift && drift <= maxDrift
}

func near(a, b int64) bool { return a-b >= -1 && a-b <= 1 }

// totpCode returns the code of a step, RFC 4226 (5.3).
func totpCode(secret []byte, step int64) string {
	mac := hmac.New(sha1.New, secret)
	_ = binary.Write(mac, binary.BigEndian, step) // a hash never fails
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", totpDigits, n%1_000_000)
}

// readSecret decodes a secret as apps show and upstream stores it.
func readSecret(secret string) ([]byte, error) {
	secret = strings.ToUpper(strings.TrimRight(strings.ReplaceAll(secret, " ", ""), "="))
	key, err := totpEncoding.DecodeString(secret)
	if err != nil || len(key) < 10 { // RFC 4226 asks for 16 bytes, but 80 bits are common
		return nil, errors.New("not the secret of an app for codes")
	}
	return key, nil
}
