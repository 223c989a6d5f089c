package introspection

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"dex/internal/client"
	"dex/internal/refresh"
	"dex/internal/token"
)

// inspectRefreshToken says what a refresh token is.
func (e *Endpoint) inspectRefreshToken(ctx context.Context, text string) (*answer, error) {
	f, err := e.cfg.Families.Inspect(ctx, text)
	if err != nil {
		return nil, err
	}
	if !f.Alive {
		return nil, token.ErrRefused
	}
	if s := e.cfg.Verifier.Sessions; s != nil && f.SessionID != "" {
		if holds, err := s.Holds(ctx, f.ClientID, f.SessionID); err != nil || !holds {
			return nil, cmp.Or(err, token.ErrRefused)
		}
	}
	if users := e.cfg.Verifier.Users; users != nil {
		if blocked, err := users.Blocked(ctx, f.Identity.UserID, f.ConnectorID); err != nil || blocked {
			return nil, cmp.Or(err, token.ErrRefused)
		}
	}
	about, err := e.about(ctx, &f)
	if err != nil {
		return nil, err
	}
	a := &answer{
		Active: true, Scope: strings.Join(f.Scopes, " "), ClientID: f.ClientID,
		Subject: token.Subject(f.Identity.UserID, f.ConnectorID), IssuedAt: f.Created.Unix(), NotBefore: f.Created.Unix(),
		Username: about.PreferredUsername, Audience: f.ClientID, Issuer: e.cfg.Issuer,
		TokenType: "Bearer", TokenUse: "refresh_token", ACR: f.ACR, Methods: f.Methods, Extra: about,
		readers: []string{f.ClientID},
	}
	if !f.AuthTime.IsZero() {
		a.AuthTime = f.AuthTime.Unix()
	}
	if !f.End.IsZero() {
		a.Expires = f.End.Unix()
	}
	return a, nil
}

// about returns what the tokens of a refresh token would say of its user, as the source has described them last: the record behind it may
// have more, such as groups that only rules are about. Where the policy would refuse tokens, that is nothing.
func (e *Endpoint) about(ctx context.Context, f *refresh.Inspected) (extra, error) {
	c, err := e.cfg.Clients.Get(ctx, f.ClientID)
	if errors.Is(err, client.ErrUnknown) {
		return extra{}, token.ErrRefused
	}
	if err != nil {
		return extra{}, err
	}
	scopes, on, ok, err := e.cfg.Terms.OfRefresh(ctx, c, f)
	if err != nil || !ok || on.User == nil {
		return extra{}, err
	}
	would := f.Authorization
	would.Scopes = scopes
	shown, added := would.UserClaims(on)
	x := extra{UserClaims: shown, more: make(map[string]json.RawMessage, len(added))}
	for name, value := range added {
		if x.more[name], err = json.Marshal(value); err != nil {
			return extra{}, fmt.Errorf("encode the claim %s: %w", name, err)
		}
	}
	return x, nil
}
