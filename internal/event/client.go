package event

// An Endpoint is one that applications call; its text is how the log names it.
type Endpoint string

// The endpoints that applications call.
const (
	Token               Endpoint = "token"
	DeviceAuthorization Endpoint = "device authorization"
	Introspection       Endpoint = "introspection"
	Revocation          Endpoint = "revocation"
	UserInfo            Endpoint = "userinfo"
)

// RequestRefused says that an endpoint answered an application's request with an error.
type RequestRefused struct {
	Endpoint  Endpoint
	ClientID  string // as sent
	GrantType string // as sent
	Code      string // of OAuth
	Status    int
	Err       error
}

// ClientRefused says that a client did not authenticate.
type ClientRefused struct {
	ClientID string
	Reason   ClientReason
}

// A ClientReason is why a client did not authenticate.
type ClientReason int

// Why clients don't authenticate.
const (
	SecretWrong ClientReason = iota
	SecretMissing
	NoSecretStored // it is not public, and yet has none
)

// PreviousSecretUsed says that a client authenticated by the secret that was replaced.
type PreviousSecretUsed struct{ ClientID string }

func (RequestRefused) event()     {}
func (ClientRefused) event()      {}
func (PreviousSecretUsed) event() {}
