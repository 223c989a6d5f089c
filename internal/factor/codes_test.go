package factor_test

import (
	"bytes"
	"errors"
	"image/png"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	qr "github.com/piglig/go-qr"

	"dex/internal/event"
	"dex/internal/factor"
)

const step = 30 * time.Second

// wrongCode returns a code that no app with the secret shows about now.
func wrongCode(secret string, now time.Time) string {
	shown := map[string]bool{}
	for i := -3; i <= 3; i++ {
		shown[factor.Code(secret, now.Add(time.Duration(i)*step))] = true
	}
	for _, code := range []string{"000000", "111111", "222222"} {
		if !shown[code] {
			return code
		}
	}
	panic("all shown")
}

func TestTOTP(t *testing.T) {
	x := newFixture(t)
	secret := factor.NewTOTPSecret()
	wantErr(t, x.ConfirmTOTP(t.Context(), jane, "app", secret, wrongCode(secret, x.now)), factor.ErrWrong)
	if r := x.record(t); r.Any() {
		t.Fatalf("jane has %+v without having shown a code", r)
	}
	code := factor.Code(secret, x.now)
	if err := x.ConfirmTOTP(t.Context(), jane, "app", secret, code[:3]+" "+code[3:]); err != nil {
		t.Fatal(err)
	}
	if r := x.record(t); !r.Has("app") || r.Has("key") || !r.TOTP["app"].Created.Equal(x.now) {
		t.Errorf("jane has %+v", r)
	}
	wantErr(t, x.ConfirmTOTP(t.Context(), jane, "app", factor.NewTOTPSecret(), "000000"), factor.ErrWrong)
	other := factor.NewTOTPSecret()
	wantErr(t, x.ConfirmTOTP(t.Context(), jane, "app", other, factor.Code(other, x.now)), factor.ErrTaken)
	wantErr(t, x.CheckTOTP(t.Context(), jane, "app", code), factor.ErrReplayed)

	x.now = x.now.Add(step)
	wantErr(t, x.CheckTOTP(t.Context(), jane, "app", code), factor.ErrReplayed)
	if err := x.CheckTOTP(t.Context(), jane, "app", factor.Code(secret, x.now)); err != nil {
		t.Error(err)
	}
	for _, malformed := range []string{"", "12345", "1234567", "abcdef", "-12345", "１２３４５６"} {
		wantErr(t, x.CheckTOTP(t.Context(), jane, "app", malformed), factor.ErrWrong)
	}
}

// A clock that goes wrong slowly is followed, up to a bound; one that jumps isn't.
func TestDrift(t *testing.T) {
	x := newFixture(t)
	secret := x.app(t)
	check := func(drift int) error {
		x.now = x.now.Add(100 * step)
		if err := x.Unlock(t.Context(), jane); err != nil {
			t.Fatal(err)
		}
		return x.CheckTOTP(t.Context(), jane, "app", factor.Code(secret, x.now.Add(time.Duration(drift)*step)))
	}
	wantErr(t, check(2), factor.ErrWrong)
	wantErr(t, check(-2), factor.ErrWrong)
	for drift := 1; drift <= 10; drift++ {
		if err := check(drift); err != nil {
			t.Fatalf("drift %d: %v", drift, err)
		}
	}
	wantErr(t, check(11), factor.ErrWrong)
	wantErr(t, check(8), factor.ErrWrong)
	if err := check(0); err != nil {
		t.Error("a clock that is right again is refused:", err)
	}
	wantErr(t, check(9), factor.ErrWrong)
}

