// Package mock has sources for trying things out: everybody is the same person.
package mock

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"

	"dex/internal/connector"
)

// person is who everybody is; test suites of applications know these constants.
func person() connector.Identity {
	return connector.Identity{
		UserID:        "0-385-28089-0",
		Username:      "Kilgore Trout",
		Email:         "kilgore@kilgore.trout",
		EmailVerified: true,
	}
}

// CallbackConfig is the settings of mockCallback: none.
type CallbackConfig struct{}

// Open makes the connector.
func (*CallbackConfig) Open(context.Context, connector.Env) (any, error) { return callback{}, nil }

// callback sends the browser straight back, signed in.
type callback struct{}

var (
	_ connector.Callback  = callback{}
	_ connector.Refresher = callback{}

	_ connector.TokenIdentity = callback{}

	_ connector.Password  = password{}
	_ connector.Refresher = password{}
)

func (callback) Begin(_ context.Context, r connector.LoginRequest) (connector.Redirect, error) {
	u, err := url.Parse(r.CallbackURL)
	if err != nil {
		return connector.Redirect{}, fmt.Errorf("callback URL: %w", err)
	}
	q := u.Query()
	q.Set("state", r.State)
	u.RawQuery = q.Encode()
	return connector.Redirect{URL: u.String()}, nil
}

func (callback) HandleCallback(context.Context, connector.Return) (connector.Identity, error) {
	return author(), nil
}

func (callback) Refresh(context.Context, connector.Scopes, connector.Identity) (connector.Identity, error) {
	return author(), nil
}

// TokenIdentity takes every token for one of the person, but the word expired, for trying out refusals.
func (callback) TokenIdentity(
	_ context.Context, _ connector.Scopes, t connector.SubjectToken,
) (connector.Identity, error) {
	if t.Token == "expired" {
		return connector.Identity{}, &connector.BadToken{Reason: "it has expired; get a new one."}
	}
	return author(), nil
}

func author() connector.Identity {
	p := person()
	p.Groups = []string{"authors"}
	p.Data = []byte("foobar")
	return p
}

// PasswordConfig is the settings of mockPassword.
type PasswordConfig struct {
	Username string `key:"username"`
	Password string `key:"password" secret:"file"`
}

// AsksPassword implements connector.PasswordForm.
func (*PasswordConfig) AsksPassword() bool { return true }

// Open makes the connector; it fails without a username or a password.
func (c *PasswordConfig) Open(context.Context, connector.Env) (any, error) {
	if c.Username == "" || c.Password == "" {
		return nil, errors.New("username and password are required")
	}
	return password(*c), nil
}

// password knows one name and password.
type password PasswordConfig

func (password) Prompt() string { return "" }

func (p password) Login(_ context.Context, _ connector.Scopes, name, word string) (connector.Identity, bool, error) {
	if !equal(p.Username, name) || !equal(p.Password, word) {
		return connector.Identity{}, false, nil
	}
	id := person()
	id.Data = []byte(`{"test": "true"}`)
	return id, true, nil
}

func (password) Refresh(_ context.Context, _ connector.Scopes, id connector.Identity) (connector.Identity, error) {
	return id, nil
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
