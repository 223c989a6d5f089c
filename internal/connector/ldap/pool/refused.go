package pool

// A Reason says why a server refused a password.
type Reason int

const (
	// WrongPassword is also the answer for an entry that does not exist or has no password.
	WrongPassword Reason = iota
	// AccountLocked is an account with too many wrong passwords.
	AccountLocked
	// AccountDisabled is an account that an administrator has switched off.
	AccountDisabled
	// AccountExpired is an account whose time is over.
	AccountExpired
	// PasswordExpired is a right password that is too old.
	PasswordExpired
	// MustChange is a right password that has to be changed before it is good for anything else.
	MustChange
	// NotNow is an account that may not log in at this time or from this machine.
	NotNow
)

// Refused is a password that did not let its user in.
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
