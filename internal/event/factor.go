package event

// A Factor is the second factor, or the passkey, of a user that an event is about.
type Factor struct {
	UserID          string
	ConnectorID     string
	AuthenticatorID string // in the configuration; empty for recovery codes, and while it isn't known
	Method          FactorMethod
}

// A FactorMethod is how somebody proves a factor; its text is for the log.
type FactorMethod string

// The methods.
const (
	FactorTOTP     FactorMethod = "totp"
	FactorRecovery FactorMethod = "recovery code"
	FactorWebAuthn FactorMethod = "webauthn"
	FactorPasskey  FactorMethod = "passkey" // in place of a password
)

// FactorEnrolled says that a user has set up a factor.
type FactorEnrolled struct{ Factor }

// FactorRemoved says that a factor of a user was removed.
type FactorRemoved struct{ Factor }

// FactorPassed says that a user has proved a factor. What they sign in for may still be refused.
type FactorPassed struct{ Factor }

// FactorRefused says that somebody has not proved a factor. For a passkey the user is who it claims to be of, if anybody.
type FactorRefused struct {
	Factor
	Reason FactorRefusal
	Err    error
}

// A FactorRefusal is why a factor was refused; its text is for the log.
type FactorRefusal string

// Why factors are refused.
const (
	FactorWrong    FactorRefusal = "wrong"    // the code
	FactorReplayed FactorRefusal = "replayed" // the code or the answer was used before
	FactorLocked   FactorRefusal = "locked"   // nobody has looked at the code, after too many wrong ones
	FactorClone    FactorRefusal = "clone"    // the credential seems to have been copied
	FactorCeremony FactorRefusal = "ceremony" // the answer of the browser is not valid
)

// FactorsLocked says that so many codes were wrong that no others are checked until an operator helps.
type FactorsLocked struct {
	UserID      string
	ConnectorID string
	Wrong       int // in a row
}

// FactorsUnlocked says that codes of a user are checked again.
type FactorsUnlocked struct{ UserID, ConnectorID string }

// FactorsReset says that all factors of a user were removed.
type FactorsReset struct{ UserID, ConnectorID string }

// RecoveryCodesMade says that a user has got recovery codes, in place of any from before.
type RecoveryCodesMade struct {
	UserID      string
	ConnectorID string
	Codes       int
}

// RecoveryCodeUsed says that a user had no other factor at hand.
type RecoveryCodeUsed struct {
	UserID      string
	ConnectorID string
	Left        int
}

func (FactorEnrolled) event()    {}
func (FactorRemoved) event()     {}
func (FactorPassed) event()      {}
func (FactorRefused) event()     {}
func (FactorsLocked) event()     {}
func (FactorsUnlocked) event()   {}
func (FactorsReset) event()      {}
func (RecoveryCodesMade) event() {}
func (RecoveryCodeUsed) event()  {}
