package oidc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"dex/internal/connector"
	"dex/internal/relyingparty"
)

// stored is what is kept of a login. Upstream has the first of them.
type stored struct {
	RefreshToken []byte `json:"RefreshToken"`
	// Subject is the user's sub where another claim is their id; empty for logins through upstream.
	Subject string `json:"Subject,omitempty"`
}

func (s *stored) encode() ([]byte, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode refresh token: %w", err)
	}
	return data, nil
}

// keepSubject returns the sub that is to be kept beside the user's id.
func (c *connection) keepSubject(said relyingparty.Claims) string {
	if c.cfg.userIDKey() == "sub" {
		return ""
	}
	return said.Text("sub")
}

// identify returns who the user is according to the ID token and, with getUserInfo, the userinfo endpoint.
func (c *connection) identify(ctx context.Context, m *relyingparty.Metadata, said relyingparty.Claims, given *relyingparty.Tokens) (connector.Identity, error) {
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
	kept := stored{RefreshToken: []byte(given.Refresh), Subject: c.keepSubject(said)}
	id.Data, err = kept.encode()
	return id, err
}

// read turns claims into an identity. An *connector.Unusable says that they lack what has to be known of a user.
func (c *connection) read(ctx context.Context, m *relyingparty.Metadata, said relyingparty.Claims, accessToken string) (connector.Identity, error) {
	if said.Text("sub") == "" {
		return connector.Identity{}, lacks("sub", noID, "which OpenID Connect demands")
	}
	id := connector.Identity{
		UserID:            said.Text(c.cfg.userIDKey()),
		PreferredUsername: c.mapped(ctx, said, "preferred_username", c.cfg.ClaimMapping.PreferredUsername),
		Email:             c.mapped(ctx, said, "email", c.cfg.ClaimMapping.Email),
		Methods:           said.Texts("amr"),
	}
	if id.UserID == "" {
		return connector.Identity{}, lacks(c.cfg.userIDKey(), noID, "which is the userIDKey")
	}
	if at := said.Time("auth_time"); at.Before(time.Now()) {
		id.AuthTime = at
	}
	var err error
	if id.Username, err = c.name(said, &id); err != nil {
		return connector.Identity{}, err
	}
	if id.EmailVerified, err = c.emailVerified(ctx, said, id.Email); err != nil {
		return connector.Identity{}, err
	}
	if id.Groups, err = c.groupsOf(ctx, m, said, accessToken); err != nil {
		return connector.Identity{}, err
	}
	return id, nil
}

const noID = "Your account has no user ID that can be used here."

// lacks says that the provider knows too little of a user. The hint is for the operator.
func lacks(claim, reason, hint string) error {
	return &connector.Unusable{
		Reason: reason + " Ask whoever manages your account to add it.",
		Claim:  claim,
		Cause:  fmt.Errorf("the provider's claims have no text %q, %s", claim, hint),
	}
}

// name returns the user's name. Not every provider has it, so that something else does where nothing is configured, or the
// provider says that the user has none.
func (c *connection) name(said relyingparty.Claims, id *connector.Identity) (string, error) {
	key := cmp.Or(c.cfg.UserNameKey, "name")
	value, _ := said.Find(key)
	name, isText := value.(string)
	if c.cfg.UserNameKey != "" && !isText {
		return "", lacks(key, "Your account has no name.", "which is the userNameKey")
	}
	return cmp.Or(name, id.PreferredUsername, id.Email, said.Text("sub")), nil
}

// mapped returns a standard claim, or the one that stands for it. An empty one is as good as none.
func (c *connection) mapped(ctx context.Context, said relyingparty.Claims, standard, mapping string) string {
	text := said.Text(standard)
	if mapping == "" || text != "" && !c.cfg.OverrideClaimMapping {
		return text
	}
	if _, there := said.Find(mapping); !there {
		c.foundNothing(ctx, said, standard, mapping)
	}
	return said.Text(mapping)
}

// emailVerified reports whether the address is the user's. Where addresses are asked for, the provider must send one.
func (c *connection) emailVerified(ctx context.Context, said relyingparty.Claims, email string) (bool, error) {
	wanted := slices.Contains(c.cfg.scopes(), "email")
	if email == "" {
		if wanted && !c.cfg.AllowMissingEmail && !c.hasNoEmail(said) {
			return false, lacks("email", "Your account has no email address.",
				"which allowMissingEmail does without; claimMapping.email can name another claim")
		}
		return false, nil
	}
	verified, there, err := said.Bool("email_verified")
	switch {
	case err != nil:
		c.log.WarnContext(ctx, "the provider's words can't be read", "err", err)
		return false, nil
	case there:
		return verified, nil
	case c.cfg.InsecureSkipEmailVerified:
		return true, nil
	case wanted:
		return false, &connector.Unusable{
			Reason: "The provider doesn't say whether your email address is yours.",
			Claim:  "email_verified",
			Cause:  errors.New(`the provider's claims have no "email_verified"; insecureSkipEmailVerified takes addresses all the same`),
		}
	}
	return false, nil
}

// hasNoEmail reports whether the provider says that the user has no address, by an empty text, as upstream takes it. A claim
// that is missing may be the fault of the settings instead.
func (c *connection) hasNoEmail(said relyingparty.Claims) bool {
	for _, name := range []string{"email", c.cfg.ClaimMapping.Email} {
		if value, there := said.Find(name); there && value == "" {
			return true
		}
	}
	return false
}
