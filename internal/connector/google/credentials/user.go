package credentials

import (
	"context"
	"errors"
	"fmt"

	"dex/internal/relyingparty"
)

// A user is somebody who has signed in with gcloud.
type user struct {
	env          *Env
	us           *relyingparty.Client
	refreshToken string
	at           string // the token endpoint; empty for Google's
}

func newUser(env *Env, f *file) (*user, error) {
	if f.ClientID == "" || f.RefreshToken == "" {
		return nil, errors.New("client_id or refresh_token is missing")
	}
	if err := f.checkTokenURI(); err != nil {
		return nil, err
	}
	us := (&relyingparty.Client{ID: f.ClientID, Secret: f.ClientSecret, Method: relyingparty.AuthPost}).Over(env.HTTP)
	return &user{env: env, us: us, refreshToken: f.RefreshToken, at: f.TokenURI}, nil
}

// token returns a token of the scopes that the user has agreed to.
func (u *user) token(ctx context.Context, _ string) (*relyingparty.Tokens, error) {
	at := u.at
	if at == "" {
		var err error
		if at, err = u.env.TokenURL(ctx); err != nil {
			return nil, err
		}
	}
	given, err := post(ctx, u.us, at, map[string]string{"grant_type": "refresh_token", "refresh_token": u.refreshToken})
	if relyingparty.RefusalCode(err) == "invalid_grant" {
		return nil, fmt.Errorf("the user has to sign in again, by gcloud auth application-default login: %w", err)
	}
	return given, err
}
