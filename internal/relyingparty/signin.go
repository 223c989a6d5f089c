package relyingparty

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"dex/internal/connector"
	"dex/internal/oauth"
)

// patience bounds everything that one login asks a provider, and one refresh its API, waits for rate limits included. Renewed tokens
// may take longer: whoever gives up on them has lost the old ones too.
const patience = 10 * time.Second

// Bounds of a user's groups: more would fit in no token.
const (
	maxGroups     = 10_000
	maxGroupBytes = 256 << 10
)

// A SignIn is a connector to a provider that has an API to ask who the holder of an access token is. It goes through the code
// flow, and keeps and renews the tokens. Open makes it ready; the connector that embeds it adds what its provider has besides.
type SignIn struct {
	Flow   Flow
	HTTP   *http.Client
	Header http.Header // of each call to the API; may be nil
	// Scopes returns what the provider is asked for.
	Scopes func(connector.Scopes) []string
	// Params returns more parameters of the authorization request; nil for none.
	Params func(connector.LoginRequest) url.Values
	// Identify asks the API whose the tokens are. Calls are authorized by the access token. The UserID must be set. It is called
	// for logins, refreshes and exchanges alike, so it enforces the connector's filters.
	Identify func(ctx context.Context, c *Calls, s connector.Scopes, given *Tokens) (connector.Identity, error)
	// AlwaysRenew makes each refresh ask for new tokens, even while the access token is good.
	AlwaysRenew bool
	// OpenID makes it a connector to a provider of OpenID Connect, whose ID tokens Identify then finds verified; nil for others.
	OpenID *OpenID
	// Discovery is where a provider of OAuth 2.0 alone says where it is; nil where Flow has the addresses, and with OpenID.
	Discovery *Discovery

	remembered answers
}

var (
	_ connector.Callback = (*SignIn)(nil)
	_ connector.Rotating = (*SignIn)(nil)
)

// Close lets go of idle connections.
func (s *SignIn) Close() error {
	s.HTTP.CloseIdleConnections()
	return nil
}

// Begin implements connector.Callback.
func (s *SignIn) Begin(ctx context.Context, r connector.LoginRequest) (connector.Redirect, error) {
	more := url.Values{}
	if s.Params != nil {
		more = s.Params(r)
	}
	if s.OpenID != nil {
		return s.beginOpenID(ctx, r, more)
	}
	flow, _, err := s.flow(ctx)
	if err != nil {
		return connector.Redirect{}, err
	}
	return flow.Begin(r.State, s.Scopes(r.Scopes), more)
}

// HandleCallback implements connector.Callback.
func (s *SignIn) HandleCallback(ctx context.Context, r connector.Return) (connector.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	given, err := s.finish(ctx, r)
	if err != nil {
		return connector.Identity{}, err
	}
	id, err := s.identify(ctx, r.Scopes, given)
	if err != nil {
		return connector.Identity{}, err
	}
	if s.OpenID != nil && s.OpenID.KeepsSessions {
		id.Session = SessionOf(given.Said, given.ID)
	}
	if r.Scopes.OfflineAccess {
		id.Data, err = given.Keep()
	}
	return id, err
}

func (s *SignIn) finish(ctx context.Context, r connector.Return) (*Tokens, error) {
	if s.OpenID != nil {
		return s.finishOpenID(ctx, r)
	}
	flow, _, err := s.flow(ctx)
	if err != nil {
		return nil, err
	}
	return flow.Finish(ctx, r)
}

// Rotates implements connector.Rotating: many providers' refresh tokens work once.
func (s *SignIn) Rotates() {}

