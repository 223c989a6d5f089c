package factor_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"dex/internal/event"
	"dex/internal/factor"
	"dex/internal/factor/factortest"
	"dex/internal/identity"
	"dex/internal/seal"
	"dex/internal/store"
	"dex/internal/store/memory"
)

var (
	jane = factor.User{UserID: "1", ConnectorID: "local", Name: "jane@example.com", DisplayName: "Jane"}
	bob  = factor.User{UserID: "2", ConnectorID: "local", Name: "bob@example.com"}
)

// fixture is a server with a clock of its own.
type fixture struct {
	*factor.Factors

	store  *unsure
	config factor.Config
	now    time.Time

	mu     sync.Mutex
	events []event.Event
}

// unsure is a storage whose writes fail, after having been made.
type unsure struct {
	store.Store

	failing bool
}

var errUnsure = errors.New("the storage hangs")

func (u *unsure) Create(ctx context.Context, r store.Record) (string, error) {
	revision, err := u.Store.Create(ctx, r)
	if u.failing {
		return "", errUnsure
	}
	return revision, err
}

func (u *unsure) Replace(ctx context.Context, r store.Record) (string, error) {
	revision, err := u.Store.Replace(ctx, r)
	if u.failing {
		return "", errUnsure
	}
	return revision, err
}

