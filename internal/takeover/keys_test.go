package takeover_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"dex/internal/event"
	"dex/internal/signing"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/takeover"
)

// Where the operator started this program before upstream's data was there, its keys go on signing, and upstream's
// tokens can be verified all the same.
func TestOwnKeysStay(t *testing.T) {
	path := newDatabase(t, "step13")
	s := memory.New()
	config := signing.Config{Algorithm: "RS256", RotationPeriod: time.Hour, TokenLifetime: tokenLifetime}
	signer, err := signing.Open(t.Context(), s, config, discard, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	before, err := store.In(s, signing.Kind).Get(t.Context(), signing.RecordKey)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time as if the first had been cut off
		run(t, takeover.SQLite(openDatabase(t, path)), s, discard)
		if err := s.Delete(t.Context(), "takeover", "upstream", ""); err != nil {
			t.Fatal(err)
		}
	}
	after, err := store.In(s, signing.Kind).Get(t.Context(), signing.RecordKey)
	if err != nil {
		t.Fatal(err)
	}
	if after.Value.Current.KeyID != before.Value.Current.KeyID || !after.Value.RotateAt.Equal(before.Value.RotateAt) {
		t.Errorf("key %q signs until %v, want %q until %v", after.Value.Current.KeyID, after.Value.RotateAt,
			before.Value.Current.KeyID, before.Value.RotateAt)
	}
	if len(after.Value.Retired) != 2 {
		t.Fatalf("retired keys are %+v, want 2", after.Value.Retired)
	}
	for _, r := range after.Value.Retired {
		if !r.Key.IsPublic() {
			t.Errorf("the private key %q is kept for verification", r.Key.KeyID)
		}
	}
	if until := after.Value.Retired[0].Expires; until.Before(time.Now().Add(tokenLifetime)) {
		t.Errorf("upstream's key verifies until %v, want at least the lifetime of its tokens", until)
	}
	signed := upstreamsToken(t)
	if _, err := signer.Verify(signed); err == nil {
		t.Error("the token of upstream's could be verified before its keys were there: the test shows nothing")
	}
	if signer, err = signing.Open(t.Context(), s, config, discard, event.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Verify(signed); err != nil {
		t.Errorf("token of upstream's: %v", err)
	}
}

func upstreamsToken(t testing.TB) string {
	t.Helper()
	k := signing.Keyset{Current: signingKey(), RotateAt: time.Now().Add(time.Hour)}
	s := memory.New()
	if _, err := store.In(s, signing.Kind).Create(t.Context(), signing.RecordKey, k); err != nil {
		t.Fatal(err)
	}
	config := signing.Config{Algorithm: "RS256", RotationPeriod: time.Hour, TokenLifetime: tokenLifetime}
	signer, err := signing.Open(t.Context(), s, config, discard, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Key().Sign(t.Context(), "", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestUpstreamsKeysSign(t *testing.T) {
	s := memory.New()
	run(t, takeover.SQLite(openDatabase(t, newDatabase(t, "step13"))), s, discard)
	config := signing.Config{Algorithm: "RS256", RotationPeriod: time.Hour, TokenLifetime: tokenLifetime}
	signer, err := signing.Open(t.Context(), s, config, discard, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var published struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal(signer.JWKS().Body, &published); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range published.Keys {
		ids = append(ids, k.Kid)
	}
	if !slices.Equal(ids, []string{signingKeyID, retiredKeyID}) {
		t.Errorf("published keys are %q, want %q and %q", ids, signingKeyID, retiredKeyID)
	}
	if _, err := signer.Verify(upstreamsToken(t)); err != nil {
		t.Errorf("token of upstream's: %v", err)
	}
}

func TestKeysThatCannotBeReadEndTheStart(t *testing.T) {
	path := newDatabase(t, "step13")
	exec(t, path, "UPDATE keys SET signing_key = '{'")
	s := memory.New()
	if err := takeover.Run(t.Context(), takeover.SQLite(openDatabase(t, path)), target(s), discard); err == nil {
		t.Fatal("Run succeeded, so that everybody would be signed out")
	}
	if all := everything(t, s); len(all) != 0 {
		t.Errorf("there is %v, want nothing", all)
	}
}
