package e2e

import (
	"strings"
	"testing"
)

// TestDepartureDiscoveryFollows changes the algorithm of a running deployment: discovery changes together with the signing
// key.
func TestDepartureDiscoveryFollows(t *testing.T) {
	t.Parallel()
	t.Run("B-06 discovery follows the signer", func(t *testing.T) {
		c := newConfiguration(t)
		signer := func(algorithm string) {
			c.with("signer", section{"type": "local", "config": section{"algorithm": algorithm, "keysRotationPeriod": "4s"}})
		}
		signer("ES256")
		first := startDex(t, c)
		if _, document := first.fetch(t, first.endpoint("/.well-known/openid-configuration")); !strings.Contains(document, `"ES256"`) {
			t.Fatalf("discovery %s", document)
		}
		first.stop(t)
		signer("RS256")
		second := startDex(t, c)
		algorithms := func() string {
			_, document := second.fetch(t, second.endpoint("/.well-known/openid-configuration"))
			_, rest, _ := strings.Cut(document, `"id_token_signing_alg_values_supported": [`)
			list, _, _ := strings.Cut(rest, "]")
			return strings.Join(strings.Fields(list), "")
		}
		if got := algorithms(); !strings.HasPrefix(got, `"ES256"`) {
			t.Errorf("right after the start: %s", got)
		}
		eventually(t, patience, "the next key is announced and signs", func() bool {
			return strings.HasPrefix(algorithms(), `"RS256"`)
		})
	})
}