// newFixture returns a server with the authenticators "app" and "key", or with others.
func newFixture(t *testing.T, authenticators ...factor.Authenticator) *fixture {
	t.Helper()
	x := &fixture{store: &unsure{Store: memory.New()}, now: time.Now().Truncate(30 * time.Second)}
	ring, err := seal.Open(t.Context(), x.store, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if authenticators == nil {
		authenticators = []factor.Authenticator{{ID: "app", Type: factor.TypeTOTP}, {ID: "key", Type: factor.TypeWebAuthn}}
	}
	x.config = factor.Config{
		Store: x.store, Ring: ring, IssuerURL: "https://dex.example.com:5554/dex", Authenticators: authenticators, RecoveryCodes: 10,
		Identities: identity.New(x.store, 0, time.Now), Now: func() time.Time { return x.now }, Events: event.Func(x.emit),
	}
	x.Factors = x.another(t)
	return x
}

func (x *fixture) emit(_ context.Context, e event.Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.events = append(x.events, e)
}

// counted returns how many events there were of each type and, of refusals, for each reason.
func (x *fixture) counted() map[string]int {
	n := map[string]int{}
	for _, e := range x.events {
		name := reflect.TypeOf(e).Name()
		if r, ok := e.(event.FactorRefused); ok {
			name = string(r.Reason)
		}
		n[name]++
	}
	return n
}

// another returns another replica with the same storage.
func (x *fixture) another(t *testing.T) *factor.Factors {
	t.Helper()
	f, err := factor.New(x.config)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (x *fixture) record(t *testing.T) factor.Record {
	t.Helper()
	r, err := x.Get(t.Context(), jane)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// app enrolls an app for Jane and returns its secret.
func (x *fixture) app(t *testing.T) string {
	t.Helper()
	secret := factor.NewTOTPSecret()
	if err := x.ConfirmTOTP(t.Context(), jane, "app", secret, factor.Code(secret, x.now)); err != nil {
		t.Fatal(err)
	}
	x.now = x.now.Add(time.Hour)
	return secret
}

// key enrolls a security key for Jane.
func (x *fixture) key(t *testing.T, a *factortest.Authenticator) factor.Credential {
	t.Helper()
	c, err := x.register(t, jane, a)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (x *fixture) register(t *testing.T, u factor.User, a *factortest.Authenticator) (factor.Credential, error) {
	t.Helper()
	options, err := x.BeginRegistration(t.Context(), u, "key", "login")
	if err != nil {
		return factor.Credential{}, err
	}
	answer, err := a.Create(options)
	if err != nil {
		return factor.Credential{}, err
	}
	return x.FinishRegistration(t.Context(), u, "key", "login", " my  key\n", answer)
}

// newKey returns a security key in the browser of somebody who uses this server.
func newKey() *factortest.Authenticator {
	return &factortest.Authenticator{Origin: "https://dex.example.com:5554", Counts: true, UserVerified: true}
}

func wantErr(t *testing.T, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Errorf("the error is %v, want %v", err, w)
		}
	}
}

func TestNobodyHasFactors(t *testing.T) {
	x := newFixture(t)
	if r := x.record(t); r.Any() || r.Has("app") || r.RecoveryLeft() != 0 {
		t.Errorf("jane has %+v", r)
	}
	wantErr(t, x.CheckTOTP(t.Context(), jane, "app", "123456"), factor.ErrNotEnrolled)
	_, err := x.UseRecoveryCode(t.Context(), jane, "abcd efgh ijkl mnop")
	wantErr(t, err, factor.ErrNotEnrolled)
	_, err = x.NewRecoveryCodes(t.Context(), jane)
	wantErr(t, err, factor.ErrNotEnrolled)
	_, err = x.BeginAssertion(t.Context(), jane, "key", "login")
	wantErr(t, err, factor.ErrNotEnrolled)
	wantErr(t, x.RemoveTOTP(t.Context(), jane, "app"), factor.ErrNotEnrolled)
	wantErr(t, x.RemoveCredential(t.Context(), jane, []byte{1}), factor.ErrNotEnrolled)
	wantErr(t, x.RenameCredential(t.Context(), jane, []byte{1}, "new"), factor.ErrNotEnrolled)
	if records, err := x.store.List(t.Context(), "factor", store.Query{}); err != nil || len(records) > 0 {
		t.Errorf("stored are %v, %v", records, err)
	}
}

// What is left of somebody's factors goes with the last of them.
func TestRemovingFactors(t *testing.T) {
	x := newFixture(t)
	x.app(t)
	c := x.key(t, newKey())
	if _, err := x.NewRecoveryCodes(t.Context(), jane); err != nil {
		t.Fatal(err)
	}
	if err := x.RenameCredential(t.Context(), jane, c.ID, "spare"); err != nil {
		t.Fatal(err)
	}
	if err := x.RemoveTOTP(t.Context(), jane, "app"); err != nil {
		t.Fatal(err)
	}
	if r := x.record(t); r.Has("app") || !r.Has("key") || r.RecoveryLeft() != 10 || r.Credentials[0].Name != "spare" {
		t.Errorf("jane has %+v", r)
	}
	if err := x.RemoveCredential(t.Context(), jane, c.ID); err != nil {
		t.Fatal(err)
	}
	if r := x.record(t); r.Any() || r.RecoveryLeft() != 0 {
		t.Errorf("jane has %+v", r)
	}
	if n := x.counted(); n["FactorEnrolled"] != 2 || n["FactorRemoved"] != 2 || n["RecoveryCodesMade"] != 1 {
		t.Errorf("the events are %v", n)
	}
}

func TestReset(t *testing.T) {
	x := newFixture(t)
	x.app(t)
	if err := x.Reset(t.Context(), jane); err != nil {
		t.Fatal(err)
	}
	if r := x.record(t); r.Any() {
		t.Errorf("jane has %+v", r)
	}
	if err := x.Forget(t.Context(), jane); err != nil {
		t.Fatal(err)
	}
	if err := x.Forget(t.Context(), jane); err != nil {
		t.Fatal(err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for _, a := range []factor.Authenticator{
		{ID: "x", Type: "SMS"},
		{ID: "x", Type: factor.TypeWebAuthn, WebAuthn: factor.WebAuthnSettings{AllowedAAGUIDs: []string{"yubikey"}}},
		{ID: "x", Type: factor.TypeWebAuthn, WebAuthn: factor.WebAuthnSettings{RequireAttestation: true}},
		{ID: "x", Type: factor.TypeWebAuthn, WebAuthn: factor.WebAuthnSettings{RPID: "https://dex.example.com"}},
	} {
		x := newFixture(t)
		x.config.Authenticators = []factor.Authenticator{a}
		if _, err := factor.New(x.config); err == nil {
			t.Errorf("%+v is accepted", a)
		} else {
			t.Log(err)
		}
	}
}

func ExampleLocked() {
	fmt.Println(&factor.Locked{Until: time.Unix(0, 0)})
	fmt.Println(&factor.Locked{ForGood: true})
	// Output:
	// no codes are checked until 1970-01-01T00:00:00Z
	// codes are locked until an operator unlocks them
}
