package event

// A Login is the login that a token comes from.
type Login struct {
	ID          string // the GrantID, which is also that of the family of refresh tokens
	ClientID    string
	ConnectorID string
	UserID      string
}

// TokensIssued says that an application got tokens, at the token endpoint or through the browser.
type TokensIssued struct {
	Login
	GrantType string // refresh_token for a login that goes on
	Scopes    []string
}

// CodeReplayed says that an authorization code was used twice, which has ended its login.
type CodeReplayed struct{ Login }

// RefreshTokenReused says that a refresh token was used twice, which has ended its login.
type RefreshTokenReused struct{ Login }

// RefreshTokenExpired says that a refresh token was shown too late.
type RefreshTokenExpired struct{ Login }

// Revoked says that an application revoked a token of its own.
type Revoked struct {
	Login
	All bool // all tokens of the login, as it was a refresh token
}

// ForeignToken says that a client showed a token of another client.
type ForeignToken struct {
	Endpoint Endpoint
	ClientID string
	OwnerID  string // the other client; empty where the token is for many
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
