package event

import "time"

// LogoutTokenSent says that a client has been told that a session has ended.
type LogoutTokenSent struct {
	ClientID  string
	SessionID string
	Attempts  int // this one included
}

// LogoutTokenFailed says that a client could not be told that a session has ended, and that it will be tried again.
type LogoutTokenFailed struct {
	ClientID  string
	SessionID string
	Attempts  int // this one included
	Next      time.Time
	Err       error
}

// LogoutTokenGivenUp says that a client won't be told any more that a session has ended.
type LogoutTokenGivenUp struct {
	ClientID  string
	SessionID string
	Attempts  int
	Err       error // of the last attempt
}

func (LogoutTokenSent) event()    {}
func (LogoutTokenFailed) event()  {}
func (LogoutTokenGivenUp) event() {}
