package ldap

import (
	"context"

	"dex/internal/connector"
)

// ErrNoUser is exported for tests.
var ErrNoUser = errNoUser

// Identify is exported for tests.
func Identify(ctx context.Context, instance any, s connector.Scopes, username string) (connector.Identity, error) {
	return instance.(*directory).identify(ctx, s, username)
}
