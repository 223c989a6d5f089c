package event

// An Endpoint is one that applications call; its text is its name in the log.
type Endpoint string

// The endpoints that applications call.
const (
	Token               Endpoint = "token"
	DeviceAuthorization Endpoint = "device authorization"
	Introspection       Endpoint = "introspection"
	Revocation          Endpoint = "revocation"
	UserInfo            Endpoint = "userinfo"
)

// RequestRefused says that an endpoint has answered an application's request with an error.
type RequestRefused struct {
	Endpoint  Endpoint
	ClientID  string // as sent; the client may not have authenticated
	GrantType string // as sent
	Login     Login  // that of the code or token in the request, as far as it is known
	Code      string // the error code in the answer
	Status    int
	Err       error
}

// ClientRefused says that a request did not authenticate the client that it names.
type ClientRefused struct {
	ClientID string
	Reason   ClientReason
}

// A ClientReason is why a request did not authenticate a client.
type ClientReason int

// Why requests don't authenticate clients.
const (
	SecretWrong ClientReason = iota
	SecretMissing
	NoSecretStored // the client is not public but has no secret
)

// PreviousSecretUsed says that a client authenticated with its previousSecret.
type PreviousSecretUsed struct{ ClientID string }

func (RequestRefused) event()     {}
func (ClientRefused) event()      {}
func (PreviousSecretUsed) event() {}
