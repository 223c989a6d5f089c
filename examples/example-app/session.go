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
}

// pendingLogin is a sign-in whose user is at the provider.
type pendingLogin struct {
	state        string
	nonce        string
	pkceVerifier string // empty without PKCE
	started      time.Time
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
	s.user, s.last = set, set
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