// Whoever guesses all day gets 100 codes checked, then nobody does until an operator helps.
func TestTenThousandGuesses(t *testing.T) {
	x := newFixture(t)
	secret := x.app(t)
	for range 10_000 {
		x.now = x.now.Add(16 * time.Minute)
		if err := x.CheckTOTP(t.Context(), jane, "app", wrongCode(secret, x.now)); err == nil {
			t.Fatal("a wrong code passes")
		}
	}
	if n := x.counted(); n["wrong"] != 100 || n["locked"] != 9900 || n["FactorsLocked"] != 1 {
		t.Errorf("the events are %v", n)
	}
	err := x.CheckTOTP(t.Context(), jane, "app", factor.Code(secret, x.now))
	locked, ok := errors.AsType[*factor.Locked](err)
	if !ok || !locked.ForGood {
		t.Errorf("the error is %v", err)
	}
	r := x.record(t)
	if _, forGood := r.Locked(x.now); !forGood {
		t.Error("the record doesn't say so")
	}
	x.key(t, newKey()) // nobody guesses those

	for range 2 { // the second time there is nothing to do
		if err := x.Unlock(t.Context(), jane); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.CheckTOTP(t.Context(), jane, "app", factor.Code(secret, x.now)); err != nil {
		t.Error(err)
	}
	if n := x.counted(); n["FactorsUnlocked"] != 1 || n["FactorPassed"] != 1 {
		t.Errorf("the events are %v", n)
	}
}

func TestGuessesWait(t *testing.T) {
	x := newFixture(t)
	secret := x.app(t)
	guess := func() error { return x.CheckTOTP(t.Context(), jane, "app", wrongCode(secret, x.now)) }
	for range 5 {
		wantErr(t, guess(), factor.ErrWrong)
	}
	for _, wait := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute} {
		x.now = x.now.Add(wait - time.Second)
		locked, ok := errors.AsType[*factor.Locked](guess())
		if !ok || locked.ForGood || !locked.Until.Equal(x.now.Add(time.Second)) {
			t.Fatalf("before the wait of %s is over: %v", wait, locked)
		}
		x.now = x.now.Add(time.Second)
		wantErr(t, guess(), factor.ErrWrong)
	}
	x.now = x.now.Add(time.Hour)
	if err := x.CheckTOTP(t.Context(), jane, "app", factor.Code(secret, x.now)); err != nil {
		t.Fatal(err)
	}
	if r := x.record(t); r.Guesses != (factor.Guesses{}) {
		t.Errorf("after a right code the record has %+v", r.Guesses)
	}
}

// inParallel calls a function many times at once, at two replicas by turns, and returns the errors.
func (x *fixture) inParallel(t *testing.T, n int, call func(*factor.Factors) error) []error {
	t.Helper()
	replicas := [2]*factor.Factors{x.another(t), x.another(t)}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = call(replicas[i%2]) })
	}
	wg.Wait()
	return errs
}

func count(errs []error, want error) int {
	n := 0
	for _, err := range errs {
		if errors.Is(err, want) {
			n++
		}
	}
	return n
}

func TestParallelGuesses(t *testing.T) {
	x := newFixture(t)
	secret := x.app(t)
	code := wrongCode(secret, x.now)
	errs := x.inParallel(t, 200, func(f *factor.Factors) error { return f.CheckTOTP(t.Context(), jane, "app", code) })
	if n := count(errs, factor.ErrWrong); n != 5 {
		t.Errorf("%d guesses were looked at", n)
	}
	if r := x.record(t); r.Guesses.Wrong != 5 {
		t.Errorf("%d are counted", r.Guesses.Wrong)
	}
}

func TestACodePassesOnce(t *testing.T) {
	x := newFixture(t)
	secret := x.app(t)
	recovery, err := x.NewRecoveryCodes(t.Context(), jane)
	if err != nil {
		t.Fatal(err)
	}
	code := factor.Code(secret, x.now)
	errs := x.inParallel(t, 100, func(f *factor.Factors) error { return f.CheckTOTP(t.Context(), jane, "app", code) })
	if passed, replayed := count(errs, nil), count(errs, factor.ErrReplayed); passed != 1 || replayed != 99 {
		t.Errorf("%d passed, %d were replayed", passed, replayed)
	}
	var left atomic.Int64
	errs = x.inParallel(t, 100, func(f *factor.Factors) error {
		n, err := f.UseRecoveryCode(t.Context(), jane, recovery[0])
		left.Add(int64(n))
		return err
	})
	if passed := count(errs, nil); passed != 1 || left.Load() != 9 {
		t.Errorf("%d passed, left are %d", passed, left.Load())
	}
}

// What may have been written is never passed, and doesn't pass later.
func TestUnsureStorage(t *testing.T) {
	x := newFixture(t)
	secret := x.app(t)
	recovery, err := x.NewRecoveryCodes(t.Context(), jane)
	if err != nil {
		t.Fatal(err)
	}
	code := factor.Code(secret, x.now)
	x.store.failing = true
	wantErr(t, x.CheckTOTP(t.Context(), jane, "app", code), errUnsure)
	_, err = x.UseRecoveryCode(t.Context(), jane, recovery[0])
	wantErr(t, err, errUnsure)
	if codes, err := x.NewRecoveryCodes(t.Context(), jane); err == nil || codes != nil {
		t.Errorf("codes are %v, %v", codes, err)
	}
	x.store.failing = false
	wantErr(t, x.CheckTOTP(t.Context(), jane, "app", code), factor.ErrReplayed)
	_, err = x.UseRecoveryCode(t.Context(), jane, recovery[0])
	wantErr(t, err, factor.ErrReplayed)
	if n := x.counted(); n["FactorPassed"] != 0 || n["RecoveryCodeUsed"] != 0 || n["RecoveryCodesMade"] != 1 {
		t.Errorf("the events are %v", n)
	}
}

