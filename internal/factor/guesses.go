package factor

import (
	"errors"
	"time"
)

// How often codes may be wrong in a row.
const (
	freeGuesses = 5   // without waiting
	maxGuesses  = 100 // until an operator has to help
	firstWait   = 30 * time.Second
	longestWait = 15 * time.Minute
)

// Guesses are wrong codes in a row.
type Guesses struct {
	Wrong int       `json:"wrong"`
	Until time.Time `json:"until,omitzero"` // when the next code is checked
}

// Locked reports until when no codes are checked; a zero time if they are.
func (r *Record) Locked(now time.Time) (until time.Time, forGood bool) {
	if r.Guesses.Wrong >= maxGuesses {
		return r.Guesses.Until, true
	}
	if now.Before(r.Guesses.Until) {
		return r.Guesses.Until, false
	}
	return time.Time{}, false
}

// guess checks a code unless that is locked, and counts it. The error is written into the record if it is ErrWrong, and leaves the record
// alone otherwise.
func (r *Record) guess(now time.Time, check func() error) error {
	if until, forGood := r.Locked(now); forGood || !until.IsZero() {
		return &Locked{Until: until, ForGood: forGood}
	}
	err := check()
	switch {
	case err == nil:
		r.Guesses = Guesses{}
	case errors.Is(err, ErrWrong):
		r.Guesses.Wrong++
		r.Guesses.Until = now.Add(waitAfter(r.Guesses.Wrong))
	}
	return err
}

// waitAfter returns how long the next guess waits after so many wrong ones.
func waitAfter(wrong int) time.Duration {
	wait := time.Duration(0)
	for n := freeGuesses; n <= wrong && wait < longestWait; n++ {
		wait = max(firstWait, 2*wait)
	}
	return min(wait, longestWait)
}
