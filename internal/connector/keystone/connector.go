package keystone

import (
	"context"
	"errors"
	"fmt"

	"dex/internal/connector"
)

// Prompt implements connector.Password.
func (s *source) Prompt() string { return "Username" }

// Login implements connector.Password.
func (s *source) Login(
	ctx context.Context, scopes connector.Scopes, username, password string,
) (connector.Identity, bool, error) {
	if username == "" || password == "" {
		return connector.Identity{}, false, nil
	}
	token, err := s.authenticate(ctx, passwordOf(username, domainOf(s.cfg.Domain), password))
	switch {
	case errors.Is(err, errUnauthorized):
		return connector.Identity{}, false, nil
	case err != nil:
		return connector.Identity{}, false, err
	}
	id := connector.Identity{UserID: token.userID, Username: token.userName}
	if id.Username == "" {
		id.Username = username
	}
	id, err = s.describe(ctx, scopes, token.secret, id)
	if errors.Is(err, errForbidden) && s.cfg.hasAdmin() { // many installations don't let users read their own records
		err = s.asAdmin(ctx, func(secret string) error {
			var err error
			id, err = s.describe(ctx, scopes, secret, id)
			return err
		})
	}
	if errors.Is(err, errForbidden) && len(s.cfg.AllowedGroups) == 0 {
		s.log.WarnContext(ctx, "Keystone does not let users read their own records: they have no address and no groups here", "err", err)
		err = nil
	}
	if err != nil {
		return connector.Identity{}, false, err
	}
	return id, true, nil
}

// describe adds what Keystone knows about a user. On an error, it keeps what it had found before.
func (s *source) describe(
	ctx context.Context, scopes connector.Scopes, secret string, id connector.Identity,
) (connector.Identity, error) {
	u, err := s.user(ctx, secret, id.UserID)
	if err != nil {
		return id, err
	}
	setEmail(&id, u)
	return s.withGroups(ctx, scopes, secret, id)
}

// Refresh implements connector.Refresher.
func (r refreshing) Refresh(ctx context.Context, scopes connector.Scopes, last connector.Identity) (connector.Identity, error) {
	var fresh connector.Identity
	err := r.asAdmin(ctx, func(secret string) error {
		u, err := r.user(ctx, secret, last.UserID)
		if errors.Is(err, errNotFound) {
			return fmt.Errorf("%w: %w", connector.ErrGone, err)
		}
		if err != nil {
			return err
		}
		if u.Enabled != nil && !*u.Enabled {
			return &connector.Denied{Reason: "Your account is disabled.", Cause: connector.ErrGone}
		}
		fresh = last
		if u.Name != "" {
			fresh.Username = u.Name
		}
		setEmail(&fresh, u)
		fresh, err = r.withGroups(ctx, scopes, secret, fresh)
		return err
	})
	if err != nil {
		return connector.Identity{}, err
	}
	return fresh, nil
}

func setEmail(id *connector.Identity, u *user) {
	id.Email, id.EmailVerified = u.Email, u.Email != ""
}

// withGroups adds the user's groups if the application wants them. With allowedGroups, they are looked up in any case.
func (s *source) withGroups(
	ctx context.Context, scopes connector.Scopes, secret string, id connector.Identity,
) (connector.Identity, error) {
	id.Groups = nil
	if !connector.NeedsGroups(scopes, s.cfg.AllowedGroups) {
		return id, nil
	}
	groups, err := s.groups(ctx, secret, id.UserID)
	if err != nil {
		return id, err
	}
	if groups, err = connector.AllowGroups("allowedGroups", groups, s.cfg.AllowedGroups); err != nil {
		return id, err
	}
	if scopes.Groups {
		id.Groups = groups
	}
	return id, nil
}
