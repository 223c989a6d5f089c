// Package connector is the contract between Dex and a source of identities. Each kind of source has a folder below this
// one and implements the capabilities that it has.
package connector

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"dex/internal/oauth"
)

// Scopes is what the application asked for, as far as it matters to a source.
type Scopes struct {
	OfflineAccess bool // the identity will be refreshed without the user being there
	Groups        bool // the groups are wanted
}

// ScopesOf returns what of an application's scopes matters to a source.
func ScopesOf(scopes []string) Scopes {
	return Scopes{
		OfflineAccess: slices.Contains(scopes, oauth.ScopeOfflineAccess),
		Groups:        slices.Contains(scopes, oauth.ScopeGroups),
	}
}

// An Identity is who somebody is at the source.
type Identity struct {
	UserID            string   `json:"userID"`   // stable and unique at the source
	Username          string   `json:"username"` // the name claim
	PreferredUsername string   `json:"preferredUsername,omitempty"`
	Email             string   `json:"email,omitempty"`
	EmailVerified     bool     `json:"emailVerified,omitempty"`
	Groups            []string `json:"groups,omitempty"`
	// GroupsTold says that the source was asked for the groups, and that Groups has all of them. Whoever asks a source sets it.
	GroupsTold bool `json:"groupsTold,omitempty"`
	// Extra is what only policies see, by name: JSON values, of at most MaxExtra bytes as JSON. No token has it by itself.
	Extra map[string]any `json:"extra,omitempty"`
	// AuthTime is when the source itself saw the user sign in, if it says so and that was before now; zero otherwise.
	AuthTime time.Time `json:"authTime,omitzero"`
	// Methods is how the user signed in at the source, in the words of RFC 8176, if it says so.
	Methods []string `json:"methods,omitempty"`
	// Data is private to the connector, such as a refresh token of the source; it comes back at Refresh. It is secret.
	Data []byte `json:"data,omitempty"`
	// Session is the user's session at the source; zero where the source names none, and after a refresh.
	Session SourceSession `json:"session,omitzero"`
}

// A SourceSession is a user's session at a source, as a login found it.
type SourceSession struct {
	// ID is the source's own name for the session, such as a sid or a SessionIndex; empty if it has none.
	ID string `json:"id,omitempty"`
	// Subject is what the source calls the user when it tells of a logout. Two names of one user are equal, byte by byte.
	Subject string `json:"subject,omitempty"`
	// Data is private to the connector, such as an ID token; it comes back in a LogoutRequest. It is secret, and at most
	// MaxSessionData long.
	Data []byte `json:"data,omitempty"`
}

// MaxExtra bounds the Extra of an Identity as JSON, in bytes.
const MaxExtra = 16 << 10

// MaxSessionData bounds the Data of a SourceSession, in bytes.
const MaxSessionData = 8 << 10

// A LoginRequest is what a source may use of the application's request. The hints come from the application and are not
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
	// UserID is the user that the application expects to sign in, by their id at the source; empty if it doesn't say, or if
	// the user is another source's. It comes from a token of ours.
	UserID string
	// Again is the Hint of an *Again, where the source is asked for the second time in one login.
	Again string
}

// A Redirect leads the browser to a source.
type Redirect struct {
	URL string
	// Form is posted to the URL by the browser; nil for a plain redirect.
	Form url.Values
	// Data is given back to HandleCallback. It travels sealed in a cookie, so it must be short.
	Data []byte
}

// Callback is a source with a login page of its own.
type Callback interface {
	// Begin returns the way to the source.
	Begin(ctx context.Context, r LoginRequest) (Redirect, error)
	// HandleCallback reads the source's answer from the browser's request: a GET, or a POST whose form has been parsed.
	HandleCallback(ctx context.Context, r Return) (Identity, error)
}

// A Return is a browser that comes back from a source.
type Return struct {
	Scopes  Scopes
	State   string // what LoginRequest had
	Data    []byte // what Redirect had
	Request *http.Request
	// CallbackURL is where the browser came back to: the CallbackURL of Env, or its OwnCallbackURL.
	CallbackURL string
}