func TestRecoveryCodes(t *testing.T) {
	x := newFixture(t)
	x.app(t)
	old, err := x.NewRecoveryCodes(t.Context(), jane)
	if err != nil {
		t.Fatal(err)
	}
	codes, err := x.NewRecoveryCodes(t.Context(), jane)
	if err != nil || len(codes) != 10 {
		t.Fatal(codes, err)
	}
	for i, code := range codes {
		if len(code) != 19 || len(strings.Fields(code)) != 4 {
			t.Errorf("code %q", code)
		}
		typed := []string{code, strings.ToUpper(code), strings.ReplaceAll(code, " ", "-"), strings.ReplaceAll(code, " ", "")}[i%4]
		typed = strings.ReplaceAll(typed, "o", "0")
		if left, err := x.UseRecoveryCode(t.Context(), jane, typed); err != nil || left != 9-i {
			t.Fatalf("%d left, %v", left, err)
		}
		if i == 0 {
			_, err := x.UseRecoveryCode(t.Context(), jane, code)
			wantErr(t, err, factor.ErrReplayed)
			_, err = x.UseRecoveryCode(t.Context(), jane, old[0])
			wantErr(t, err, factor.ErrWrong)
		}
	}
	_, err = x.UseRecoveryCode(t.Context(), jane, codes[0])
	wantErr(t, err, factor.ErrNotEnrolled)
	for _, e := range x.events {
		if used, ok := e.(event.RecoveryCodeUsed); ok && (used.UserID != "1" || used.ConnectorID != "local") {
			t.Errorf("the event is %+v", used)
		}
	}

	x.config.RecoveryCodes = 0
	if codes, err := x.another(t).NewRecoveryCodes(t.Context(), jane); codes != nil || err != nil {
		t.Error("codes although there are none:", codes, err)
	}
}

func TestTOTPKey(t *testing.T) {
	x := newFixture(t, factor.Authenticator{ID: "app", Type: factor.TypeTOTP, TOTP: factor.TOTPSettings{Issuer: "My Dex: prod"}})
	secret := factor.NewTOTPSecret()
	for _, u := range []factor.User{
		jane, {UserID: "3", ConnectorID: "local"}, {UserID: "4", ConnectorID: "<script>", Name: strings.Repeat("ü+&/?#\"", 1000)},
	} {
		k := x.TOTPKey(u, "app", secret)
		parsed, err := url.Parse(k.URI)
		if err != nil {
			t.Fatal(err)
		}
		q := parsed.Query()
		if parsed.Scheme != "otpauth" || parsed.Host != "totp" || parsed.Path != "/My Dex  prod:"+k.Account || q.Get("secret") != secret ||
			q.Get("issuer") != "My Dex: prod" || q.Get("algorithm") != "SHA1" || q.Get("digits") != "6" || q.Get("period") != "30" {
			t.Errorf("the URI is %s", k.URI)
		}
		if strings.ReplaceAll(k.Secret, " ", "") != secret || len(strings.Fields(k.Secret)) != 8 {
			t.Errorf("the secret is shown as %q", k.Secret)
		}
		picture, err := png.Decode(bytes.NewReader(k.PNG))
		if err != nil {
			t.Fatal(err)
		}
		if read, err := qr.Decode(picture); err != nil || read != k.URI {
			t.Errorf("the QR code says %q, %v; want %q", read, err, k.URI)
		}
		if svg := string(k.SVG); strings.Contains(svg, "style") || strings.Contains(svg, "script") || !strings.HasPrefix(svg, "<svg ") {
			t.Errorf("the drawing is %s", svg)
		}
	}
	if account := x.TOTPKey(jane, "app", secret).Account; account != "(local) jane@example.com" {
		t.Errorf("the account is %s", account)
	}
}

// A secret for an app can be read from its QR code, however long the text and so large the code.
func TestQRCodes(t *testing.T) {
	x := newFixture(t, factor.Authenticator{ID: "app", Type: factor.TypeTOTP, TOTP: factor.TOTPSettings{Issuer: "Acme"}})
	for length := 0; length <= 100; length += 12 {
		for _, letter := range []string{"a", "ü", "語"} {
			k := x.TOTPKey(factor.User{UserID: "1", ConnectorID: "local", Name: strings.Repeat(letter, length)}, "app", factor.NewTOTPSecret())
			picture, err := png.Decode(bytes.NewReader(k.PNG))
			if err != nil {
				t.Fatal(err)
			}
			if read, err := qr.Decode(picture); err != nil || read != k.URI {
				t.Errorf("the QR code says %q, %v; want %q", read, err, k.URI)
			}
		}
	}
}
