// Package factor is users' second factors and passkeys: enrolled, checked, removed. It knows no HTTP; the pages of a login and of the
// account show what it hands out, and give it what was answered.
//
// All that a user has is one record, and whatever changes it is one swap. So replicas count guesses exactly, and a code or an answer
// passes once, wherever it is presented. A storage that can't tell whether it has written passes nothing.
package factor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"dex/internal/event"
	"dex/internal/identity"
	"dex/internal/seal"
	"dex/internal/store"
)

// The types of authenticators.
const (
	TypeTOTP     = "TOTP"     // codes of an app, RFC 6238
	TypeWebAuthn = "WebAuthn" // security keys and passkeys
	TypeAnyOf    = "AnyOf"    // one of several others
)

// The errors that callers tell apart. Any other error means that the storage could not do its work.
var (
	ErrWrong       = errors.New("the code is wrong")
	ErrReplayed    = errors.New("it was used before")
	ErrNotEnrolled = errors.New("the user has no such factor")
	ErrCeremony    = errors.New("the answer of the authenticator is not accepted") // wraps the cause, which is for the log
	ErrClone       = errors.New("the credential seems to have been copied")
	ErrUnknownUser = errors.New("nobody here has this passkey") // always within ErrCeremony
	ErrTaken       = errors.New("the factor is enrolled already")
	ErrNotFirst    = errors.New("the user has set up a factor meanwhile")
	ErrTooMany     = errors.New("there are too many of them")
)

// A Condition is what must hold of a user's record at the moment at which a factor is added to it.
type Condition func(r *Record) error

// IfFirst lets a factor only be the user's first for any of some authenticators. What they have for others can't be passed any more: an
// operator has removed those, or has given them another id.
func IfFirst(authenticatorIDs []string) Condition {
	return func(r *Record) error {
		if slices.ContainsFunc(authenticatorIDs, r.Has) {
			return ErrNotFirst
		}
		return nil
	}
}

// Always sets no condition.
func Always(*Record) error { return nil }

// Locked says that no codes of the user are checked, because too many were wrong.
type Locked struct {
	Until   time.Time
	ForGood bool // until an operator unlocks them
}

func (l *Locked) Error() string {
	if l.ForGood {
		return "codes are locked until an operator unlocks them"
	}
	return "no codes are checked until " + l.Until.UTC().Format(time.RFC3339)
}

// A User is somebody whose factors these are.
type User struct {
	UserID, ConnectorID string
	Name                string // the e-mail address or login name, as apps and browsers show it
	DisplayName         string
}

func (u User) key() string { return identity.Key(u.UserID, u.ConnectorID) }

// An Authenticator is a kind of second factor that the configuration has.
type Authenticator struct {
	ID, Type string
	TOTP     TOTPSettings
	WebAuthn WebAuthnSettings
	Members  []string // of an AnyOf
	// ConnectorTypes are the types of connectors whose users it is for; empty means all.
	ConnectorTypes []string
}

// TOTPSettings are those of an authenticator of type TOTP.
type TOTPSettings struct {
	Issuer string // what apps show; the host of the issuer URL if empty
}

// Config is what Factors are made of.
type Config struct {
	Store          store.Store
	Ring           *seal.Ring
	IssuerURL      string
	Identities     *identity.Identities // have what upstream enrolled; may be nil
	Authenticators []Authenticator
	RecoveryCodes  int // how many a user gets; 0 for none
	Events         event.Sink
	Log            *slog.Logger
	Now            func() time.Time
}

// Factors are the second factors of all users. They are safe for concurrent use.
type Factors struct {
	table         *store.Table[Record]
	ring          *seal.Ring
	identities    *identity.Identities
	recoveryCodes int
	events        event.Sink
	log           *slog.Logger
	now           func() time.Time

	totp    map[string]TOTPSettings
	parties map[string]*party // of WebAuthn, by authenticator
	passkey *party            // the first that is passwordless; nil if none is
}

// New returns the factors in a storage. It fails if the settings of an authenticator can't work.
func New(c Config) (*Factors, error) {
	f := &Factors{
		table: store.In(c.Store, Kind), ring: c.Ring, identities: c.Identities, recoveryCodes: c.RecoveryCodes,
		events: cmp.Or(c.Events, event.Discard), log: cmp.Or(c.Log, slog.New(slog.DiscardHandler)), now: c.Now,
		totp: map[string]TOTPSettings{}, parties: map[string]*party{},
	}
	if f.now == nil {
		f.now = time.Now
	}
	issuer, err := url.Parse(c.IssuerURL)
	if err != nil {
		return nil, fmt.Errorf("issuer URL: %w", err)
	}
	for _, a := range c.Authenticators {
		if err := f.add(a, issuer); err != nil {
			return nil, fmt.Errorf("authenticator %q: %w", a.ID, err)
		}
	}
	return f, nil
}

