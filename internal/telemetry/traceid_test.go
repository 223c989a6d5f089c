package telemetry_test

import (
	"testing"

	"go.opentelemetry.io/otel/trace"

	"dex/internal/telemetry"
)

func TestTraceID(t *testing.T) {
	if id := telemetry.TraceID(t.Context()); id != "" {
		t.Errorf("%q outside of a trace", id)
	}
	of := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 0xab}, SpanID: trace.SpanID{2}})
	const want = "01ab0000000000000000000000000000"
	if id := telemetry.TraceID(trace.ContextWithSpanContext(t.Context(), of)); id != want {
		t.Errorf("%q, want %s", id, want)
	}
	none := t.Context()
	if n := testing.AllocsPerRun(100, func() { _ = telemetry.TraceID(none) }); n != 0 {
		t.Errorf("%v allocations where there is no trace", n)
	}
}

func TestSpansCostNothingOutsideOfATrace(t *testing.T) {
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		_, span := telemetry.StartSpan(ctx, "policy")
		span.Set("dex.stage", "asked")
		span.End(nil)
		_ = telemetry.Traceparent(ctx)
	}); n != 0 {
		t.Errorf("%v allocations where there is no trace", n)
	}
}
