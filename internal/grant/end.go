package grant

import (
	"context"
	"errors"

	"dex/internal/answer"
	"dex/internal/oauth"
	"dex/internal/refresh"
	"dex/internal/store"
	"dex/internal/token"
)

// refreshDue reports whether a login that has just ended gets a refresh token: if the application asked for one, and the
// source can say later who the user is.
func (g *granted) refreshDue() bool {
	return g.source != nil && g.Has(oauth.ScopeOfflineAccess) && g.source.Refreshes()
}

// end stores what makes the answer final, and returns the refresh token; empty if there is none.
func (g *granted) end(ctx context.Context) (refreshToken string, err error) {
	if g.commit == nil {
		return "", nil
	}
	return g.commit(ctx, g.refreshDue())
}

// A beginner begins the refresh tokens of logins.
type beginner struct {
	families *refresh.Families
	offline  *refresh.OfflineSessions
}

// A first is the first refresh token of a login, given again to whoever has the code that it was given for.
type first struct {
	token   string
	begun   answer.Use // of the code
	settled bool       // it may be given again without a write
}

// errKept says that what a login gave was kept when its code was used before.
var errKept = errors.New("connector data was kept before")

// begin stores what later refreshes need and returns the first refresh token, which is derived from the code that the login
// gave. Refresh tokens can begin only once, which uses up the code: a server that dies before this write has changed nothing,
// and the client may try again. If they have begun, again says what whoever has the code gets, or why they get nothing.
func (b *beginner) begin(
	ctx context.Context, a *token.Authorization, code string, again func(context.Context) (first, error),
) (string, error) {
	// The data that the login gave must not take the place of newer data of the connector, with which all logins of the user
	// go on.
	unused := func(ctx context.Context) error {
		_, possible, err := b.families.Begun(ctx, a.GrantID)
		if err != nil || possible {
			return err
		}
		if _, err := again(ctx); err != nil {
			return err
		}
		return errKept
	}
	err := b.offline.Keep(ctx, a.Identity.UserID, a.ConnectorID, a.Identity.Data, unused)
	if err != nil && !errors.Is(err, errKept) {
		return "", err
	}
	refresh, err := b.families.Begin(ctx, a.GrantID, code, *a)
	if !errors.Is(err, store.ErrExists) {
		return refresh, err
	}
	for {
		f, err := again(ctx)
		if err != nil || f.settled {
			return f.token, err
		}
		err = b.families.Repeat(ctx, a.GrantID, f.begun)
		if err == nil {
			return f.token, nil
		}
		if !errors.Is(err, answer.ErrReplayed) {
			return "", err
		}
	}
}
