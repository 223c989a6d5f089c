package device

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
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
	// userCodeLetters has no vowels, so that no words come out, and nothing that looks like a digit (RFC 8628, 6.1).
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
	// pollInterval is how long a device waits between two questions (RFC 8628, section 3.5).
	pollInterval = 5 * time.Second
	// pollLeeway is how much a device's timer may be early.
	pollLeeway = 500 * time.Millisecond
	// grantedTime is how long a device may take to fetch its tokens. It is less than tombstoneTime, as what is left of the
	// refresh tokens shows that the device code was used.
	grantedTime = 10 * time.Minute
	// beginTries bounds the search for a user code that nobody has; the first is free but for one time in millions.
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

// device is the record of a device that waits for its user. Its key is the user code, whose letters are part of the device
// code too, so that one record answers the browser and the device.
type record struct {
	ClientID string   `json:"clientID"`
	Scopes   []string `json:"scopes"`
	Secret   []byte   `json:"secret"` // hash of the device code
	// Authenticated is set where the client has shown its secret, if it has one, when it asked for the code.
	Authenticated bool           `json:"authenticated"`
	Challenge     pkce.Challenge `json:"challenge,omitzero"`
	State         state          `json:"state"`
	// Authorization is there from when the user has signed in until the device has its tokens.
	Authorization *token.Authorization `json:"authorization,omitempty"`
	FamilyID      string               `json:"familyID"` // of the refresh tokens that the device gets, and the device's own id
	Interval      time.Duration        `json:"interval"` // that the device must keep between two questions
	Polled        time.Time            `json:"polled,omitzero"`
	ValidUntil    time.Time            `json:"validUntil"`
	Process       string               `json:"process,omitempty"` // whose clock says so
	// Redeemed is when a device code without refresh tokens was redeemed, Stamp names the write, and Kept is the
	// authorization, for whoever has the device code and may use it again.
	Redeemed time.Time `json:"redeemed,omitzero"`
	// Approved names the login by which the user has approved, so that the same may do so again.
	Approved string       `json:"approved,omitempty"`
	Stamp    answer.Stamp `json:"stamp,omitzero"`
	Kept     []byte       `json:"kept,omitempty"`
}

// Codes are the devices that wait for their users (RFC 8628). They are safe for concurrent use.
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

// NewCodes returns the devices in a storage; a lifetime is how long a user may take.
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
	Authenticated bool // the client has shown its secret, if it has one; otherwise it has to when it asks for the tokens
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

// ErrUnknown says that no device waits with a user code, or that its time is over.
var ErrUnknown = errors.New("no device waits with this code")

// A Name names one device: its user code may be another one's later.
type Name struct {
	UserCode string // as it is stored
	ID       string
}

