package event

// SignedIn says that somebody has proved in a browser who they are. What they signed in for may still be refused.
type SignedIn struct {
	ClientID    string
	ConnectorID string
	UserID      string // as the connector knows them, in all events

	Username          string
	PreferredUsername string
	Email             string
	EmailVerified     bool
	Groups            []string
}

// WrongPassword says that a source refused a name and a password.
type WrongPassword struct {
	ClientID    string
	ConnectorID string
	Login       string // as typed
}

// LoginFailed says that a page of a login or of a logout, or the authorization endpoint, has answered with an error.
type LoginFailed struct {
	ClientID    string
	ConnectorID string
	UserID      string
	Device      bool // it was a page for devices
	Logout      bool // it was a page of a logout
	Path        string
	Status      int
	Code        string // the error code for the application; empty if it isn't told
	Err         error
}

// UnknownClient says that an authorization request has a client id that nobody has registered.
type UnknownClient struct {
	ClientID string // as sent, cut to a length that suits a log
}

// UnregisteredRedirect says that an application asked to be answered at an address that is not registered for it.
type UnregisteredRedirect struct {
	ClientID    string
	RedirectURI string // as sent, cut to a length that suits a log
}

func (SignedIn) event()             {}
func (WrongPassword) event()        {}
func (LoginFailed) event()          {}
func (UnknownClient) event()        {}
func (UnregisteredRedirect) event() {}
