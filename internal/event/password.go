package event

// PasswordChanged says that somebody has set another password for themselves.
type PasswordChanged struct {
	ConnectorID string
	UserID      string
	By          PasswordProof
}

// A PasswordProof is by what somebody was allowed to set a password; its text is for the log.
type PasswordProof string

// What allows to set a password.
const (
	ByUser       PasswordProof = "user"       // who knew the one before
	ByReset      PasswordProof = "reset"      // a link that was mailed
	ByInvitation PasswordProof = "invitation" // a link from an operator
)

func (PasswordChanged) event() {}
