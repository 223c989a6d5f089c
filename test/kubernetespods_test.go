package e2e

import (
	"slices"
	"testing"
)

// TestThreeReplicasInTheCluster signs in with three servers on one namespace, each step at another one than the step before,
// while the signing keys are rotated.
func TestThreeReplicasInTheCluster(t *testing.T) {
	t.Parallel()
	t.Run("S1-38 S2-17 three replicas", func(t *testing.T) {
		d := newConfiguration(t).withReuseInterval("60s").withStorage(t, "kubernetes").
			with("signer", section{"type": "local", "config": section{"keysRotationPeriod": "5s"}}).startReplicas(t, 3)
		before := d.keyIDs(t)
		for range 3 {
			d.hop(t)
		}
		for range 2 {
			eventually(t, patience, "all replicas publish other keys than before, and the same", func() bool {
				first, second, third := d.keyIDs(t), d.keyIDs(t), d.keyIDs(t)
				return !slices.Equal(first, before) && slices.Equal(first, second) && slices.Equal(first, third)
			})
			d.hop(t)
			before = d.keyIDs(t)
		}
	})
}