// A Waiting is what its user is asked about.
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
// *oauth.Error where the device doesn't wait any more.
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
	var late *oauth.Error
	if errors.As(err, &late) {
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

// An Approved is one that may have its tokens.
type Approved struct {
	token.Authorization // its GrantID names the refresh tokens that the device gets
	Challenge           pkce.Challenge

	code  string
	entry store.Entry[record]
}

// Poll answers a device's question: what its user has let it have, or an *oauth.Error.
func (s *Codes) Poll(ctx context.Context, deviceCode, clientID string) (*Approved, error) {
	e, err := s.byDeviceCode(ctx, deviceCode)
	if err == nil {
		err = s.answer(ctx, deviceCode, clientID, &e)
	}
	if err != nil {
		return nil, err
	}
	d := &Approved{Authorization: *e.Value.Authorization, Challenge: e.Value.Challenge, code: deviceCode, entry: e}
	d.GrantID = e.Value.FamilyID
	return d, nil
}

// answer returns why a device may not have its tokens, or nothing; one that was redeemed has its authorization back then.
func (s *Codes) answer(ctx context.Context, deviceCode, clientID string, e *store.Entry[record]) error {
	d := &e.Value
	switch {
	case d.ClientID != clientID:
		return oauth.Errorf(oauth.InvalidGrant, "The device_code belongs to another client.")
	case d.State == denied:
		return oauth.Errorf(oauth.AccessDenied, "The user refused.")
	case d.State == redeemed:
		return s.recall(ctx, deviceCode, d)
	case s.expired(d):
		return oauth.Errorf(oauth.ExpiredToken, "The user took too long; begin anew.")
	case d.State == granted:
		return nil
	}
	return s.wait(ctx, *e)
}

// AuthenticatedClient returns the client that a device code belongs to, if it showed its secret when it asked for the code;
// otherwise nothing. The error is an *oauth.Error for a code that nobody has.
func (s *Codes) AuthenticatedClient(ctx context.Context, deviceCode string) (clientID string, err error) {
	e, err := s.byDeviceCode(ctx, deviceCode)
	if err != nil || !e.Value.Authenticated {
		return "", err
	}
	return e.Value.ClientID, nil
}

// byDeviceCode finds a device by the code that only it has. The error is an *oauth.Error for one that nobody has.
func (s *Codes) byDeviceCode(ctx context.Context, deviceCode string) (store.Entry[record], error) {
	unknown := oauth.Errorf(oauth.InvalidGrant, "The device_code is unknown or has expired.")
	if len(deviceCode) <= userCodeLength {
		return store.Entry[record]{}, unknown
	}
	userCode, ok := readUserCode(deviceCode[len(deviceCode)-userCodeLength:])
	if !ok {
		return store.Entry[record]{}, unknown
	}
	e, err := s.table.Get(ctx, userCode)
	if errors.Is(err, store.ErrNotFound) {
		return e, unknown
	}
	if err != nil {
		return e, fmt.Errorf("read device: %w", err)
	}
	if !id.IsHashOf(e.Value.Secret, deviceCode) {
		return e, unknown
	}
	return e, nil
}

// wait tells a device to ask again. What comes too early is not stored: it costs no write, and doesn't delay the next
// question that comes in time.
func (s *Codes) wait(ctx context.Context, e store.Entry[record]) error {
	early := false
	_, err := s.table.UpdateEntry(ctx, e, func(d *record) error {
		now := s.now()
		since := now.Sub(d.Polled)
		if early = !d.Polled.IsZero() && since >= 0 && since < d.Interval-pollLeeway; early {
			return store.ErrUnchanged
		}
		d.Polled = now
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("store device's question: %w", err)
	case early:
		return SlowDown()
	}
	return oauth.Errorf(oauth.AuthorizationPending, "The user has not decided yet.")
}

// SlowDown tells a device that it asks too often (RFC 8628, section 3.5).
func SlowDown() error {
	return oauth.Errorf(oauth.SlowDown, "Wait 5 seconds longer between two requests from now on.")
}

// expired reports whether a device has waited too long, by whichever clock is later.
func (s *Codes) expired(d *record) bool {
	return s.now().After(d.ValidUntil.Add(s.answers.Skew(d.Process)))
}

// Redeem uses up a device code that gives no refresh token, or does so once more where Poll has found that it may: of any
// number of callers one succeeds, and others where the one had no answer.
func (s *Codes) Redeem(ctx context.Context, approved *Approved) error {
	deviceCode, e := approved.code, approved.entry
	for {
		err := s.use(ctx, deviceCode, e)
		if !errors.Is(err, answer.ErrReplayed) {
			return err
		}
		if e, err = s.table.Get(store.Latest(ctx), e.Key); err != nil {
			return err
		}
		if err := s.recall(ctx, deviceCode, &e.Value); err != nil {
			return err
		}
	}
}

// use uses up a device code after the use that the entry knows of, if any. The error is answer.ErrReplayed if there was another one.
func (s *Codes) use(ctx context.Context, deviceCode string, e store.Entry[record]) error {
	kept, err := answer.Seal(deviceCode, e.Value.Authorization)
	if err != nil {
		return err
	}
	stampOf := func(d *record) answer.Stamp { return d.Stamp }
	_, err = answer.Write(ctx, s.answers, s.table, e.Key, stampOf, func(stamp answer.Stamp) (store.Entry[record], error) {
		return s.table.UpdateEntry(ctx, e, func(d *record) error {
			if d.State != e.Value.State || d.Stamp != e.Value.Stamp {
				return answer.ErrReplayed
			}
			d.State, d.Authorization, d.Kept, d.Redeemed, d.Stamp = redeemed, nil, kept, s.now(), stamp
			return nil
		})
	})
	return err
}

// recall gives a device that was redeemed its authorization back, if the answer got lost.
func (s *Codes) recall(ctx context.Context, deviceCode string, d *record) error {
	if err := s.Owed(ctx, answer.Use{Stamp: d.Stamp, At: d.Redeemed}); err != nil {
		return err
	}
	if len(d.Kept) == 0 {
		return errDeviceCodeUsed()
	}
	return answer.Open(deviceCode, d.Kept, &d.Authorization)
}

// Owed returns why the answer to the use of a device code is not given again, or nothing if it got lost and still may be.
func (s *Codes) Owed(ctx context.Context, u answer.Use) error {
	owed, err := s.answers.Owed(ctx, u, s.now())
	switch {
	case err != nil:
		return fmt.Errorf("device code was used, look for the answer: %w", err)
	case !owed:
		return errDeviceCodeUsed()
	}
	return nil
}

func errDeviceCodeUsed() error {
	return oauth.Errorf(oauth.InvalidGrant, "The device_code was used before.")
}

func newUserCode() string {
	code := make([]byte, 0, userCodeLength+1)
	for len(code) < userCodeLength+1 {
		if len(code) == userCodeLength/2 {
			code = append(code, '-')
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(userCodeLetters))))
		if err != nil {
			panic(err) // never: the program ends where the system has no randomness
		}
		code = append(code, userCodeLetters[n.Int64()])
	}
	return string(code)
}

// readUserCode returns the code that a user has typed as it is stored. Case doesn't matter, and neither does what is no
// letter of a code (RFC 8628, section 6.1), such as the colon of the line that the code or its link was copied from. False
// for what can be none.
func readUserCode(typed string) (string, bool) {
	if len(typed) > 4*userCodeLength {
		return "", false
	}
	letters := strings.Map(func(r rune) rune {
		if !strings.ContainsRune(userCodeLetters, r) {
			return -1
		}
		return r
	}, strings.ToUpper(typed))
	if len(letters) != userCodeLength {
		return "", false
	}
	return letters[:userCodeLength/2] + "-" + letters[userCodeLength/2:], true
}
