package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// scope names what makes our spans.
const scope = "dex"

// A Span is a part of a request that is timed, for the trace of the request. The zero value records nothing. Attributes hold names
// from the configuration and of the protocol only: no secret, and nothing of a user's.
type Span struct{ of trace.Span }

// StartSpan begins a part of the context's trace. Outside of a trace that is recorded it costs nothing.
func StartSpan(ctx context.Context, name string) (context.Context, Span) {
	above := trace.SpanFromContext(ctx)
	if !above.IsRecording() {
		return ctx, Span{}
	}
	ctx, s := above.TracerProvider().Tracer(scope).Start(ctx, name)
	return ctx, Span{s}
}

// Set adds an attribute.
func (s Span) Set(key, value string) {
	if s.of != nil {
		s.of.SetAttributes(attribute.String(key, value))
	}
}

// Fail marks the span as failed.
func (s Span) Fail() {
	if s.of != nil {
		s.of.SetStatus(codes.Error, "")
	}
}

// End ends the span. An error marks it as failed; its text, which may name a user, is for the log only.
func (s Span) End(err error) {
	if s.of == nil {
		return
	}
	if err != nil {
		s.Fail()
	}
	s.of.End()
}
