// Package connector is the contract between Dex and a source of identities. Each kind of source has a folder below this
// one and implements the capabilities that it has.
package connector

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// Scopes is what the application asked for, as far as it matters to a source.
type Scopes struct {
	OfflineAccess bool // the identity will be refreshed without the user being there
	Groups        bool // the groups are wanted
}

// An Identity is who somebody is at the source.
type Identity struct {
	UserID            string   `json:"userID"`   // stable and unique at the source
	Username          string   `json:"username"` // the name claim
	PreferredUsername string   `json:"preferredUsername,omitempty"`
	Email             string   `json:"email,omitempty"`
	EmailVerified     bool     `json:"emailVerified,omitempty"`
	Groups            []string `json:"groups,omitempty"`
	// AuthTime is when the source itself saw the user sign in, if it says so and that was before now; zero otherwise.
	AuthTime time.Time `json:"authTime,omitzero"`
	// Methods is how the user signed in at the source, in the words of RFC 8176, if it says so.
	Methods []string `json:"methods,omitempty"`
	// Data is private to the connector, such as a refresh token of the source; it comes back at Refresh. It is secret.
	Data []byte `json:"data,omitempty"`
}

// A LoginRequest is what a source may use of the application's request. The hints are the application's words and not
// verified.
type LoginRequest struct {
	Scopes      Scopes
	CallbackURL string // where the source sends the browser back
	State       string // to be given back by the source

	Prompt    []string // login, consent, select_account
	LoginHint string
	ACRValues string
	UILocales string
	MaxAge    *time.Duration
	// UserID is whom the application expects to sign in, as the source names them; empty if it doesn't say, or if they are
	// another source's. It comes from a token of ours.
	UserID string
}

// Callback is a source with a login page of its own.
type Callback interface {
	// LoginURL returns where to send the browser, and what HandleCallback gets back in data.
	LoginURL(ctx context.Context, r LoginRequest) (url string, data []byte, err error)
	// HandleCallback reads the source's answer from the browser's request.
	HandleCallback(ctx context.Context, s Scopes, data []byte, r *http.Request) (Identity, error)
}

// Password is a source that checks a name and a password.
type Password interface {
	// Prompt returns the label of the name field; empty means Username.
	Prompt() string
	// Login checks a password; false without an error means that name or password are wrong.
	Login(ctx context.Context, s Scopes, username, password string) (Identity, bool, error)
}

// Refresher is a source that can tell later on who somebody is now.
type Refresher interface {
	// Refresh returns the current identity of one that the source returned before. An error that is ErrGone means that
	// the user or the permission to ask no longer exists; every other one that the source could not be asked.
	Refresh(ctx context.Context, s Scopes, id Identity) (Identity, error)
}

// TokenIdentity is a source that knows the holders of tokens that it made (RFC 8693).
type TokenIdentity interface {
	// TokenIdentity returns who a token stands for. A *BadToken says that the token is refused; any other error that the
	// source could not be asked.
	TokenIdentity(ctx context.Context, s Scopes, t SubjectToken) (Identity, error)
}

// A SubjectToken is a token of a source, shown by an application that holds it.
type SubjectToken struct {
	Type  string // one of the token types of package oauth
	Token string
	// AnyAudience takes a token that was made for anybody at the source, and not for this server only.
	AnyAudience bool
}

// BadToken says that a source refuses a token. Reason is for the application's developer, and says what to change.
type BadToken struct {
	Reason string
	Cause  error
}

// Error returns the reason and its cause.
func (b *BadToken) Error() string {
	if b.Cause == nil {
		return b.Reason
	}
	return b.Reason + ": " + b.Cause.Error()
}

// Unwrap returns the cause.
func (b *BadToken) Unwrap() error { return b.Cause }

// ErrGone says that a source refuses a user for good.
var ErrGone = errors.New("the identity source no longer vouches for the user")

// Denied says that a source knows who it is but does not let them in, or that the user refused. Reason is shown to the
// user.
type Denied struct {
	Reason string
	Cause  error
}

// Error returns the reason and its cause.
func (d *Denied) Error() string {
	if d.Cause == nil {
		return d.Reason
	}
	return d.Reason + ": " + d.Cause.Error()
}

// Unwrap returns the cause.
func (d *Denied) Unwrap() error { return d.Cause }

// Env is what a connector gets from its surroundings.
type Env struct {
	ID          string // the connector's id
	CallbackURL string
	Log         *slog.Logger
}

// A Config is the settings of one connector, a pointer to a struct whose fields carry `key` tags, decoded.
type Config interface {
	// Open makes the connector, which has one or more of the capabilities of this package. It may do I/O.
	Open(ctx context.Context, env Env) (any, error)
}
