package event

// OwnChanged says that a user has changed something of their own account.
type OwnChanged struct {
	UserID      string
	ConnectorID string
	SessionID   string // in which they did
	What        OwnChange
	ClientID    string // the application that it is about; empty for none
}

// An OwnChange is what a user has done; its text is for the log.
type OwnChange string

// What users do with their own accounts, besides what SessionEnded, PasswordChanged and the events of second factors say.
const (
	LoginEnded       OwnChange = "application signed out"
	ConsentWithdrawn OwnChange = "consent withdrawn"
)

func (OwnChanged) event() {}
