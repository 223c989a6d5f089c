package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// An exporter sends spans as OTLP in JSON over HTTP. The project's own exporter would bring a gateway for gRPC into the program,
// which is more than all of the rest of the SDK.
type exporter struct{ cfg TracesConfig }

// What OTLP has, as far as we use it (opentelemetry.io/docs/specs/otlp, JSON encoding): ids are hexadecimal, numbers of 64 bits are
// texts, and enumerations are numbers.
type (
	otlpRequest struct {
		ResourceSpans []otlpResource `json:"resourceSpans"`
	}
	otlpResource struct {
		Resource struct {
			Attributes []otlpAttribute `json:"attributes"`
		} `json:"resource"`
		ScopeSpans []otlpScope `json:"scopeSpans"`
	}
	otlpScope struct {
		Scope struct {
			Name string `json:"name"`
		} `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	otlpSpan struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		ParentID   string          `json:"parentSpanId,omitempty"`
		Name       string          `json:"name"`
		Kind       int             `json:"kind"`
		Start      string          `json:"startTimeUnixNano"`
		End        string          `json:"endTimeUnixNano"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
		Status     otlpStatus      `json:"status"`
	}
	otlpStatus struct {
		Code int `json:"code,omitempty"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpValue struct {
		String *string `json:"stringValue,omitempty"`
		Int    *string `json:"intValue,omitempty"`
	}
)

// otlpError is the code of a status that says that a span has failed.
const otlpError = 2

// ExportSpans implements sdk.SpanExporter.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	body, err := json.Marshal(otlpOf(spans))
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.cfg.Endpoint, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("send spans: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range e.cfg.Header {
		r.Header.Set(name, value)
	}
	answer, err := e.cfg.Client.Do(r)
	if err != nil {
		return fmt.Errorf("send spans: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()                      // nothing in it matters
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection can be used again
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("send spans: the collector answered %d", answer.StatusCode)
	}
	return nil
}

// Shutdown implements sdk.SpanExporter.
func (e *exporter) Shutdown(context.Context) error { return nil }

func otlpOf(spans []sdk.ReadOnlySpan) otlpRequest {
	all := otlpScope{Spans: make([]otlpSpan, 0, len(spans))}
	all.Scope.Name = scope
	for _, s := range spans {
		all.Spans = append(all.Spans, spanOf(s))
	}
	of := otlpResource{ScopeSpans: []otlpScope{all}}
	of.Resource.Attributes = attributesOf(spans[0].Resource().Attributes())
	return otlpRequest{[]otlpResource{of}}
}

func spanOf(s sdk.ReadOnlySpan) otlpSpan {
	of := otlpSpan{
		TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(),
		Name: s.Name(), Kind: int(s.SpanKind()), Start: nano(s.StartTime()), End: nano(s.EndTime()),
		Attributes: attributesOf(s.Attributes()),
	}
	if s.Parent().HasSpanID() {
		of.ParentID = s.Parent().SpanID().String()
	}
	if s.Status().Code == codes.Error {
		of.Status.Code = otlpError
	}
	return of
}

func nano(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func attributesOf(all []attribute.KeyValue) []otlpAttribute {
	var found []otlpAttribute
	for _, a := range all {
		of := otlpAttribute{Key: string(a.Key)}
		text := a.Value.String()
		if a.Value.Type() == attribute.INT64 {
			of.Value.Int = &text
		} else {
			of.Value.String = &text
		}
		found = append(found, of)
	}
	return found
}
