package credentials

import (
	"context"
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

// token returns a token of the scopes that the user has agreed to.
func (u *user) token(ctx context.Context, _ string) (*relyingparty.Tokens, error) {
	at := u.at
	if at == "" {
		var err error
		if at, err = u.env.TokenURL(ctx); err != nil {
			return nil, err
		}
	}
	given, err := u.env.post(ctx, u.us, at, map[string]string{"grant_type": "refresh_token", "refresh_token": u.refreshToken})
	if relyingparty.RefusalCode(err) == "invalid_grant" {
		return nil, fmt.Errorf("the user has to sign in again, by gcloud auth application-default login: %w", err)
	}
	return given, err
}