func (f *Factors) add(a Authenticator, issuer *url.URL) error {
	switch a.Type {
	case TypeTOTP:
		a.TOTP.Issuer = cmp.Or(a.TOTP.Issuer, issuer.Hostname())
		f.totp[a.ID] = a.TOTP
	case TypeWebAuthn:
		p, err := newParty(a.ID, a.WebAuthn, issuer)
		if err != nil {
			return err
		}
		f.parties[a.ID] = p
		if f.passkey == nil && a.WebAuthn.Passwordless {
			f.passkey = p
		}
	case TypeAnyOf: // a rule of the policy's
	default:
		return fmt.Errorf("unknown type %q", a.Type)
	}
	return nil
}

// Get returns a user's factors, those that upstream has enrolled included.
func (f *Factors) Get(ctx context.Context, u User) (Record, error) {
	e, err := f.read(ctx, u)
	return e.Value, err
}

// read returns a user's record. One that isn't stored yet has no revision.
func (f *Factors) read(ctx context.Context, u User) (store.Entry[Record], error) {
	key := u.key()
	e, err := f.table.Get(store.Latest(ctx), key)
	if !errors.Is(err, store.ErrNotFound) {
		return e, err
	}
	r, err := f.adopted(ctx, u)
	return store.Entry[Record]{Key: key, Value: r}, err
}

// change changes a user's record by one swap. Edit may run several times, and may change the record in place; if it returns an error,
// nothing is written.
func (f *Factors) change(ctx context.Context, u User, edit func(*Record) error) error {
	for {
		e, err := f.read(ctx, u)
		if err != nil {
			return err
		}
		if e.Revision != "" {
			if _, err = f.table.UpdateEntry(ctx, e, edit); errors.Is(err, store.ErrNotFound) {
				continue // it was deleted meanwhile
			}
			return err
		}
		adopted := e.Value.Any()
		if err = edit(&e.Value); errors.Is(err, store.ErrUnchanged) {
			return nil
		} else if err != nil {
			return err
		}
		if _, err = f.table.Create(ctx, e.Key, e.Value); errors.Is(err, store.ErrExists) {
			continue
		}
		if err == nil && adopted {
			f.log.InfoContext(ctx, "upstream's second factors were taken over", "connector_id", u.ConnectorID, "user_id", u.UserID)
		}
		return err
	}
}

// RemoveTOTP removes the app of an authenticator.
func (f *Factors) RemoveTOTP(ctx context.Context, u User, authenticatorID string) error {
	err := f.change(ctx, u, func(r *Record) error {
		if _, ok := r.TOTP[authenticatorID]; !ok {
			return ErrNotEnrolled
		}
		delete(r.TOTP, authenticatorID)
		r.tidy()
		return nil
	})
	if err == nil {
		f.events.Emit(ctx, event.FactorRemoved{Factor: u.factor(authenticatorID, event.FactorTOTP)})
	}
	return err
}

// RemoveCredential removes a security key or passkey.
func (f *Factors) RemoveCredential(ctx context.Context, u User, credentialID []byte) error {
	var authenticatorID string
	err := f.change(ctx, u, func(r *Record) error {
		i := r.find(credentialID)
		if i < 0 {
			return ErrNotEnrolled
		}
		authenticatorID = r.Credentials[i].Authenticator
		r.Credentials = slices.Delete(r.Credentials, i, i+1)
		r.tidy()
		return nil
	})
	if err == nil {
		f.events.Emit(ctx, event.FactorRemoved{Factor: u.factor(authenticatorID, event.FactorWebAuthn)})
	}
	return err
}

// RenameCredential gives a security key or passkey another name.
func (f *Factors) RenameCredential(ctx context.Context, u User, credentialID []byte, name string) error {
	return f.change(ctx, u, func(r *Record) error {
		i := r.find(credentialID)
		if i < 0 {
			return ErrNotEnrolled
		}
		r.Credentials[i].Name = credentialName(name)
		return nil
	})
}

// Reset removes all factors of a user. It leaves an empty record, so that upstream's factors don't come back, and needs nothing of what
// was there before, which may not be readable.
func (f *Factors) Reset(ctx context.Context, u User) error {
	empty := Record{UserID: u.UserID, ConnectorID: u.ConnectorID}
	for {
		_, err := f.table.Update(ctx, u.key(), func(r *Record) error {
			*r = empty
			return nil
		})
		if errors.Is(err, store.ErrNotFound) {
			if _, err = f.table.Create(ctx, u.key(), empty); errors.Is(err, store.ErrExists) {
				continue
			}
		}
		if err == nil {
			f.events.Emit(ctx, event.FactorsReset{UserID: u.UserID, ConnectorID: u.ConnectorID})
		}
		return err
	}
}

// Unlock lets codes of a user be checked again.
func (f *Factors) Unlock(ctx context.Context, u User) error {
	unlocked := false
	err := f.change(ctx, u, func(r *Record) error {
		if unlocked = r.Guesses != (Guesses{}); !unlocked {
			return store.ErrUnchanged
		}
		r.Guesses = Guesses{}
		return nil
	})
	if err == nil && unlocked {
		f.events.Emit(ctx, event.FactorsUnlocked{UserID: u.UserID, ConnectorID: u.ConnectorID})
	}
	return err
}

func (u User) factor(authenticatorID string, method event.FactorMethod) event.Factor {
	return event.Factor{UserID: u.UserID, ConnectorID: u.ConnectorID, AuthenticatorID: authenticatorID, Method: method}
}
