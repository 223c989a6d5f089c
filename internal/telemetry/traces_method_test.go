package telemetry_test

import (
	"testing"

	"dex/internal/telemetry"
)

// Methods are written as OpenTelemetry's conventions have them, and those that clients have invented make no names of spans.
func TestMethodsInTraces(t *testing.T) {
	for method, want := range map[string][2]string{"GET": {"GET", "GET"}, "POST": {"POST", "POST"}, "BREW": {"_OTHER", "HTTP"}, "get": {"_OTHER", "HTTP"}} {
		if attribute, name := telemetry.SpanMethod(method); attribute != want[0] || name != want[1] {
			t.Errorf("%s: got %s and %s, want %s", method, attribute, name, want)
		}
	}
}
