package e2e

import (
	"os/exec"
	"testing"
)

// Prometheus itself reads the alerts, and finds that they fire when they should.
func TestAlertsOfPrometheus(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		promtool := exec.CommandContext(t.Context(), "promtool", args...)
		promtool.Dir = "../deploy/monitoring"
		if out, err := promtool.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
