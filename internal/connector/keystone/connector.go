package keystone

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"dex/internal/connector"
)

// Prompt implements connector.Password.
func (s *source) Prompt() string { return "username" }

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
	u, err := s.user(ctx, token.secret, token.userID)
	switch {
	case errors.Is(err, errForbidden), errors.Is(err, errNotFound): // many installations don't let users read themselves
		s.log.DebugContext(ctx, "user may not read their own record, and has no address here", "err", err)
	case err != nil:
		return connector.Identity{}, false, err
	default:
		setEmail(&id, u)
	}
	return s.withGroups(ctx, scopes, token.secret, id)
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
		fresh, _, err = r.withGroups(ctx, scopes, secret, fresh)
		return err
	})
	return fresh, err
}

func setEmail(id *connector.Identity, u *user) {
	id.Email, id.EmailVerified = u.Email, u.Email != ""
}

// withGroups adds the user's groups where the application wants them. Those that let users in are looked up in any case.
func (s *source) withGroups(
	ctx context.Context, scopes connector.Scopes, secret string, id connector.Identity,
) (connector.Identity, bool, error) {
	id.Groups = nil
	if !scopes.Groups && len(s.cfg.AllowedGroups) == 0 {
		return id, true, nil
	}
	groups, err := s.groups(ctx, secret, id.UserID)
	if err != nil {
		return connector.Identity{}, false, err
	}
	if allowed := s.cfg.AllowedGroups; len(allowed) > 0 {
		groups = slices.DeleteFunc(groups, func(g string) bool { return !slices.Contains(allowed, g) })
		if len(groups) == 0 {
			return connector.Identity{}, false, &connector.Denied{Reason: "You are in none of the groups that may log in here."}
		}
	}
	if scopes.Groups {
		id.Groups = groups
	}
	return id, true, nil
}
