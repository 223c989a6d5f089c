package pool

// A Reason says why a server refused a password.
type Reason int

const (
	// WrongPassword is also the answer for an entry that does not exist or has no password.
	WrongPassword Reason = iota
	// AccountLocked is an account that is locked after too many wrong passwords.
	AccountLocked
	// AccountDisabled is an account that an administrator has disabled.
	AccountDisabled
	// AccountExpired is an account that has expired.
	AccountExpired
	// PasswordExpired is a correct password that has expired.
	PasswordExpired
	// MustChange is a correct password that must be changed before it can be used.
	MustChange
	// NotNow is an account that may not log in at this time or from this machine.
	NotNow
)

// Refused means that a password did not let its user in.
type Refused struct {
	Reason Reason
	// Err is the server's answer.
	Err error
}

// Error returns the reason and the server's answer.
func (r *Refused) Error() string { return r.Reason.String() + ": " + r.Err.Error() }

// Unwrap returns the server's answer.
func (r *Refused) Unwrap() error { return r.Err }

// String returns the reason in words for a log.
func (r Reason) String() string {
	switch r {
	case AccountLocked:
		return "account is locked"
	case AccountDisabled:
		return "account is disabled"
	case AccountExpired:
		return "account has expired"
	case PasswordExpired:
		return "password has expired"
	case MustChange:
		return "password must be changed"
	case NotNow:
		return "account may not log in now"
	default:
		return "wrong password"
	}
}