// Refresh implements connector.Refresher: with the access token as long as it is good, and with new ones after that. An access
// token that the provider no longer knows is renewed whatever its expiry says.
func (s *SignIn) Refresh(ctx context.Context, scopes connector.Scopes, last connector.Identity) (connector.Identity, error) {
	given, err := Kept(last.Data)
	if err != nil {
		return connector.Identity{}, err
	}
	renewed := !given.Usable() || s.AlwaysRenew && given.Refresh != ""
	if renewed {
		if given, err = s.renew(ctx, given); err != nil {
			return connector.Identity{}, err
		}
	}
	id, err := s.identifyAgain(ctx, scopes, given)
	if isUnknown(err) && !renewed && given.Refresh != "" {
		if given, err = s.renew(ctx, given); err != nil {
			return connector.Identity{}, err
		}
		id, err = s.identifyAgain(ctx, scopes, given)
	}
	if err == nil && id.UserID != last.UserID {
		err = fmt.Errorf("%w: the provider answers for another user", connector.ErrGone)
	}
	if err != nil {
		id = connector.Identity{}
	}
	data, keepErr := given.Keep()
	id.Data = data // the old tokens may be worth nothing any more, whatever else fails
	return id, errors.Join(goneIfTooNarrow(GoneIfUnknown(err)), keepErr)
}

// renew returns new tokens. Where there is no refresh token, the login ends with its access token.
func (s *SignIn) renew(ctx context.Context, given *Tokens) (*Tokens, error) {
	if given.Refresh == "" {
		return nil, fmt.Errorf("%w: the access token has expired, and the provider gave no refresh token", connector.ErrGone)
	}
	flow, _, err := s.flow(ctx)
	if err != nil {
		return nil, err
	}
	return flow.Renew(ctx, given.Refresh)
}

// Holder returns whose an access token of the provider is that an application shows (RFC 8693). The check finds out whether the
// token was made for us; nil where that doesn't matter. AnyAudience is up to the caller: upstream exchanges few providers' tokens,
// so at the others no deployment counts on it.
func (s *SignIn) Holder(
	ctx context.Context, scopes connector.Scopes, t connector.SubjectToken, check func(context.Context, *Calls) error,
) (connector.Identity, error) {
	switch {
	case t.Type != oauth.TokenTypeAccess:
		return connector.Identity{}, &connector.BadToken{Reason: "the connector takes the provider's access tokens, " +
			"with the type " + oauth.TokenTypeAccess}
	case !oauth.IsBearerToken(t.Token):
		return connector.Identity{}, notBearer()
	}
	given := &Tokens{Access: t.Token}
	if check != nil {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := check(ctx, given.As(s.HTTP, s.Header)); err != nil {
			return connector.Identity{}, NotTaken(err)
		}
	}
	id, err := s.identify(ctx, scopes, given)
	return id, NotTaken(err)
}

// identifyAgain is identify for a refresh.
func (s *SignIn) identifyAgain(ctx context.Context, scopes connector.Scopes, given *Tokens) (connector.Identity, error) {
	if s.OpenID != nil && given.ID != "" {
		if err := s.OpenID.verify(ctx, given); err != nil {
			return connector.Identity{}, AsRefreshed(err)
		}
		if err := s.OpenID.Tokens.CheckAccess(given.Said, given); err != nil {
			return connector.Identity{}, err
		}
	}
	return s.identify(ctx, scopes, given)
}

// identify asks the API, within the bounds of time and size.
func (s *SignIn) identify(ctx context.Context, scopes connector.Scopes, given *Tokens) (connector.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	calls := given.As(s.HTTP, s.Header)
	calls.remembered = &s.remembered
	id, err := s.Identify(ctx, calls, scopes, given)
	if err != nil {
		return connector.Identity{}, err
	}
	if id.UserID == "" {
		return connector.Identity{}, &connector.Unusable{
			Reason: "The provider doesn't say who you are.", Cause: errors.New("the user has no id"),
		}
	}
	return id, checkGroups(id.Groups)
}

// checkGroups refuses groups that can't be used: a record, a token or a cookie would be too long.
func checkGroups(groups []string) error {
	size := 0
	for _, group := range groups {
		size += len(group)
	}
	if len(groups) <= maxGroups && size <= maxGroupBytes {
		return nil
	}
	return &connector.Unusable{
		Reason: "Your account is in too many groups to use here.",
		Cause: fmt.Errorf("the user's %d groups have %d bytes, and may be %d with %d bytes: let the connector's settings choose fewer",
			len(groups), size, maxGroups, maxGroupBytes),
	}
}
