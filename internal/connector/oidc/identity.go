package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"dex/internal/connector"
	"dex/internal/relyingparty"
)

// stored is what is kept of a login, as upstream has it.
type stored struct {
	RefreshToken []byte `json:"RefreshToken"`
}

// identify returns who the user is: by the ID token, and by what the provider says besides if it is asked.
func (c *connection) identify(ctx context.Context, m *metadata, said relyingparty.Claims, given *relyingparty.Tokens) (connector.Identity, error) {
	said, err := c.withUserInfo(ctx, m, said, given.Access)
	if err != nil {
		return connector.Identity{}, err
	}
	id, err := c.read(ctx, m, said, given.Access)
	if err != nil {
		return connector.Identity{}, err
	}
	if given.Refresh == "" {
		return id, nil // and what was kept of another login stays
	}
	id.Data, err = encode(given.Refresh)
	return id, err
}

func encode(refreshToken string) ([]byte, error) {
	data, err := json.Marshal(stored{[]byte(refreshToken)})
	if err != nil {
		return nil, fmt.Errorf("encode refresh token: %w", err)
	}
	return data, nil
}

// withUserInfo adds what the provider says of the holder of the access token, who must be the same as in the ID token, if
// there is one (OpenID Connect Core, section 5.3.2).
func (c *connection) withUserInfo(ctx context.Context, m *metadata, said relyingparty.Claims, accessToken string) (relyingparty.Claims, error) {
	if !c.cfg.GetUserInfo {
		return said, nil
	}
	more, err := c.userInfo(ctx, m, accessToken)
	if err != nil {
		return nil, err
	}
	if sub := said.Text("sub"); said != nil && more.Text("sub") != sub {
		return nil, errors.New("userinfo: it is about another user than the ID token")
	}
	all := relyingparty.Claims{}
	maps.Copy(all, said)
	maps.Copy(all, more)
	return all, nil
}

// read turns claims into an identity.
func (c *connection) read(ctx context.Context, m *metadata, said relyingparty.Claims, accessToken string) (connector.Identity, error) {
	subject := said.Text("sub")
	if subject == "" {
		return connector.Identity{}, errors.New("the provider's claims have no sub")
	}
	id := connector.Identity{
		UserID:            said.Text(c.cfg.userIDKey()),
		PreferredUsername: c.mapped(said, "preferred_username", c.cfg.ClaimMapping.PreferredUsername),
		Email:             c.mapped(said, "email", c.cfg.ClaimMapping.Email),
		Methods:           said.Texts("amr"),
	}
	if id.UserID == "" {
		return connector.Identity{}, fmt.Errorf("the provider's claims have no text %q, which is the userIDKey", c.cfg.userIDKey())
	}
	if at := said.Time("auth_time"); at.Before(time.Now()) {
		id.AuthTime = at
	}
	var err error
	if id.Username, err = c.name(said, &id); err != nil {
		return connector.Identity{}, err
	}
	if id.EmailVerified, err = c.emailVerified(said, id.Email); err != nil {
		return connector.Identity{}, err
	}
	if id.Groups, err = c.groupsOf(ctx, m, said, accessToken); err != nil {
		return connector.Identity{}, err
	}
	return id, nil
}

// name returns the user's name. Not every provider has it, so that something else does where nothing is configured.
func (c *connection) name(said relyingparty.Claims, id *connector.Identity) (string, error) {
	if key := c.cfg.UserNameKey; key != "" {
		if name := said.Text(key); name != "" {
			return name, nil
		}
		return "", fmt.Errorf("the provider's claims have no text %q, which is the userNameKey", key)
	}
	for _, name := range []string{said.Text("name"), id.PreferredUsername, id.Email} {
		if name != "" {
			return name, nil
		}
	}
	return said.Text("sub"), nil
}

// mapped returns a standard claim, or the one that stands for it.
func (c *connection) mapped(said relyingparty.Claims, standard, mapping string) string {
	text, there := said[standard].(string)
	if mapping != "" && (!there || c.cfg.OverrideClaimMapping) {
		return said.Text(mapping)
	}
	return text
}

// emailVerified reports whether the address is the user's. It holds the provider to addresses where they are asked for.
func (c *connection) emailVerified(said relyingparty.Claims, email string) (bool, error) {
	wanted := slices.Contains(c.cfg.scopes(), "email")
	if email == "" && wanted {
		return false, errors.New(`the provider's claims have no text "email"; leave the scope email out, or set claimMapping.email`)
	}
	verified, there := said.Bool("email_verified")
	switch {
	case there:
		return verified, nil
	case c.cfg.InsecureSkipEmailVerified:
		return true, nil
	case wanted:
		return false, errors.New(`the provider's claims have no "email_verified"; insecureSkipEmailVerified takes addresses all the same`)
	}
	return false, nil
}
