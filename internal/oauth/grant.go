package oauth

// Grant types (RFC 6749, RFC 8628, RFC 8693).
const (
	GrantAuthorizationCode = "authorization_code"
	GrantImplicit          = "implicit" // tokens from the authorization endpoint; never served at the token endpoint
	GrantRefreshToken      = "refresh_token"
	GrantPassword          = "password"
	GrantClientCredentials = "client_credentials"
	GrantDeviceCode        = "urn:ietf:params:oauth:grant-type:device_code"
	GrantTokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange" //nolint:gosec // G101: a name
)

// UserGrants returns the grants whose tokens are for a user, whom a connector knows, in the order in which messages list them.
func UserGrants() []string {
	return []string{
		GrantAuthorizationCode, GrantImplicit, GrantPassword, GrantRefreshToken, GrantDeviceCode, GrantTokenExchange,
	}
}

// ClientGrants returns the grants whose tokens are the client's own: no connector, no consent and no second factor.
func ClientGrants() []string { return []string{GrantClientCredentials} }
