package saml

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"dex/internal/connector"
	"dex/internal/saml"
)

// data is kept with a login: who the user was then. Upstream has always written the members of the first part.
type data struct {
	UserID            string   `json:"userId"`
	Username          string   `json:"username"`
	PreferredUsername string   `json:"preferredUsername"`
	Email             string   `json:"email"`
	EmailVerified     bool     `json:"emailVerified"`
	Groups            []string `json:"groups,omitempty"` // all of them, whatever applications are told

	session

	LoggedIn time.Time `json:"loggedIn,omitzero"`
	Expires  time.Time `json:"expires,omitzero"` // when the provider's session ends, if it says so
}

// A session is what a logout needs to know: what the provider calls the user, and the session there.
type session struct {
	NameID          string `json:"nameID,omitempty"`
	NameIDFormat    string `json:"nameIDFormat,omitempty"`
	NameQualifier   string `json:"nameQualifier,omitempty"`
	SPNameQualifier string `json:"spNameQualifier,omitempty"`
	SessionIndex    string `json:"sessionIndex,omitempty"`
}

// attributes finds the values of a user's attributes by their names.
type attributes []saml.Attribute

// all returns the values of all attributes of a name, in their order.
func (a attributes) all(name string) []string {
	if name == "" {
		return nil
	}
	var values []string
	for _, attribute := range a {
		if attribute.Name == name {
			values = append(values, attribute.Values...)
		}
	}
	return values
}

// first returns the first value of an attribute that is not empty, or nothing.
func (a attributes) first(name string) string {
	for _, value := range a.all(name) {
		if value != "" {
			return value
		}
	}
	return ""
}

// required returns the first value of an attribute that is not empty. Without one the error is a *connector.Unusable that
// tells the user what is missing.
func (a attributes) required(name, reason string) (string, error) {
	if value := a.first(name); value != "" {
		return value, nil
	}
	cause := fmt.Errorf("the attribute %q is empty", name)
	if len(a.all(name)) == 0 {
		cause = fmt.Errorf("the assertion has no attribute %q with a value; it has %q", name, a.names())
	}
	return "", &connector.Unusable{Reason: reason + " Ask whoever manages your account to add it.", Claim: name, Cause: cause}
}

func (a attributes) names() []string {
	var names []string
	for _, attribute := range a {
		names = append(names, attribute.Name)
	}
	return names
}

// identity returns the user that an assertion is about, if they may log in.
func (s *source) identity(ctx context.Context, scopes connector.Scopes, a *saml.Assertion) (connector.Identity, error) {
	user, err := s.user(a)
	if err != nil {
		return connector.Identity{}, err
	}
	if s.config.UserIDAttr == "" && a.NameID.Format == nameIDFormats["transient"] {
		s.warnTransient.Do(func() {
			s.env.Log.WarnContext(ctx, "the provider sends transient names: each login is a new user; set userIDAttr")
		})
	}
	id, err := s.authorized(scopes, user)
	if err != nil {
		return connector.Identity{}, err
	}
	if id.Data, err = json.Marshal(user); err != nil {
		return connector.Identity{}, fmt.Errorf("encode connector data: %w", err)
	}
	if id.Session, err = s.sessionOf(a, user.session); err != nil {
		return connector.Identity{}, err
	}
	id.AuthTime = a.AuthnInstant
	if now := time.Now(); id.AuthTime.After(now) { // the clocks differ
		id.AuthTime = now
	}
	return id, nil
}

// user returns the user that an assertion is about.
func (s *source) user(a *saml.Assertion) (data, error) {
	told := attributes(a.Attributes)
	user := data{
		UserID:            a.NameID.Value,
		PreferredUsername: told.first(s.config.PreferredUsernameAttr),
		EmailVerified:     s.config.EmailVerified,
		Groups:            s.groups(told),

		session: session{
			NameID: a.NameID.Value, NameIDFormat: a.NameID.Format,
			NameQualifier: a.NameID.NameQualifier, SPNameQualifier: a.NameID.SPNameQualifier,
			SessionIndex: a.SessionIndex,
		},
		LoggedIn: time.Now().UTC(), Expires: a.SessionNotOnOrAfter,
	}
	var err error
	if s.config.UserIDAttr != "" {
		if user.UserID, err = told.required(s.config.UserIDAttr, "Your account has no user ID that can be used here."); err != nil {
			return data{}, err
		}
	}
	if user.Username, err = told.required(s.config.UsernameAttr, "Your account has no name."); err != nil {
		return data{}, err
	}
	user.Email, err = told.required(s.config.EmailAttr, "Your account has no email address.")
	if err != nil && s.config.AllowMissingEmail {
		user.EmailVerified = false
		return user, nil
	}
	return user, err
}

// groups returns the user's groups, each once, or none without the attribute.
func (s *source) groups(told attributes) []string {
	if s.config.GroupsAttr == "" {
		return nil
	}
	var groups []string
	for _, value := range told.all(s.config.GroupsAttr) {
		if s.config.GroupsDelim == "" {
			groups = append(groups, value)
			continue
		}
		groups = append(groups, strings.Split(value, s.config.GroupsDelim)...)
	}
	return tidy(groups)
}

// tidy returns each group once, without XML's white space around it, which makes no difference to directories (RFC 4518,
// section 2.6.1). Other blanks are part of a name.
func tidy(groups []string) []string {
	trimmed := make([]string, len(groups))
	for i, group := range groups {
		trimmed[i] = strings.Trim(group, " \t\r\n")
	}
	return connector.Unique(trimmed)
}

// authorized returns what applications are told about a user. The error is a *connector.Denied if groups are required and
// the user is in none of them, whatever the scopes are.
func (s *source) authorized(scopes connector.Scopes, user data) (connector.Identity, error) {
	groups := tidy(user.Groups) // upstream stored them as they came
	allowed, err := connector.AllowGroups("allowedGroups", groups, tidy(s.config.AllowedGroups))
	if err != nil {
		return connector.Identity{}, err
	}
	id := connector.Identity{
		UserID: user.UserID, Username: user.Username, PreferredUsername: user.PreferredUsername,
		Email: user.Email, EmailVerified: user.EmailVerified && s.config.EmailVerified,
	}
	switch {
	case !scopes.Groups:
	case s.config.FilterGroups:
		id.Groups = allowed
	default:
		id.Groups = groups
	}
	return id, nil
}
