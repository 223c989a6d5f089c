package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// A spanQueue sends spans to a collector in batches. Nobody waits for it: what doesn't fit is dropped. The SDK has one too, which
// doesn't tell what it has dropped.
type spanQueue struct {
	to                    sdk.SpanExporter
	sent, dropped, failed prometheus.Counter
	failing               func(error)

	waiting chan sdk.ReadOnlySpan
	ctx     context.Context // ends what is being sent
	cancel  context.CancelFunc
	closing chan struct{}
	closed  sync.Once
	done    chan struct{}
}

func newSpanQueue(to sdk.SpanExporter, counts *prometheus.CounterVec, failing func(error)) *spanQueue {
	ctx, cancel := context.WithCancel(context.Background())
	q := &spanQueue{
		to: to, failing: failing,
		sent: counts.WithLabelValues("sent"), dropped: counts.WithLabelValues("dropped"), failed: counts.WithLabelValues("failed"),
		waiting: make(chan sdk.ReadOnlySpan, mostSpans),
		ctx:     ctx, cancel: cancel, closing: make(chan struct{}), done: make(chan struct{}),
	}
	go q.run()
	return q
}

// OnStart implements sdk.SpanProcessor.
func (q *spanQueue) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd implements sdk.SpanProcessor.
func (q *spanQueue) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	select {
	case q.waiting <- s:
	default:
		q.dropped.Inc()
	}
}

// ForceFlush implements sdk.SpanProcessor. Nobody needs it.
func (q *spanQueue) ForceFlush(context.Context) error { return nil }

// Shutdown sends what is left, for as long as the context lets it.
func (q *spanQueue) Shutdown(ctx context.Context) error {
	q.closed.Do(func() { close(q.closing) })
	defer q.cancel()
	select {
	case <-q.done:
		return nil
	case <-ctx.Done():
		q.cancel()
		<-q.done
		return context.Cause(ctx)
	}
}

func (q *spanQueue) run() {
	defer close(q.done)
	broken := false
	for ending := false; !ending; {
		var batch []sdk.ReadOnlySpan
		if batch, ending = q.next(); len(batch) == 0 {
			continue
		}
		err := q.send(batch)
		if (err != nil) != broken && q.failing != nil {
			broken = err != nil
			q.failing(err)
		}
	}
}

// next waits for a batch; true for the last one.
func (q *spanQueue) next() (batch []sdk.ReadOnlySpan, ending bool) {
	var late <-chan time.Time // nil while there is nothing to send
	for len(batch) < batchSpans {
		select {
		case s := <-q.waiting:
			if batch = append(batch, s); late == nil {
				late = time.After(spanDelay)
			}
			continue
		case <-late:
			return batch, false
		case <-q.closing:
		}
		return q.rest(batch)
	}
	return batch, false
}

// rest fills the batch with what waits; true if that is all.
func (q *spanQueue) rest(batch []sdk.ReadOnlySpan) ([]sdk.ReadOnlySpan, bool) {
	for len(batch) < batchSpans {
		select {
		case s := <-q.waiting:
			batch = append(batch, s)
		default:
			return batch, true
		}
	}
	return batch, false
}

func (q *spanQueue) send(batch []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithTimeout(q.ctx, exportTimeout)
	defer cancel()
	err := q.to.ExportSpans(ctx, batch)
	if err != nil {
		q.failed.Add(float64(len(batch)))
		return err
	}
	q.sent.Add(float64(len(batch)))
	return nil
}
