package connector

import (
	"cmp"
	"context"
	"log/slog"
	"time"
)

// A Config is the settings of one connector, a pointer to a struct whose fields carry `key` tags, decoded. It checks what
// can be known without I/O in UnmarshalConfig (see [config.Unmarshaler]), so that mistakes are told with their line.
type Config interface {
	// Open makes the connector, which has one or more of the capabilities of this package, and of [io.Closer]. It may do
	// I/O, but a source that is down for now should not make it fail: one that opens can say more by Probe.
	Open(ctx context.Context, env Env) (any, error)
}

// Env is what a connector gets from its surroundings.
type Env struct {
	ID          string // the connector's id
	CallbackURL string // <issuer>/callback
	// OwnCallbackURL is <issuer>/callback/<id>, which no other connector shares.
	OwnCallbackURL string
	// MetadataURL is where the document of a Metadata source is served.
	MetadataURL string
	// LogoutURL is where sources send the browser back after a logout; empty where nobody can sign out.
	LogoutURL string
	// OwnLogoutURL is <issuer>/logout/<id>, where the source tells of its logouts; empty where nobody can sign out.
	OwnLogoutURL string
	Log          *slog.Logger
	// Once reports whether any connector at any replica sees a key for the first time, and remembers it until a time. The key
	// begins with the kind of thing that it identifies. After an error nobody knows: refuse.
	Once func(ctx context.Context, key string, until time.Time) (bool, error)
}

// ReturnURL returns where a source sends the browser back according to the setting redirectURI, and whether that is one of our
// addresses: the one of all connectors, which is the default, or the connector's own.
func (e Env) ReturnURL(redirectURI string) (address string, ours bool) {
	address = cmp.Or(redirectURI, e.CallbackURL)
	return address, address == e.CallbackURL || address == e.OwnCallbackURL
}

// Settings of sources that send the browser back to a configured address implement Returning.
type Returning interface {
	ReturnsTo() ReturnAddress
}

// A ReturnAddress is where a source sends the browser back.
type ReturnAddress struct {
	URI string // the setting redirectURI; empty for the address of all connectors
	// Signed says that answers are signed and name their sender. Then connectors may share an address, and answers may arrive
	// at another one first and be forwarded here.
	Signed bool
}

// Settings that implement ExchangeOnly may allow the exchange of tokens without any login; users are not offered those.
type ExchangeOnly interface {
	// ExchangesOnly reports whether nobody can log in.
	ExchangesOnly() bool
}

// Settings that implement OpenExchange may accept tokens of everybody for whom the source makes one, strangers among them.
type OpenExchange interface {
	// ExchangesForAll returns the setting that opens the exchange to them; empty if it isn't open.
	ExchangesForAll() (setting string)
}

// Settings of sources whose users begin with our form for a name and a password implement PasswordForm.
type PasswordForm interface {
	// AsksPassword reports whether they do. Where browsers are asked for a ticket before, they don't.
	AsksPassword() bool
}
