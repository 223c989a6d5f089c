package device

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"dex/internal/answer"
	"dex/internal/id"
	"dex/internal/oauth"
	"dex/internal/pkce"
	"dex/internal/store"
	"dex/internal/token"
)

const (
	// replayMemory is how long a device is remembered after its time, so that its code isn't used twice.
	replayMemory = 10 * time.Minute
	// pollInterval is how long a device waits between two questions (RFC 8628, section 3.5).
	pollInterval = 5 * time.Second
	// grantedTime is how long a device may take to fetch its tokens. It is shorter than package refresh remembers a family that
	// has ended, as that shows that the device code was used.
	grantedTime = 10 * time.Minute
	// beginTries bounds the search for a user code that no device has; one in millions is taken.
	beginTries = 5
)

// A state is how far the login for a device has come.
type state string

const (
	pending  state = "pending"
	granted  state = "granted"
	denied   state = "denied"
	redeemed state = "redeemed"
)

// record is the record of a device that waits for its user. Its key is the user code, whose letters are part of the device
// code too, so that one record answers the browser and the device.
type record struct {
	ClientID string   `json:"clientID"`
	Scopes   []string `json:"scopes"`
	Secret   []byte   `json:"secret"` // hash of the device code
	// Authenticated is set if the client showed its secret, if it has one, when it asked for the code.
	Authenticated bool           `json:"authenticated"`
	Challenge     pkce.Challenge `json:"challenge,omitzero"`
	State         state          `json:"state"`
	// Authorization is set from when the user has signed in until the device has its tokens.
	Authorization *token.Authorization `json:"authorization,omitempty"`
	FamilyID      string               `json:"familyID"` // of the refresh tokens that the device gets, and the device's own id
	Interval      time.Duration        `json:"interval"` // that the device must keep between two questions
	Polled        time.Time            `json:"polled,omitzero"`
	ValidUntil    time.Time            `json:"validUntil"`
	Process       string               `json:"process,omitempty"` // whose clock says so
	// Redeemed is when a device code was redeemed without a refresh token; zero otherwise.
	Redeemed time.Time `json:"redeemed,omitzero"`
	// Approved names the login by which the user has approved, so that the same login may do so again.
	Approved string `json:"approved,omitempty"`
	// Stamp names the write that redeemed the device code, and Kept is the authorization, for whoever has the device code and
	// may use it again.
	Stamp answer.Stamp `json:"stamp,omitzero"`
	Kept  []byte       `json:"kept,omitempty"`
}

// Codes are the codes of devices that wait for their users (RFC 8628). They are safe for concurrent use.
type Codes struct {
	table    *store.Table[record]
	lifetime time.Duration
	answers  *answer.Ledger
	now      func() time.Time
}

var kind = store.Declare(store.Declaration[record]{
	Name: "device", Quiet: true,
	Expires: func(d *record) time.Time { return d.ValidUntil.Add(replayMemory) },
})

// NewCodes returns the codes in a storage; a lifetime is how long a user may take.
func NewCodes(s store.Store, lifetime time.Duration, answers *answer.Ledger, now func() time.Time) *Codes {
	return &Codes{
		table:    store.In(s, kind),
		lifetime: lifetime,
		answers:  answers,
		now:      now,
	}
}

// Issued is what a device gets to show its user, and to ask with.
type Issued struct {
	DeviceCode, UserCode string
	Lifetime, Interval   time.Duration
}

// A Request is what a device asks for.
type Request struct {
	ClientID      string
	Authenticated bool // the client has shown its secret, if it has one; otherwise it must when it asks for the tokens
	Scopes        []string
	Challenge     pkce.Challenge
}

// Begin makes a device wait for its user.
func (s *Codes) Begin(ctx context.Context, r Request) (Issued, error) {
	for range beginTries {
		userCode := newUserCode()
		deviceCode := id.NewSecret() + strings.ToLower(strings.ReplaceAll(userCode, "-", ""))
		_, err := s.table.Create(ctx, userCode, record{
			ClientID: r.ClientID, Authenticated: r.Authenticated, Scopes: r.Scopes, Challenge: r.Challenge,
			Secret: id.Hash(deviceCode), State: pending,
			FamilyID: id.New(), Interval: pollInterval, ValidUntil: s.now().Add(s.lifetime), Process: s.answers.Self(),
		})
		if errors.Is(err, store.ErrExists) {
			continue
		}
		if err != nil {
			return Issued{}, fmt.Errorf("store device: %w", err)
		}
		return Issued{deviceCode, userCode, s.lifetime, pollInterval}, nil
	}
	return Issued{}, errors.New("found no free user code")
}

// ErrUnknown says that no device waits with a user code, or that it has waited too long.
var ErrUnknown = errors.New("no device waits with this code")

// A Name names one device: its user code may be another device's later.
type Name struct {
	UserCode string // as it is stored
	ID       string
}

// A Waiting device is what its user is asked about.
type Waiting struct {
	Name
	ClientID string
	Scopes   []string
	Approved bool // its user has signed in
	Denied   bool
}

// Find returns the device of a user code, in whatever form the user has typed it. The error is ErrUnknown, or that the
// storage failed.
func (s *Codes) Find(ctx context.Context, typed string) (Waiting, error) {
	userCode, ok := readUserCode(typed)
	if !ok {
		return Waiting{}, ErrUnknown
	}
	e, err := s.table.Get(ctx, userCode)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && s.expired(&e.Value):
		return Waiting{}, ErrUnknown
	case err != nil:
		return Waiting{}, fmt.Errorf("read device: %w", err)
	}
	d := e.Value
	return Waiting{
		Name: Name{UserCode: userCode, ID: d.FamilyID}, ClientID: d.ClientID, Scopes: d.Scopes,
		Approved: d.State == granted || d.State == redeemed, Denied: d.State == denied,
	}, nil
}

// Approve gives a device what its user has let it have, once; the login that did so may say it again. The error is an
// *oauth.Error if the device doesn't wait any more.
func (s *Codes) Approve(ctx context.Context, name Name, a token.Authorization) error {
	return s.decide(ctx, name, a.GrantID, func(d *record) {
		d.State, d.Authorization, d.Approved = granted, &a, a.GrantID
		if end := s.now().Add(grantedTime); end.Before(d.ValidUntil) {
			d.ValidUntil, d.Process = end, s.answers.Self()
		}
	})
}

// Deny tells a device that it was refused. Nothing happens to one that doesn't wait any more.
func (s *Codes) Deny(ctx context.Context, name Name) error {
	err := s.decide(ctx, name, "", func(d *record) { d.State = denied })
	if _, late := errors.AsType[*oauth.Error](err); late {
		return nil
	}
	return err
}

func (s *Codes) decide(ctx context.Context, name Name, login string, how func(*record)) error {
	_, err := s.table.Update(ctx, name.UserCode, func(d *record) error {
		if d.FamilyID == name.ID && d.Approved != "" && d.Approved == login {
			return store.ErrUnchanged
		}
		if d.FamilyID != name.ID || d.State != pending || s.expired(d) {
			return store.ErrNotFound
		}
		how(d)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return oauth.Errorf(oauth.InvalidGrant, "The device has an answer already, or has waited too long.").Because(err)
	}
	if err != nil {
		return fmt.Errorf("decide about device: %w", err)
	}
	return nil
}
