package factor_test

import (
	"errors"
	"testing"

	"dex/internal/factor"
)

// Whatever a browser sends is refused for what it is: it neither passes nor looks like a failure of ours.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{}`))
	a := newKey()
	created, err := a.Create([]byte(`{"publicKey":{"rp":{"id":"dex.example.com"},"user":{"id":"AAAA"},"challenge":"AAAA"}}`))
	if err != nil {
		f.Fatal(err)
	}
	got, err := a.Get([]byte(`{"publicKey":{"rpId":"dex.example.com","challenge":"AAAA"}}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(created)
	f.Add(got)
	f.Fuzz(func(t *testing.T, answer []byte) {
		x := newFixture(t, passwordless())
		_, registering := x.FinishRegistration(t.Context(), jane, "key", "login", string(answer), answer)
		_, asserting := x.FinishAssertion(t.Context(), jane, "key", "login", answer)
		_, _, signingIn := x.FinishPasskey(t.Context(), "login", answer)
		for _, err := range []error{registering, asserting, signingIn} {
			if !errors.Is(err, factor.ErrCeremony) {
				t.Errorf("the error is %v", err)
			}
		}
		if r := x.record(t); r.Any() {
			t.Errorf("jane has %+v", r)
		}
	})
}
