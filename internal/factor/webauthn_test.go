package factor_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/factor"
	"dex/internal/factor/factortest"
)

// assert lets Jane's authenticator prove itself.
func (x *fixture) assert(t *testing.T, a *factortest.Authenticator) (factor.Assertion, error) {
	t.Helper()
	return x.FinishAssertion(t.Context(), jane, "key", "login", x.answer(t, a))
}

// answer returns what Jane's authenticator answers.
func (x *fixture) answer(t *testing.T, a *factortest.Authenticator) []byte {
	t.Helper()
	options, err := x.BeginAssertion(t.Context(), jane, "key", "login")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := a.Get(options)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestSecurityKey(t *testing.T) {
	x := newFixture(t)
	a := newKey()
	c := x.key(t, a)
	if c.Name != "my key" || c.Authenticator != "key" || !c.Created.Equal(x.now) || c.BackupEligible || c.Clone {
		t.Errorf("the credential is %+v", c)
	}
	for range 2 {
		x.now = x.now.Add(time.Minute)
		made, err := x.assert(t, a)
		if err != nil {
			t.Fatal(err)
		}
		if !made.UserVerified || !slices.Equal(made.Methods, []string{"hwk", "user"}) || !made.Credential.LastUsed.Equal(x.now) {
			t.Errorf("the assertion is %+v", made)
		}
	}
	if r := x.record(t); !r.Has("key") || r.Credentials[0].SignCount != 2 {
		t.Errorf("jane has %+v", r)
	}
	if n := x.counted(); n["FactorEnrolled"] != 1 || n["FactorPassed"] != 2 || len(n) != 2 {
		t.Errorf("the events are %v", n)
	}
	if _, err := x.register(t, jane, a); err != factortest.ErrExcluded { //nolint:errorlint // ours
		t.Errorf("registering the same once more: %v", err)
	}
	if _, err := x.register(t, bob, a); err != nil {
		t.Error("somebody else can't register the same key:", err)
	}
}

// One without a PIN does unless the settings ask for one; one that may be synced is no hardware.
func TestSyncedKeyWithoutVerification(t *testing.T) {
	x := newFixture(t)
	a := &factortest.Authenticator{Origin: "https://dex.example.com:5554", BackupEligible: true}
	if c := x.key(t, a); !c.BackupEligible || c.BackupState {
		t.Errorf("the credential is %+v", c)
	}
	a.BackedUp = true
	for range 2 { // it doesn't count
		made, err := x.assert(t, a)
		if err != nil || made.UserVerified || !slices.Equal(made.Methods, []string{"swk", "user"}) || !made.Credential.BackupState {
			t.Errorf("the assertion is %+v, %v", made, err)
		}
	}
}

func TestBadAnswers(t *testing.T) {
	for name, misbehave := range map[string]func(*factortest.Authenticator){
		"another origin":        func(a *factortest.Authenticator) { a.Origin = "https://dex.example.com.evil.example" },
		"another port":          func(a *factortest.Authenticator) { a.Origin = "https://dex.example.com" },
		"another relying party": func(a *factortest.Authenticator) { a.RPID = "evil.example" },
		"nobody touched it":     func(a *factortest.Authenticator) { a.UserAbsent = true },
		"backed up, impossible": func(a *factortest.Authenticator) { a.BackedUp = true },
	} {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t)
			bad := newKey()
			misbehave(bad)
			_, err := x.register(t, jane, bad)
			wantErr(t, err, factor.ErrCeremony)

			a := newKey()
			x.key(t, a)
			misbehave(a)
			_, err = x.assert(t, a)
			wantErr(t, err, factor.ErrCeremony)
			if n := x.counted(); n["ceremony"] != 2 || n["FactorPassed"] != 0 {
				t.Errorf("the events are %v", n)
			}
		})
	}
	x := newFixture(t)
	a := newKey()
	x.key(t, a)
	a.UserHandle = []byte("somebody")
	_, err := x.assert(t, a)
	wantErr(t, err, factor.ErrCeremony)

	for _, answer := range []string{"", "{}", "null", "[]", strings.Repeat(" ", 64<<10) + "{}", `{"id":"AA","rawId":"AA","type":"public-key","response":{}}`} {
		_, err := x.FinishAssertion(t.Context(), jane, "key", "login", []byte(answer))
		wantErr(t, err, factor.ErrCeremony)
		_, err = x.FinishRegistration(t.Context(), jane, "key", "login", "", []byte(answer))
		wantErr(t, err, factor.ErrCeremony)
		_, _, err = x.FinishPasskey(t.Context(), "login", []byte(answer))
		wantErr(t, err, factor.ErrCeremony)
	}
}

