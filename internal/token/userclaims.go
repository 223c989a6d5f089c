package token

import (
	"dex/internal/connector"
	"dex/internal/oauth"
)

// UserClaims are the claims about a user that scopes show. The order of the members is the order on the wire.
type UserClaims struct {
	Email             string           `json:"email,omitempty"`
	EmailVerified     *bool            `json:"email_verified,omitempty"`
	Groups            []string         `json:"groups,omitempty"`
	Name              string           `json:"name,omitempty"`
	PreferredUsername string           `json:"preferred_username,omitempty"`
	Federated         *FederatedClaims `json:"federated_claims,omitempty"`
}

// FederatedClaims say how the source names the user.
type FederatedClaims struct {
	ConnectorID string `json:"connector_id,omitempty"`
	UserID      string `json:"user_id,omitempty"`
}

// The claims about a user that a policy may replace.
const (
	claimEmail             = "email"
	claimEmailVerified     = "email_verified"
	claimGroups            = "groups"
	claimName              = "name"
	claimPreferredUsername = "preferred_username"
)

// shownBy is which claims about the user a scope shows (OpenID Connect Core, section 5.4).
var shownBy = map[string][]string{
	oauth.ScopeEmail:   {claimEmail, claimEmailVerified},
	oauth.ScopeProfile: {claimName, claimPreferredUsername},
	oauth.ScopeGroups:  {claimGroups},
}

// ClaimsShown returns what scopes show of a user, by the names of the claims. Tokens leave out those that are empty.
func ClaimsShown(scopes []string, who *connector.Identity) map[string]any {
	shown := map[string]any{}
	for _, scope := range scopes {
		for _, name := range shownBy[scope] {
			shown[name] = claimOf(who, name)
		}
	}
	return shown
}

// UserClaims returns what the tokens of an authorization say of its user, and which claims the policy adds to that. Its claims of the
// same name replace the user's.
func (a *Authorization) UserClaims(on Terms) (shown UserClaims, added map[string]any) {
	who := &a.Identity
	if on.User != nil {
		who = on.User
	}
	for _, scope := range a.Scopes {
		for _, name := range shownBy[scope] {
			shown.set(name, claimOf(who, name))
		}
		if scope == oauth.ScopeFederatedID {
			shown.Federated = &FederatedClaims{ConnectorID: a.ConnectorID, UserID: a.Identity.UserID}
		}
	}
	for name, value := range on.Claims {
		if shown.set(name, value) {
			continue
		}
		if added == nil {
			added = make(map[string]any, len(on.Claims))
		}
		added[name] = value
	}
	return shown, added
}

// claimOf returns the value of a claim about a user.
func claimOf(who *connector.Identity, name string) any {
	switch name {
	case claimEmail:
		return who.Email
	case claimEmailVerified:
		return who.EmailVerified
	case claimGroups:
		return who.Groups
	case claimName:
		return who.Username
	case claimPreferredUsername:
		return who.PreferredUsername
	}
	return nil
}

// set gives a claim its value, whose type the policy has checked; false if it is none of these.
func (c *UserClaims) set(name string, value any) bool {
	text, _ := value.(string)
	switch name {
	case claimEmail:
		c.Email = text
	case claimEmailVerified:
		verified, _ := value.(bool)
		c.EmailVerified = &verified
	case claimGroups:
		c.Groups = textsOf(value)
	case claimName:
		c.Name = text
	case claimPreferredUsername:
		c.PreferredUsername = text
	default:
		return false
	}
	return true
}

// isUserClaim reports whether a claim is one about the user that scopes show.
func isUserClaim(name string) bool { return new(UserClaims).set(name, nil) }

// textsOf returns a list of texts, which an expression may have made.
func textsOf(made any) []string {
	if texts, ok := made.([]string); ok {
		return connector.Unique(texts) // sources tell some twice
	}
	list, _ := made.([]any)
	texts := make([]string, 0, len(list))
	for _, item := range list {
		if text, ok := item.(string); ok {
			texts = append(texts, text)
		}
	}
	return connector.Unique(texts)
}
