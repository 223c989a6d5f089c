package factor_test

import (
	"slices"
	"strings"
	"testing"

	"dex/internal/factor"
	"dex/internal/factor/factortest"
)

func passwordless() factor.Authenticator {
	return factor.Authenticator{ID: "key", Type: factor.TypeWebAuthn, WebAuthn: factor.WebAuthnSettings{Passwordless: true}}
}

// signIn returns who a passkey says its user is.
func (x *fixture) signIn(t *testing.T, a *factortest.Authenticator) (factor.User, factor.Assertion, error) {
	t.Helper()
	options, ok, err := x.BeginPasskey("login")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	answer, err := a.Get(options)
	if err != nil {
		t.Fatal(err)
	}
	return x.FinishPasskey(t.Context(), "login", answer)
}

func TestPasskey(t *testing.T) {
	x := newFixture(t, passwordless())
	a := newKey()
	x.key(t, a)
	options, _, err := x.BeginPasskey("login")
	if err != nil {
		t.Fatal(err)
	}
	if text := string(options); strings.Contains(text, "allowCredentials") || !strings.Contains(text, `"userVerification":"required"`) {
		t.Errorf("the options are %s", text)
	}
	u, made, err := x.signIn(t, a)
	if err != nil || u.UserID != jane.UserID || u.ConnectorID != jane.ConnectorID {
		t.Fatal(u, err)
	}
	if !made.UserVerified || !slices.Equal(made.Methods, []string{"hwk", "user", "mfa"}) || made.Credential.Authenticator != "key" {
		t.Errorf("the assertion is %+v", made)
	}
	answer, err := a.Get(options)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = x.FinishPasskey(t.Context(), "another login", answer)
	wantErr(t, err, factor.ErrCeremony)
	if _, _, err = x.FinishPasskey(t.Context(), "login", answer); err != nil {
		t.Error(err)
	}
	_, _, err = x.FinishPasskey(t.Context(), "login", answer)
	wantErr(t, err, factor.ErrCeremony, factor.ErrReplayed)
	if _, err := x.assert(t, a); err != nil {
		t.Error("a passkey is no second factor:", err)
	}
}

func TestPasskeysThatAreRefused(t *testing.T) {
	x := newFixture(t, passwordless(), factor.Authenticator{ID: "second", Type: factor.TypeWebAuthn})
	a := newKey()
	x.key(t, a)
	unknown := newKey() // registered, and then removed
	c := x.key(t, unknown)
	if err := x.RemoveCredential(t.Context(), jane, c.ID); err != nil {
		t.Fatal(err)
	}
	theirs := newKey()
	if _, err := x.register(t, bob, theirs); err != nil {
		t.Fatal(err)
	}
	options, err := x.BeginRegistration(t.Context(), jane, "second", "login")
	if err != nil {
		t.Fatal(err)
	}
	second := newKey()
	second.Finds = true
	answer, err := second.Create(options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.FinishRegistration(t.Context(), jane, "second", "login", "", answer); err != nil {
		t.Fatal(err)
	}

	handle := a.Handle()
	for name, c := range map[string]struct {
		a      *factortest.Authenticator
		change func(*factortest.Authenticator)
	}{
		"of nobody":             {unknown, func(*factortest.Authenticator) {}},
		"of nobody at all":      {a, func(a *factortest.Authenticator) { a.UserHandle = make([]byte, 32) }},
		"without handle":        {a, func(a *factortest.Authenticator) { a.UserHandle = []byte{} }},
		"with a strange handle": {a, func(a *factortest.Authenticator) { a.UserHandle = []byte("jane") }},
		"of an upstream nobody": {a, func(a *factortest.Authenticator) { a.UserHandle = []byte("jane|local") }},
		"of somebody else":      {theirs, func(a *factortest.Authenticator) { a.UserHandle = handle }},
		"of a second factor":    {second, func(*factortest.Authenticator) {}},
		"without verification":  {a, func(a *factortest.Authenticator) { a.UserVerified = false }},
		"of another origin":     {a, func(a *factortest.Authenticator) { a.Origin = "https://evil.example" }},
		"of another party":      {a, func(a *factortest.Authenticator) { a.RPID = "evil.example" }},
		"that nobody touched":   {a, func(a *factortest.Authenticator) { a.UserAbsent = true }},
	} {
		misbehaving := c.a.Clone()
		c.change(misbehaving)
		u, made, err := x.signIn(t, misbehaving)
		wantErr(t, err, factor.ErrCeremony)
		if u != (factor.User{}) || made.Methods != nil {
			t.Errorf("a passkey %s signs in %v by %+v", name, u, made)
		}
	}
	if u, _, err := x.signIn(t, theirs); err != nil || u.UserID != bob.UserID {
		t.Error(u, err)
	}
}

func TestNoPasskeys(t *testing.T) {
	x := newFixture(t)
	if options, ok, err := x.BeginPasskey("login"); options != nil || ok || err != nil {
		t.Error(options, ok, err)
	}
	_, _, err := x.FinishPasskey(t.Context(), "login", []byte("{}"))
	wantErr(t, err, factor.ErrCeremony)
}

func TestPasskeyMustBeFound(t *testing.T) {
	x := newFixture(t, passwordless())
	options, err := x.BeginRegistration(t.Context(), jane, "key", "login")
	if err != nil {
		t.Fatal(err)
	}
	text := string(options)
	for _, want := range []string{`"residentKey":"required"`, `"requireResidentKey":true`, `"userVerification":"required"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the options lack %s: %s", want, text)
		}
	}
	if strings.Contains(text, "local") || strings.Contains(text, "MXxsb2NhbA") {
		t.Errorf("the handle tells who it is: %s", text)
	}
}
