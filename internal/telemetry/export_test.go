package telemetry

import "dex/internal/event"

// Decided reports whether the log has a case for an event.
func Decided(e event.Event) bool {
	_, ok := lineOf(e)
	return ok
}

// SpanMethod is spanMethod.
var SpanMethod = spanMethod