// Password is a source that checks a name and a password.
type Password interface {
	// Prompt returns the label of the name field; empty means Username.
	Prompt() string
	// Login checks a password; false without an error means that name or password are wrong.
	Login(ctx context.Context, s Scopes, username, password string) (Identity, bool, error)
}

// Finder is a Password source that finds the user first, who may have many names, or one of many spellings.
type Finder interface {
	// LoginFound is Login, and calls found with an id of the user's before it checks the password. The id has a meaning to
	// nobody else. An error of found ends the login, and is returned as it is.
	LoginFound(ctx context.Context, s Scopes, username, password string, found func(user string) error) (Identity, bool, error)
}

// Negotiator is a Password source that also takes a ticket of the browser instead of a password (SPNEGO, RFC 4559).
type Negotiator interface {
	// Negotiate reads the Authorization header of a request for the password form. It never asks for a password.
	Negotiate(ctx context.Context, s Scopes, r *http.Request) Negotiation
}

// Negotiation is the result of asking a browser for a ticket.
type Negotiation struct {
	// Identity is the holder of the ticket; nil if there was no ticket, or no good one.
	Identity *Identity
	// Challenge is the value of WWW-Authenticate for the answer, with or without an identity; empty for none.
	Challenge string
	// Form says that a password will do too.
	Form bool
	// Err is why a good ticket did not sign in its holder: the source could not be asked, or a *Denied. For the log.
	Err error
}

// Refresher is a source that can be asked again later about a user who has logged in.
type Refresher interface {
	// Refresh returns the current state of an identity that the source returned before. Its errors are those of Outcome. A token
	// of the source that can't be verified is a *BadToken, and ends the login as ErrGone does. Data that is
	// returned is kept even with an error: the source may have replaced what it gave before something else failed.
	Refresh(ctx context.Context, s Scopes, id Identity) (Identity, error)
}

// Stamped is a source whose users may change what they sign in with, while a login of theirs waits for an answer.
type Stamped interface {
	// Stamp returns what is another one as soon as the user signs in with something else. It may be stored, and tells nobody anything.
	// The error is ErrGone if there is no such user any more.
	Stamp(ctx context.Context, id Identity) ([]byte, error)
}

// Rotating is a Refresher whose source may replace, at each question, what it gave before. It is asked by one replica at a
// time for each user.
type Rotating interface {
	Refresher
	Rotates()
}

// TokenIdentity is a source that knows the holders of tokens that it made (RFC 8693).
type TokenIdentity interface {
	// TokenIdentity returns who a token stands for. A *BadToken says that the token is refused, an *Unusable that its claims
	// are not enough; its other errors are those of Outcome too.
	TokenIdentity(ctx context.Context, s Scopes, t SubjectToken) (Identity, error)
}

// A SubjectToken is a token of a source, shown by an application that holds it.
type SubjectToken struct {
	Type  string // one of the token types of package oauth
	Token string
	// AnyAudience takes a token that was made for anybody at the source, and not for this server only, where upstream does.
	AnyAudience bool
}

// Metadata is a source that needs to be told about us by a document.
type Metadata interface {
	// Metadata returns the document and its media type.
	Metadata(ctx context.Context) (document []byte, mediaType string, err error)
}

// Prober is a source that can be asked whether it works, without a user being there.
type Prober interface {
	// Probe returns nil if a user could sign in now, as far as can be told cheaply. It is called about twice a minute.
	Probe(ctx context.Context) error
}

// BadToken says that a source refuses a token. Reason is for the application's developer, and says what to change.
type BadToken struct {
	Reason string
	Cause  error
}

// Error returns the reason and its cause.
func (b *BadToken) Error() string {
	return withCause(b.Reason, b.Cause)
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
	// ByUser says that the user refused, or gave up, at the source.
	ByUser bool
	// Code is what the source says to the application that sent the user, where that has a meaning for the application here
	// too, such as unmet_authentication_requirements; empty for access_denied.
	Code string
}

// Error returns the reason and its cause.
func (d *Denied) Error() string {
	return withCause(d.Reason, d.Cause)
}

// Unwrap returns the cause.
func (d *Denied) Unwrap() error { return d.Cause }
