package event

// SessionUsed says that somebody had a session in their browser, and so needed not prove again who they are. What they signed in for
// may still be refused.
type SessionUsed struct {
	SessionID   string
	ClientID    string
	ConnectorID string
	UserID      string
}

// SessionEnded says that a browser's session has ended.
type SessionEnded struct {
	SessionID   string
	ConnectorID string
	UserID      string
	Why         SessionEnd
}

// A SessionEnd is why a session has ended; its text is for the log.
type SessionEnd string

// Why sessions end.
const (
	SessionSignedOut SessionEnd = "signed out"            // by its user
	SessionExpired   SessionEnd = "expired"               // unused, or too old
	SessionCrowded   SessionEnd = "replaced"              // by too many others in the same browser
	SessionRevoked   SessionEnd = "ended by operator"     // through the management API
	SessionAtSource  SessionEnd = "ended at the source"   // which has said so
	SessionPassword  SessionEnd = "password changed"      // by its user
	SessionGone      SessionEnd = "refused by the source" // which no longer vouches for the user
)

func (SessionUsed) event()  {}
func (SessionEnded) event() {}
