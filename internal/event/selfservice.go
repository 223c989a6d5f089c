package event

// MailSent says that the mail server has taken a mail.
type MailSent struct {
	What     string // what the mail is for
	UserID   string // whose it is
	Attempts int    // this one included
}

// MailFailed says that a mail could not be sent, and that it will be tried again.
type MailFailed struct {
	What     string
	UserID   string // empty if the mail isn't written yet
	Attempts int
	Err      error
}

// MailGivenUp says that a mail won't be sent.
type MailGivenUp struct {
	What     string
	UserID   string
	Attempts int
	Err      error // of the last attempt
}

// PasswordResetAsked says that somebody has asked for a mail by which to set another password.
type PasswordResetAsked struct {
	ConnectorID string
	UserID      string // empty where nobody has the address
	Outcome     ResetOutcome
}

// A ResetOutcome is what comes of a request for such a mail; its text is for the log.
type ResetOutcome string

// What comes of them.
const (
	ResetMailed  ResetOutcome = "mailed"
	ResetUnknown ResetOutcome = "nobody has the address"
	ResetBlocked ResetOutcome = "the user is blocked"
	ResetFixed   ResetOutcome = "the user is in the configuration"
	ResetNoMail  ResetOutcome = "the login name is no e-mail address"
)

// Invited says that there is a link by which a user can set a password.
type Invited struct {
	ConnectorID string
	UserID      string
	Mailed      bool // a mail has it, too
}

// EmailVerified says that a user has shown that they read the mail to their address.
type EmailVerified struct {
	ConnectorID string
	UserID      string
}

func (MailSent) event()           {}
func (MailFailed) event()         {}
func (MailGivenUp) event()        {}
func (PasswordResetAsked) event() {}
func (Invited) event()            {}
func (EmailVerified) event()      {}
