package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/trace"
)

// TraceID returns the id of the context's trace in hexadecimal, as collectors show it; empty outside of one. A trace that is not
// sampled has one too.
func TraceID(ctx context.Context) string {
	if of := trace.SpanContextFromContext(ctx); of.HasTraceID() {
		return of.TraceID().String()
	}
	return ""
}
