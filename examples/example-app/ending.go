package main

import (
	"time"
)

// maxWatchers bounds how many open pages of one browser are told at once. With
// HTTP/1.1, browsers open six connections at most.
const maxWatchers = 10

// A cause is why somebody is signed out without having asked for it here.
type cause string

const (
	endedTold    cause = "told"    // the provider said so, by back-channel logout
	endedUnknown cause = "unknown" // the provider was asked, and knows nobody in this browser
	endedRefused cause = "refused" // the provider doesn't renew the tokens
	endedHere    cause = "here"    // the user has signed out in another tab
)

// ending is the end of a sign-in.
type ending struct {
	At        time.Time
	Cause     cause
	SessionID string // at the provider; may be empty
}

// signOut ends the sign-in of a user, and tells the open pages. It does nothing
// if somebody else, or the same user anew, has signed in meanwhile.
func (s *session) signOut(end ending, user *tokenSet) {
	s.signOutIf(end, func(now *tokenSet) bool { return now == user })
}

// signOutIf ends the sign-in if its tokens match, and reports whether it did.
func (s *session) signOutIf(end ending, matches func(*tokenSet) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.user == nil || !matches(s.user) {
		return false
	}
	end.SessionID = s.user.identity.SessionID
	s.user, s.last, s.ended = nil, nil, &end
	s.lastCheck = end.At // the page that says so comes first
	for _, watcher := range s.watchers {
		watcher <- end // has room for one
	}
	s.watchers = nil
	return true
}

// ending returns how the last sign-in ended; nil if somebody is signed in, or
// was never.
func (s *session) ending() *ending {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// watch returns a channel that gets the end of the sign-in, at once if it has
// ended already; nil if too many watch.
func (s *session) watch() chan ending {
	s.mu.Lock()
	defer s.mu.Unlock()
	watcher := make(chan ending, 1)
	if s.user == nil && s.ended != nil {
		watcher <- *s.ended
		return watcher
	}
	if len(s.watchers) >= maxWatchers {
		return nil
	}
	s.watchers = append(s.watchers, watcher)
	return watcher
}

// unwatch ends a watch.
func (s *session) unwatch(watcher chan ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range s.watchers {
		if w == watcher {
			s.watchers = append(s.watchers[:i:i], s.watchers[i+1:]...)
			return
		}
	}
}
