package connector

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// Logout is a source that can end its own session with a user.
type Logout interface {
	// LogoutURL returns the way to the source's own logout; its URL is empty if there is none.
	LogoutURL(ctx context.Context, r LogoutRequest) (Redirect, error)
	// HandleLogout reads the source's answer from the browser that comes back to LogoutRequest.ReturnURL.
	HandleLogout(ctx context.Context, r Return) error
}

// A LogoutRequest is a user who signs out.
type LogoutRequest struct {
	Identity  Identity      // as it was at the last login; its Data may be missing if there is a Session
	Session   SourceSession // as it was at the last login; zero for logins of which none was kept
	ReturnURL string        // where the source sends the browser back
	State     string        // to be given back by the source
}

// LogoutReceiver is a source that tells us when a user has signed out there.
type LogoutReceiver interface {
	// ReceiveLogout reads what came to Env.OwnLogoutURL: a GET, or a POST whose form has been parsed. A *BadToken says that the
	// message is refused: nobody may be signed out for it. Other errors are those of Outcome. A message that was received can't
	// be received again.
	ReceiveLogout(ctx context.Context, r *http.Request) (SourceLogout, error)
}

// A SourceLogout is what a source tells of a logout there.
type SourceLogout struct {
	// Sessions are the ids of the source's sessions that have ended; none means all of the subject's. If there is no subject
	// either, all sessions of this connector in the browser that brought the message have ended.
	Sessions []string
	// Subject is whose sessions have ended; empty if the source doesn't say.
	Subject string
	// Before is when the sessions began at the latest that have ended, so that a late message doesn't end what the user has begun
	// since; zero for all. It allows for clocks that differ.
	Before time.Time
	// Browser says that the user's browser brought the message: maybe in a frame, without cookies. Otherwise the source sent it.
	Browser bool
	// Unsigned says that anybody may have written the message.
	Unsigned bool
	// Returns says that the message is none of these, but the source's answer to a logout that began here, for HandleLogout.
	// Everything else is zero then.
	Returns bool
	// Answer returns the way back to the source, which the browser must take; nil for a source that wants no more than a status.
	Answer func(ctx context.Context, ended Ended) (Redirect, error)
}

// Ended is how much of a logout has been done.
type Ended int

// From nothing to everything.
const (
	EndedNothing Ended = iota // it failed
	EndedHere                 // our own sessions have ended, but not all applications can be told
	EndedEverywhere
)

// Means reports whether a logout ends a session that began at a time. It doesn't look at the browser.
func (l *SourceLogout) Means(s SourceSession, began time.Time) bool {
	switch {
	case l.Subject != "" && l.Subject != s.Subject,
		len(l.Sessions) > 0 && (s.ID == "" || !slices.Contains(l.Sessions, s.ID)),
		!l.Before.IsZero() && began.After(l.Before):
		return false
	}
	return true
}
