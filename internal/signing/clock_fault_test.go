package signing_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/faulttest"
	"dex/internal/signing"
	"dex/internal/store"
	"dex/internal/store/memory"
)

func keyset(t *testing.T, s store.Store) signing.Keyset {
	t.Helper()
	e, err := store.In(s, signing.Kind).Get(t.Context(), signing.RecordKey)
	if err != nil {
		t.Fatal(err)
	}
	return e.Value
}

// While a clock had leapt ahead, the next rotation was set as far ahead, and stayed there.
var _ = faulttest.Add("O6", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := jose.JSONWebKey{Key: keyOf(t, "ES256"), KeyID: "next", Algorithm: signing.ES256, Use: "sig"}
		for name, set := range map[string]func(*signing.Keyset){
			"rotation":             func(k *signing.Keyset) { k.RotateAt = time.Now().Add(48*time.Hour + period) },
			"publication":          func(k *signing.Keyset) { k.Next, k.NextSince = &next, time.Now().Add(48*time.Hour) },
			"rotation, years away": func(k *signing.Keyset) { k.RotateAt = time.Now().AddDate(50, 0, 0) },
		} {
			s := memory.New()
			stored := signing.Keyset{
				Current:  jose.JSONWebKey{Key: keyOf(t, "ES256"), KeyID: "k", Algorithm: signing.ES256, Use: "sig"},
				RotateAt: time.Now().Add(time.Hour),
			}
			set(&stored)
			if _, err := store.In(s, signing.Kind).Create(t.Context(), signing.RecordKey, stored); err != nil {
				t.Fatal(err)
			}
			l := start(t, s, config(signing.ES256))
			time.Sleep(time.Minute)
			if k := keyset(t, s); k.RotateAt.After(time.Now().Add(period)) || k.NextSince.After(time.Now()) {
				t.Errorf("%s: the next rotation is in %v, the next key published in %v", name, time.Until(k.RotateAt), time.Until(k.NextSince))
			}
			first := published(t, l)[0]
			time.Sleep(period + time.Hour)
			if published(t, l)[0] == first {
				t.Errorf("%s: nothing has rotated", name)
			}
		}
	})
})

// Applications keep the published keys no longer than a key is published before it signs, whatever the period is.
var _ = faulttest.Add("T-local-76", func(t *testing.T) {
	for _, every := range []time.Duration{4 * time.Minute, 10 * time.Minute, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config(signing.ES256)
			cfg.RotationPeriod = every
			l := start(t, memory.New(), cfg)
			first := published(t, l)[0]
			seen := map[string]time.Time{first: time.Now()}
			for range 200 {
				time.Sleep(every / 100)
				ids := published(t, l)
				for _, id := range ids {
					if seen[id].IsZero() {
						seen[id] = time.Now()
					}
				}
				if ids[0] == first {
					continue
				}
				if ahead := time.Since(seen[ids[0]]); l.MaxAge() > ahead || l.MaxAge() > every/4 {
					t.Errorf("period %v: keys may be kept for %v, and a new one is published %v before it signs", every, l.MaxAge(), ahead)
				}
				return
			}
			t.Errorf("period %v: nothing rotates", every)
		})
	}
})

// A next key that was published before the algorithm was changed makes way for one of the new algorithm.
var _ = faulttest.Add("T-local-239", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		next := jose.JSONWebKey{Key: keyOf(t, "RS256"), KeyID: "next", Algorithm: signing.RS256, Use: "sig"}
		stored := signing.Keyset{
			Current: jose.JSONWebKey{Key: keyOf(t, "RS256"), KeyID: "k", Algorithm: signing.RS256, Use: "sig"},
			Next:    &next, NextSince: time.Now().Add(-19 * time.Minute), RotateAt: time.Now().Add(time.Minute),
		}
		if _, err := store.In(s, signing.Kind).Create(t.Context(), signing.RecordKey, stored); err != nil {
			t.Fatal(err)
		}
		l := start(t, s, config(signing.ES256))
		time.Sleep(period)
		if got := l.Key().Algorithm(); got != signing.ES256 {
			t.Errorf("after the rotation the algorithm is %s", got)
		}
	})
})

// A version of a key in Vault that says to be made in the future counts as made now.
var _ = faulttest.Add("T-versions-132", func(t *testing.T) {
	vault := withKey("ecdsa-p256") // made by the real clock, decades ahead of the one in the bubble
	vault.Rotate("dex")
	synctest.Test(t, func(t *testing.T) {
		v, _ := startVault(t, inVault(vault))
		newest := keySet(t, v).Keys[0].KeyID
		if verify(t, keySet(t, v), mustSign(t, v), "ES256") == newest {
			t.Error("the newest version signs before it was published for a while")
		}
		time.Sleep(time.Hour)
		if verify(t, keySet(t, v), mustSign(t, v), "ES256") != newest {
			t.Error("an hour later the newest version does not sign")
		}
	})
})
