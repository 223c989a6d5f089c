package main

import (
	"sync"
	"time"
)

const (
	loginLifetime = 10 * time.Minute
	maxLogins     = 20 // per session
)

// session is what the program knows about one browser.
type session struct {
	refreshing sync.Mutex // one refresh at a time, see refreshTokens

	polling sync.Mutex // one poll for a device at a time, see deviceWait

	mu      sync.Mutex
	logins  []pendingLogin // oldest first
	user    *tokenSet      // of the signed-in user
	last    *tokenSet      // of the latest token response, whatever the flow
	pending *pendingDevice // nil for none

	ended     *ending       // how the last sign-in ended, see there
	watchers  []chan ending // of open pages
	lastCheck time.Time     // zero before the first silent check
	answered  bool          // a check was answered, and no page shown since
}

// pendingLogin is a sign-in whose user is at the provider.
type pendingLogin struct {
	state        string
	nonce        string
	pkceVerifier string // empty without PKCE
	started      time.Time

	silent  bool      // nothing may be shown, see silentCheck
	checked *tokenSet // the signed-in user whom a silent check is about; may be nil
}

// addLogin drops the oldest sign-in if there are too many.
func (s *session) addLogin(login pendingLogin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.logins) >= maxLogins {
		s.logins = s.logins[1:]
	}
	s.logins = append(s.logins, login)
}

// takeLogin returns a pending sign-in, only once and only before it expires.
func (s *session) takeLogin(state string, now time.Time) (pendingLogin, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, login := range s.logins {
		if login.state == state {
			s.logins = append(s.logins[:i:i], s.logins[i+1:]...)
			return login, now.Sub(login.started) < loginLifetime
		}
	}
	return pendingLogin{}, false
}

// setDevice replaces the pending device sign-in; nil removes it.
func (s *session) setDevice(pending *pendingDevice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = pending
}

// device returns the pending device sign-in, or nil if there is none or it has
// expired.
func (s *session) device(now time.Time) *pendingDevice {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending != nil && !s.pending.Expiry.IsZero() && now.After(s.pending.Expiry) {
		s.pending = nil
	}
	return s.pending
}

// signIn makes the user of set the signed-in one.
func (s *session) signIn(set *tokenSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user, s.last, s.ended = set, set, nil
}

// signInIfNobody is signIn unless somebody has signed in meanwhile.
func (s *session) signInIfNobody(set *tokenSet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.user != nil {
		return false
	}
	s.user, s.last, s.ended = set, set, nil
	return true
}

// renew replaces the signed-in user's tokens, unless they have changed
// meanwhile.
func (s *session) renew(old, set *tokenSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.user == old {
		s.user, s.last = set, set
	}
}

// confirm is renew for tokens that are not the result of a flow.
func (s *session) confirm(old, set *tokenSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.user == old {
		s.user = set
	}
}

// beginCheck reports whether a silent check is due, and if so, about whom; nil
// for nobody. The page after an answer is always shown, however long it took:
// otherwise a slow provider would send the browser round in circles.
func (s *session) beginCheck(now time.Time, interval time.Duration) (user *tokenSet, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pause := interval
	if s.user != nil {
		pause = checkPause
	}
	// A sign-in by device belongs to another browser, about which nobody knows here.
	elsewhere := s.user != nil && s.user.elsewhere
	if s.answered || elsewhere || now.Sub(s.lastCheck) < pause {
		s.answered = false
		return nil, false
	}
	s.lastCheck = now
	return s.user, true
}

// finishedCheck notes the answer to a silent check.
func (s *session) finishedCheck(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastCheck, s.answered = now, true
}

// postponeCheck makes the next silent check wait.
func (s *session) postponeCheck(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastCheck = now
}

// setLast keeps a result that does not change the signed-in user.
func (s *session) setLast(set *tokenSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = set
}

// tokens returns the signed-in user's tokens and those of the latest response;
// either may be nil.
func (s *session) tokens() (user, last *tokenSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user, s.last
}
