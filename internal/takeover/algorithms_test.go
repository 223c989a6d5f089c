package takeover_test

import "testing"

// Upstream leaves the algorithm out of the keys that it got from elsewhere; it follows from their type.
func TestKeysWithoutAlgorithm(t *testing.T) {
	path := newDatabase(t, "step13")
	exec(t, path, "UPDATE keys SET signing_key = (SELECT json_remove(signing_key, '$.alg') FROM keys), "+
		"verification_keys = (SELECT json_remove(verification_keys, '$[0].publicKey.alg') FROM keys)")
	k, err := source(t, path, layout13).Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if k.Current.Algorithm != "RS256" || len(k.Retired) == 0 || k.Retired[0].Key.Algorithm == "" {
		t.Errorf("the keys have the algorithms %q and %+v", k.Current.Algorithm, k.Retired)
	}
}
