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

// LoginGranted says that a login in a browser has ended well: the application, or the device, gets what its user has let it have.
type LoginGranted struct {
	Login
	SessionID string // of the browser; empty where sessions are off
}

// WrongPassword says that a source refused a name and a password.
type WrongPassword struct {
	ClientID    string
	ConnectorID string
	Login       string // as typed
	Form        bool   // it was typed into the form of a login
}

// LoginFailed says that a page of a login, of a logout or of self-service, or the authorization endpoint, has answered with an error.
type LoginFailed struct {
	ClientID    string // only if the client exists
	ConnectorID string // only if the connector exists
	UserID      string
	Device      bool // it was a page for devices
	Logout      bool // it was a page of a logout
	SelfService bool // it was one on which users help themselves by mail
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
func (LoginGranted) event()         {}
func (WrongPassword) event()        {}
func (LoginFailed) event()          {}
func (UnknownClient) event()        {}
func (UnregisteredRedirect) event() {}