// edit changes members of an answer's response.
func edit(t *testing.T, answer []byte, change func(response map[string]any)) []byte {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(answer, &members); err != nil {
		t.Fatal(err)
	}
	change(members["response"].(map[string]any))
	members["somethingNew"] = map[string]any{"a": 1} // is ignored
	edited, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return edited
}

func TestWrongSignature(t *testing.T) {
	x := newFixture(t)
	a := newKey()
	x.key(t, a)
	answer := x.answer(t, a)
	_, err := x.FinishAssertion(t.Context(), jane, "key", "login", edit(t, answer, func(response map[string]any) {
		data, err := base64.RawURLEncoding.DecodeString(response["authenticatorData"].(string))
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)-1]++
		response["authenticatorData"] = base64.RawURLEncoding.EncodeToString(data)
	}))
	wantErr(t, err, factor.ErrCeremony)
	// Such an attempt doesn't use up the challenge.
	if _, err := x.FinishAssertion(t.Context(), jane, "key", "login", edit(t, answer, func(map[string]any) {})); err != nil {
		t.Error(err)
	}
}

// An answer counts for the login that asked for it, for a while, and once.
func TestChallenges(t *testing.T) {
	x := newFixture(t, factor.Authenticator{ID: "key", Type: factor.TypeWebAuthn}, factor.Authenticator{ID: "other", Type: factor.TypeWebAuthn},
		factor.Authenticator{ID: "short", Type: factor.TypeWebAuthn, WebAuthn: factor.WebAuthnSettings{Timeout: time.Minute}})
	a := newKey()
	x.key(t, a)
	answer := x.answer(t, a)
	_, err := x.FinishAssertion(t.Context(), jane, "key", "another login", answer)
	wantErr(t, err, factor.ErrCeremony)
	_, err = x.FinishAssertion(t.Context(), jane, "other", "login", answer)
	wantErr(t, err, factor.ErrCeremony)
	_, err = x.FinishAssertion(t.Context(), bob, "key", "login", answer)
	wantErr(t, err, factor.ErrCeremony)
	_, _, err = x.FinishPasskey(t.Context(), "login", answer)
	wantErr(t, err, factor.ErrCeremony)

	x.now = x.now.Add(5*time.Minute + time.Second)
	_, err = x.FinishAssertion(t.Context(), jane, "key", "login", answer)
	wantErr(t, err, factor.ErrCeremony)
	x.now = x.now.Add(-time.Minute)
	if _, err = x.FinishAssertion(t.Context(), jane, "key", "login", answer); err != nil {
		t.Fatal(err)
	}
	_, err = x.FinishAssertion(t.Context(), jane, "key", "login", answer)
	wantErr(t, err, factor.ErrCeremony, factor.ErrReplayed)

	options, err := x.BeginRegistration(t.Context(), jane, "short", "login")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(options), `"timeout":60000`) {
		t.Errorf("the options are %s", options)
	}
	x.now = x.now.Add(61 * time.Second)
	answer, err = a.Create(options)
	if err != nil {
		t.Fatal(err)
	}
	_, err = x.FinishRegistration(t.Context(), jane, "short", "login", "", answer)
	wantErr(t, err, factor.ErrCeremony)
}

