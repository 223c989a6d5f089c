package signing_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/event"
	"dex/internal/signing"
	"dex/internal/store/memory"
)

// signedFor returns a token signed with an algorithm.
func signedFor(t *testing.T, l *signing.Local, algorithm string) string {
	t.Helper()
	key, err := l.KeyFor(t.Context(), algorithm)
	if err != nil {
		t.Fatal(err)
	}
	if algorithm != "" && key.Algorithm() != algorithm {
		t.Errorf("the key for %s is for %s", algorithm, key.Algorithm())
	}
	token, err := key.Sign(t.Context(), "", []byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(token) != key.Length("", len(`{"a":1}`)) {
		t.Errorf("a token for %s has %d bytes, and was said to have %d", algorithm, len(token), key.Length("", len(`{"a":1}`)))
	}
	return token
}

func verifies(l *signing.Local, token string) bool {
	_, err := l.Verify(token)
	return err == nil
}

// Keys of further algorithms live beside the server's: replicas share them, and each key is published before it signs, except the first.
func TestFurtherAlgorithms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		a, b := start(t, s, config(signing.ES256)), start(t, s, config(signing.ES256))
		synctest.Wait()
		if ids := published(t, a); len(ids) != 1 {
			t.Fatalf("without need there are the keys %v", ids)
		}
		first := map[string]string{}
		for _, algorithm := range []string{"", signing.ES256, signing.ES384, signing.EdDSA} {
			first[algorithm] = signedFor(t, a, algorithm)
			if !verifies(a, first[algorithm]) || !verifies(b, first[algorithm]) {
				t.Errorf("what is signed with %q isn't verified at once by both replicas", algorithm)
			}
			time.Sleep(6 * time.Second) // b may look in the storage again
		}
		if got := a.Algorithms(); !slices.Equal(got, []string{signing.ES256, signing.ES384, signing.EdDSA}) || !slices.Equal(b.Algorithms(), got) {
			t.Errorf("the algorithms are %v and %v", got, b.Algorithms())
		}
		if !slices.Equal(published(t, a), published(t, b)) {
			t.Error("the replicas publish different keys")
		}
		key, _ := a.KeyFor(t.Context(), signing.EdDSA)
		again, _ := b.KeyFor(t.Context(), signing.EdDSA)
		if signedFor(t, a, signing.EdDSA) == "" || key.HalfHash("x") != again.HalfHash("x") {
			t.Error("the replicas sign with different keys")
		}
		before := published(t, a)
		time.Sleep(period - 5*time.Minute) // the next keys are published, and sign soon
		if next := published(t, a); len(next) != 6 || !slices.Contains(next, before[1]) {
			t.Errorf("before the rotation the keys are %v", next)
		}
		time.Sleep(time.Hour)
		second := signedFor(t, b, signing.EdDSA)
		if len(published(t, a)) != 6 || !verifies(a, second) || !verifies(a, first[signing.EdDSA]) {
			t.Errorf("after the rotation the keys are %v", published(t, a))
		}
		time.Sleep(lifetime)
		if verifies(a, first[signing.EdDSA]) || !verifies(a, second) {
			t.Error("the first key is still published, or the second is no longer")
		}
	})
}

// A process that starts later publishes the keys of all algorithms, and a leak ends them all.
func TestFurtherAlgorithmsAfterAStart(t *testing.T) {
	s := memory.New()
	before, err := signing.Open(t.Context(), s, config(signing.ES256), quiet, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	tokens := []string{signedFor(t, before, ""), signedFor(t, before, signing.EdDSA)}
	after, err := signing.Open(t.Context(), s, config(signing.ES256), quiet, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range tokens {
		if !verifies(after, token) {
			t.Error("a token of the process before isn't verified")
		}
	}
	if len(after.List()) != 2 || after.List()[1].Algorithm != signing.EdDSA || after.List()[1].State != signing.Signs {
		t.Errorf("the keys are %+v", after.List())
	}
	if err := after.Rotate(t.Context(), signing.AtOnce); err != nil {
		t.Fatal(err)
	}
	for _, token := range tokens {
		if _, err := after.Verify(token); !errors.Is(err, signing.ErrBadToken) {
			t.Errorf("after a leak: %v", err)
		}
	}
}

func TestUnknownAlgorithm(t *testing.T) {
	l, err := signing.Open(t.Context(), memory.New(), config(signing.ES256), quiet, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range []string{"none", "HS256", "PS256", "ES512", "es256"} {
		if _, err := l.KeyFor(t.Context(), algorithm); !errors.Is(err, signing.ErrOtherAlgorithm) {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}
