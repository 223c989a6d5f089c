package event

// SignedIn says that somebody has proved who they are in a browser. What they signed in for may still be refused.
type SignedIn struct {
	ClientID    string
	ConnectorID string
	UserID      string // as the connector knows them, here and in all events

	Username          string
	PreferredUsername string
	Email             string
	EmailVerified     bool
	Groups            []string
}

// WrongPassword says that somebody showed a source a password that is not theirs.
type WrongPassword struct {
	ClientID    string
	ConnectorID string
	Login       string // as typed
}

// LoginFailed says that a page of a login, or of an application's authorization request, answered with an error.
type LoginFailed struct {
	ClientID    string
	ConnectorID string
	UserID      string
	Device      bool // on the pages for devices
	Path        string
	Status      int
	Code        string // of OAuth; empty where no application is told
	Err         error
}

// UnknownClient says that a browser came with the id of no client.
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
