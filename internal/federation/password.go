package federation

import (
	"context"
	"errors"

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
	Scopes             []string // of the application
	Username, Password string
}

// CheckPassword lets a source check a password within the limits, and counts how that ends. It is false if the name or the
// password is wrong, for which it emits an event. The error is a *limit.Exceeded, for which the source may not have been asked, or a
// *Failure.
func (r *Registry) CheckPassword(
	ctx context.Context, limits *limit.Set, source connector.Password, a Attempt,
) (connector.Identity, bool, error) {
	identity, ok, err := limits.CheckPassword(ctx, a.ConnectorID, source, connector.ScopesOf(a.Scopes), a.Username, a.Password)
	if exceeded, tooMany := errors.AsType[*limit.Exceeded](err); tooMany {
		return connector.Identity{}, false, exceeded
	}
	if err == nil && !ok {
		r.Count(ctx, a.ConnectorID, a.Operation, connector.WrongPassword)
		r.pool.events.Emit(ctx, event.WrongPassword{ClientID: a.ClientID, ConnectorID: a.ConnectorID, Login: a.Username})
		return connector.Identity{}, false, nil
	}
	if err := r.Ended(ctx, a.ConnectorID, a.Operation, err); err != nil {
		return connector.Identity{}, false, err
	}
	if identity.Methods == nil {
		identity.Methods = []string{oauth.MethodPassword}
	}
	return identity, true, nil
}