func TestARegistrationCountsOnce(t *testing.T) {
	x := newFixture(t)
	options, err := x.BeginRegistration(t.Context(), jane, "key", "login")
	if err != nil {
		t.Fatal(err)
	}
	first, err := newKey().Create(options)
	if err != nil {
		t.Fatal(err)
	}
	second, err := newKey().Create(options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.FinishRegistration(t.Context(), jane, "key", "login", "", first); err != nil {
		t.Fatal(err)
	}
	_, err = x.FinishRegistration(t.Context(), jane, "key", "login", "", first)
	wantErr(t, err, factor.ErrTaken)
	_, err = x.FinishRegistration(t.Context(), jane, "key", "login", "", second)
	wantErr(t, err, factor.ErrCeremony, factor.ErrReplayed)
	if r := x.record(t); len(r.Credentials) != 1 || r.Credentials[0].Name != "Security key" {
		t.Errorf("jane has %+v", r)
	}
}

func TestParallelAnswers(t *testing.T) {
	x := newFixture(t)
	a := newKey()
	a.Counts = false
	x.key(t, a)
	answer := x.answer(t, a)
	errs := x.inParallel(t, 50, func(f *factor.Factors) error {
		_, err := f.FinishAssertion(t.Context(), jane, "key", "login", answer)
		return err
	})
	if passed, replayed := count(errs, nil), count(errs, factor.ErrReplayed); passed != 1 || replayed != 49 {
		t.Errorf("%d passed, %d were replayed", passed, replayed)
	}
}

// A storage that can't tell whether it has written passes nothing, and the answer is used up.
func TestUnsureAnswers(t *testing.T) {
	x := newFixture(t)
	a := newKey()
	x.key(t, a)
	answer := x.answer(t, a)
	x.store.failing = true
	_, err := x.FinishAssertion(t.Context(), jane, "key", "login", answer)
	wantErr(t, err, errUnsure)
	x.store.failing = false
	_, err = x.FinishAssertion(t.Context(), jane, "key", "login", answer)
	wantErr(t, err, factor.ErrReplayed)
	if _, err := x.assert(t, a); err != nil {
		t.Error("another answer:", err)
	}
}

// A count that goes back means that there are two of them. Neither is accepted until the credential is removed.
func TestClone(t *testing.T) {
	x := newFixture(t)
	a := newKey()
	c := x.key(t, a)
	if _, err := x.assert(t, a); err != nil {
		t.Fatal(err)
	}
	b := a.Clone()
	answer := x.answer(t, a) // begun before the copy is found out
	if _, err := x.assert(t, b); err != nil {
		t.Fatal(err)
	}
	_, err := x.FinishAssertion(t.Context(), jane, "key", "login", answer)
	wantErr(t, err, factor.ErrClone)
	_, err = x.BeginAssertion(t.Context(), jane, "key", "login")
	wantErr(t, err, factor.ErrClone)
	if r := x.record(t); !r.Credentials[0].Clone || !r.Any() || !r.Has("key") {
		t.Errorf("jane has %+v", r)
	}
	spare := newKey()
	x.key(t, spare)
	options, err := x.BeginAssertion(t.Context(), jane, "key", "login")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(options); err != factortest.ErrNone { //nolint:errorlint // ours
		t.Errorf("the copy is asked for: %v", err)
	}
	if err := x.RemoveCredential(t.Context(), jane, c.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := x.assert(t, spare); err != nil {
		t.Error(err)
	}
	if n := x.counted(); n["clone"] != 1 {
		t.Errorf("the events are %v", n)
	}
}

func TestRemovedKey(t *testing.T) {
	x := newFixture(t)
	a, other := newKey(), newKey()
	c := x.key(t, a)
	answer := x.answer(t, a)
	x.key(t, other)
	if err := x.RemoveCredential(t.Context(), jane, c.ID); err != nil {
		t.Fatal(err)
	}
	_, err := x.FinishAssertion(t.Context(), jane, "key", "login", answer)
	wantErr(t, err, factor.ErrCeremony)
}

func TestTwentyKeys(t *testing.T) {
	x := newFixture(t)
	options, err := x.BeginRegistration(t.Context(), jane, "key", "login")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		x.key(t, newKey())
	}
	_, err = x.register(t, jane, newKey())
	wantErr(t, err, factor.ErrTooMany)
	answer, err := newKey().Create(options)
	if err != nil {
		t.Fatal(err)
	}
	_, err = x.FinishRegistration(t.Context(), jane, "key", "login", "", answer)
	wantErr(t, err, factor.ErrTooMany)
}

func TestUserVerification(t *testing.T) {
	x := newFixture(t, factor.Authenticator{
		ID: "key", Type: factor.TypeWebAuthn, WebAuthn: factor.WebAuthnSettings{UserVerification: "required", AuthenticatorAttachment: "platform"},
	})
	options, err := x.BeginRegistration(t.Context(), jane, "key", "login")
	if err != nil {
		t.Fatal(err)
	}
	if text := string(options); !strings.Contains(text, `"userVerification":"required"`) || !strings.Contains(text, `"authenticatorAttachment":"platform"`) {
		t.Errorf("the options are %s", options)
	}
	a := newKey()
	a.UserVerified = false
	_, err = x.register(t, jane, a)
	wantErr(t, err, factor.ErrCeremony)
	a.UserVerified = true
	x.key(t, a)
	a.UserVerified = false
	_, err = x.assert(t, a)
	wantErr(t, err, factor.ErrCeremony)
}
