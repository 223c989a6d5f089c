package telemetry

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TracesConfig says which traces are recorded, and where they go.
type TracesConfig struct {
	Endpoint string            // of a collector that takes OTLP over HTTP, with its path
	Header   map[string]string // of each request to it
	Client   *http.Client
	// OneIn is how many requests there are for one that is recorded.
	OneIn int
	// FollowParent records what a trusted proxy records, and nothing else that comes through one that says which.
	FollowParent bool
	// Propagate tells sources the ids of traces.
	Propagate bool
	Version   string
	// Failing is told when the collector begins to fail, and with nil when it works again.
	Failing func(error)
}

// Traces record requests. Nil records nothing, and costs nothing.
type Traces struct {
	provider  *sdk.TracerProvider
	tracer    trace.Tracer
	propagate bool
	counts    *prometheus.CounterVec
}

// NewTraces returns what records traces, and sends them until Close.
func NewTraces(cfg TracesConfig) *Traces {
	t := &Traces{propagate: cfg.Propagate, counts: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dex_trace_spans_total",
		Help: "Spans of traces by what became of them: sent, dropped (the queue was full), failed (the collector did not take them).",
	}, []string{"result"})}
	t.provider = sdk.NewTracerProvider(
		sdk.WithResource(describe(cfg.Version)),
		sdk.WithSampler(sampler{oneIn: max(cfg.OneIn, 1), follow: cfg.FollowParent}),
		sdk.WithSpanProcessor(newSpanQueue(&exporter{cfg: cfg}, t.counts, cfg.Failing)),
	)
	t.tracer = t.provider.Tracer(scope)
	return t
}

// describe returns what spans say of this process. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES add to it, or say otherwise.
func describe(version string) *resource.Resource {
	own := resource.NewSchemaless(attribute.String("service.name", scope), attribute.String("service.version", version))
	all, err := resource.Merge(own, resource.Environment())
	if err != nil {
		return own
	}
	return all
}

// Metrics returns the metrics of the traces.
func (t *Traces) Metrics() prometheus.Collector { return t.counts }

// Close sends what is left, for as long as the context lets it.
func (t *Traces) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Route returns a handler that records a trace of each request that is sampled. The trace goes on that of a trusted proxy.
func (t *Traces) Route(pattern string, trusted func(*http.Request) bool, next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	var parents propagation.TraceContext
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if trusted(r) {
			ctx = parents.Extract(ctx, propagation.HeaderCarrier(r.Header))
		}
		method, name := spanMethod(r.Method)
		ctx, span := t.begin(ctx, name+" "+pattern,
			attribute.String("http.request.method", method), attribute.String("http.route", pattern))
		rec, recorded := w.(interface {
			Status() int
			Size() int64
		})
		if !recorded {
			own := Record(w)
			w, rec = &own, &own
		}
		returned := false
		defer func() {
			status := rec.Status()
			if status == 0 && returned {
				status = http.StatusOK
			}
			if status == 0 || status >= http.StatusInternalServerError {
				span.SetStatus(codes.Error, "")
			}
			span.SetAttributes(attribute.Int("http.response.status_code", status))
			span.End()
		}()
		next.ServeHTTP(w, r.WithContext(ctx))
		returned = true
	})
}

// spanMethod returns a method as the semantic conventions of OpenTelemetry write it, as an attribute and in the name of a span. Methods
// that nobody knows are one.
func spanMethod(method string) (attribute, name string) {
	if label := methodLabel(method); label != unknownMethod {
		upper := strings.ToUpper(label)
		return upper, upper
	}
	return "_OTHER", "HTTP"
}

// Call begins the trace of a call of the management API by one of its doors, if it is sampled. It has no parent: no proxy is trusted in
// front of the API.
func (t *Traces) Call(ctx context.Context, door, name string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, span := t.begin(ctx, door+" "+name, attribute.String("dex.door", door))
	return ctx, Span{span}
}

// begin begins the span of a request.
func (t *Traces) begin(ctx context.Context, name string, about ...attribute.KeyValue) (context.Context, trace.Span) {
	about = append(about, attribute.String("dex.request_id", RequestID(ctx)))
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(about...))
	if t.propagate {
		ctx = context.WithValue(ctx, propagated{}, true)
	}
	return ctx, span
}

// propagated marks the contexts of requests whose trace sources may know.
type propagated struct{}

// Traceparent returns the header that tells a source which trace a request belongs to (W3C Trace Context); empty unless sources are
// to be told.
func Traceparent(ctx context.Context) string {
	if ctx.Value(propagated{}) == nil {
		return ""
	}
	header := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, header)
	return header["traceparent"]
}

// A sampler decides which traces are recorded. Who sends a request decides neither that, by a flag, nor by the id of the trace,
// unless it is a proxy that is to be followed.
type sampler struct {
	oneIn  int
	follow bool
}

func (s sampler) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	record := rand.IntN(s.oneIn) == 0 //nolint:gosec // no secret
	if parent.IsValid() && (s.follow || !parent.IsRemote()) {
		record = parent.IsSampled()
	}
	if record {
		return sdk.SamplingResult{Decision: sdk.RecordAndSample}
	}
	return sdk.SamplingResult{Decision: sdk.Drop}
}

func (s sampler) Description() string { return "dex" }

const (
	// mostSpans is how many spans wait at most; further ones are dropped.
	mostSpans = 4096
	// batchSpans is how many go into one request.
	batchSpans = 512
	// spanDelay is how long a span waits for others.
	spanDelay = 2 * time.Second
	// exportTimeout bounds one request to the collector.
	exportTimeout = 10 * time.Second
)
