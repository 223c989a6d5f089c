package event

// A Login is the one that a token comes from.
type Login struct {
	ID          string // the GrantID, which is also the id of the refresh tokens' family
	ClientID    string
	ConnectorID string
	UserID      string
}

// TokensIssued says that an application got tokens, from the token endpoint or through the browser. For the password grant and
// token exchange it also says that somebody has proved who they are.
type TokensIssued struct {
	Login
	GrantType string
	Scopes    []string
	SessionID string
	TokenID   string // the jti of the access token, or of the ID token if there is no other
	// Generation is that of the refresh token that was used: how often it was renewed before.
	Generation uint64
	// The sizes of the tokens in bytes; 0 for one that was not issued.
	AccessTokenSize, IDTokenSize int
}

// CodeReplayed says that an authorization code was used twice, which has ended its login.
type CodeReplayed struct{ Login }

// RefreshTokenReused says that a refresh token was used twice, which has ended its login.
type RefreshTokenReused struct {
	Login
	Generation uint64 // of the token that was used again
}

// RefreshTokenExpired says that a client used a refresh token that had expired.
type RefreshTokenExpired struct{ Login }

// Revoked says that an application revoked one of its tokens.
type Revoked struct {
	Login
	All bool // it was the refresh token, which ends the login and all of its tokens
}

// ForeignToken says that a client asked about another client's token, or tried to revoke it.
type ForeignToken struct {
	Endpoint Endpoint
	ClientID string
	OwnerID  string // the other client
}

// TokenTooLarge says that a token was long for a header, or had to be refused or made shorter to stay within what its client takes.
type TokenTooLarge struct {
	ClientID    string
	Bytes       int // of the longest token of the answer
	Groups      int // of the user
	ByReference bool
	Refused     bool
}

// TokenRefused says that UserInfo was shown a token that is invalid, expired or revoked.
type TokenRefused struct{ Err error }

func (TokensIssued) event()        {}
func (CodeReplayed) event()        {}
func (RefreshTokenReused) event()  {}
func (RefreshTokenExpired) event() {}
func (Revoked) event()             {}
func (ForeignToken) event()        {}
func (TokenRefused) event()        {}
func (TokenTooLarge) event()       {}
