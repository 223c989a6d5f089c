package federation

import (
	"context"
	"errors"
	"time"

	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/limit"
	"dex/internal/oauth"
)

// An Attempt is a name and a password to be checked at a source.
type Attempt struct {
	Operation          Operation
	ClientID           string
	ConnectorID        string
	Scopes             connector.Scopes
	Username, Password string
}

// CheckPassword lets a source check a password within the limits, and counts how that ends. It is false if the name or the
// password is wrong, for which it emits an event. The error is a *limit.Exceeded, for which the source may not have been asked, or a
// *Failure.
func (r *Registry) CheckPassword(
	ctx context.Context, limits *limit.Set, source connector.Password, a Attempt,
) (connector.Identity, bool, error) {
	asking, asked := r.Asking(ctx, a.ConnectorID, a.Operation)
	identity, ok, err := limits.CheckPassword(asking, a.ConnectorID, asked.timed(source), a.Scopes, a.Username, a.Password)
	if exceeded, tooMany := errors.AsType[*limit.Exceeded](err); tooMany {
		asked.Drop()
		return connector.Identity{}, false, exceeded
	}
	if err == nil && !ok {
		asked.Count(ctx, connector.WrongPassword)
		r.pool.events.Emit(ctx, event.WrongPassword{ClientID: a.ClientID, ConnectorID: a.ConnectorID, Login: a.Username, Form: a.Operation == PasswordForm})
		return connector.Identity{}, false, nil
	}
	if err := asked.Ended(ctx, err); err != nil {
		return connector.Identity{}, false, err
	}
	identity.GroupsTold = a.Scopes.Groups
	if identity.Methods == nil {
		identity.Methods = []string{oauth.MethodPassword}
	}
	return identity, true, nil
}

// timed returns a source that notes when it is asked: limits may let an attempt wait before.
func (a *Asking) timed(source connector.Password) connector.Password {
	if finder, ok := source.(connector.Finder); ok {
		return timedFinder{timedPassword{source, a}, finder}
	}
	return timedPassword{source, a}
}

type timedPassword struct {
	connector.Password
	asking *Asking
}

// Login implements connector.Password.
func (t timedPassword) Login(ctx context.Context, s connector.Scopes, username, password string) (connector.Identity, bool, error) {
	t.asking.began = time.Now()
	return t.Password.Login(ctx, s, username, password)
}

type timedFinder struct {
	timedPassword
	finder connector.Finder
}

// LoginFound implements connector.Finder.
func (t timedFinder) LoginFound(
	ctx context.Context, s connector.Scopes, username, password string, found func(user string) error,
) (connector.Identity, bool, error) {
	t.asking.began = time.Now()
	return t.finder.LoginFound(ctx, s, username, password, found)
}
