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
	return c.describe(ctx, m, &subject{said: said}, accessToken)
}

// describe is read for claims that may be those of a refresh.
func (c *connection) describe(ctx context.Context, m *relyingparty.Metadata, s *subject, accessToken string) (connector.Identity, error) {
	said := s.said
	if s.last != nil {
		said = c.asKnown(said, *s.last)
	}
	if said.Text("sub") == "" {
		return connector.Identity{}, lacks("sub", noID, "which OpenID Connect demands")
	}
	id := connector.Identity{
		UserID:            said.Text(c.cfg.userIDKey()),
		PreferredUsername: c.mapped(ctx, said, "preferred_username", c.cfg.ClaimMapping.PreferredUsername),
		Methods:           said.Texts("amr"),
	}
	if id.UserID == "" {
		return connector.Identity{}, lacks(c.cfg.userIDKey(), noID, "which is the userIDKey")
	}
	if at := said.Time("auth_time"); at.Before(time.Now()) {
		id.AuthTime = at
	}
	var err error
	if id.Email, id.EmailVerified, err = c.address(ctx, said, s); err != nil {
		return connector.Identity{}, err
	}
	if id.Username, err = c.nameOf(ctx, said, s, &id); err != nil {
		return connector.Identity{}, err
	}
	if id.Groups, err = c.groupsOf(ctx, m, said, s, accessToken); err != nil {
		return connector.Identity{}, err
	}
	if id.Extra, err = s.extra(ctx, c.cfg.compiled.extra); err != nil {
		return connector.Identity{}, err
	}
	return id, nil
}

// address returns the user's e-mail address, and whether it is theirs.
func (c *connection) address(ctx context.Context, said relyingparty.Claims, s *subject) (email string, verified bool, err error) {
	by := c.cfg.compiled
	if by.email == nil {
		email = c.mapped(ctx, said, "email", c.cfg.ClaimMapping.Email)
	} else if email, err = s.text(ctx, "email", by.email, func(id *connector.Identity) string { return id.Email }); err != nil {
		return "", false, err
	}
	switch {
	case email == "":
		_, err = c.emailVerified(ctx, said, "")
	case by.emailVerified != nil:
		verified, err = s.verified(ctx, by.emailVerified, email)
	case by.email != nil && email != said.Text("email"):
		// What the provider says of its own claim is not said of this address.
		verified = c.cfg.InsecureSkipEmailVerified || s.last != nil && s.last.Email == email && s.last.EmailVerified
	default:
		verified, err = c.emailVerified(ctx, said, email)
	}
	return email, verified, err
}

// nameOf returns the user's name by the expression for it, or by claims.
func (c *connection) nameOf(ctx context.Context, said relyingparty.Claims, s *subject, id *connector.Identity) (string, error) {
	by := c.cfg.compiled.username
	if by == nil {
		return c.name(said, id)
	}
	name, err := s.text(ctx, "username", by, func(id *connector.Identity) string { return id.Username })
	if err != nil {
		return "", err
	}
	return cmp.Or(name, id.PreferredUsername, id.Email, said.Text("sub")), nil
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
