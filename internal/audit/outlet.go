package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"dex/internal/telemetry"
)

// An output writes lines somewhere. Only one goroutine calls it.
type output interface {
	// begin makes the output ready, and returns the hash of the last line that it has from before; empty if it has none, or can't
	// tell.
	begin(ctx context.Context) (prev string, err error)
	// write returns how many of the lines it has taken, in their order. The caller shows the others again after an error.
	write(ctx context.Context, lines []line) (taken int, err error)
	// settle is called when nothing was written for a while.
	settle() error
	close() error
}

// A declined error says that lines won't be taken at any try: those that follow the ones that were taken, or some of the latter.
type declined struct {
	lines int // that follow
	among int // those that were taken
	cause error
}

func (d *declined) Error() string { return d.cause.Error() }
func (d *declined) Unwrap() error { return d.cause }

// meta is what outputs need to know of a record besides its line.
type meta struct {
	at     time.Time
	kind   Type
	failed bool
	trace  string
}

// A line is a record in its place in a chain, with an end of line.
type line struct {
	meta
	text []byte
}

// An entry is a record that waits for its output, or, with lost, the place of records that the queue had no room for.
type entry struct {
	meta
	body   []byte
	lost   int
	since  time.Time
	shown  bool // the output has seen it: a lost one counts no more
	reason Reason
}

// Bounds of the queue of an output, and of what it is shown at once.
const (
	maxQueued      = 10_000 // records
	maxQueuedBytes = 8 << 20
	maxBatch       = 256
	maxBatchBytes  = 256 << 10

	writeTimeout  = 10 * time.Second
	slowAfter     = 2 * time.Second // a write that takes longer counts as failing
	settleAfter   = time.Second
	firstBackoff  = 100 * time.Millisecond
	longestWait   = 10 * time.Second
	closingPeriod = 200 * time.Millisecond // between tries while the server stops
)

// An outlet is an output with its queue and its chain.
type outlet struct {
	name string
	out  output
	key  []byte
	log  *slog.Logger
	wake chan struct{}
	done chan struct{}

	ctx    context.Context // ends when the last try is over
	cancel context.CancelFunc

	mu       sync.Mutex
	queue    []entry
	records  int // in the queue, without the lost ones
	bytes    int
	closing  bool
	writing  time.Time // when the write under way began; zero if there is none
	failures int       // in a row
	since    time.Time // when these began
	tried    time.Time
	err      error // of the last try
	slow     bool  // the log has told of a write that hangs
	taken    uint64
	dropped  uint64

	begun bool // from here on, of run alone
	chain chain
	dirty bool // settle is due
}

func newOutlet(name string, out output, key []byte, log *slog.Logger) *outlet {
	o := &outlet{name: name, out: out, key: key, log: log, wake: make(chan struct{}, 1), done: make(chan struct{})}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	o.chain.stream = newStream()
	return o
}

// push queues a record. It never waits: what there is no room for is counted, and told in the stream at this place.
func (o *outlet) push(e entry) { o.add(e, false) }

// add is push; with last, for the record that ends the stream.
func (o *outlet) add(e entry, last bool) {
	o.mu.Lock()
	switch {
	case o.closing:
		o.dropped++
	case last:
		o.queue = append(o.queue, e)
		o.records++
		o.bytes += len(e.body)
		o.closing = true
	case o.records >= maxQueued || o.bytes+len(e.body) > maxQueuedBytes:
		o.lose(e.at)
	default:
		o.queue = append(o.queue, e)
		o.records++
		o.bytes += len(e.body)
	}
	hangs := !o.slow && !o.writing.IsZero() && time.Since(o.writing) > slowAfter
	if hangs {
		o.slow = true
	}
	o.mu.Unlock()
	if hangs {
		o.log.Warn("audit output doesn't take records: they are queued", "output", o.name, "err", "a write hangs")
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// lose counts a record for which there is no room, at the end of the queue.
func (o *outlet) lose(at time.Time) {
	o.dropped++
	if last := len(o.queue) - 1; last >= 0 && o.queue[last].lost > 0 && !o.queue[last].shown {
		o.queue[last].lost++
		return
	}
	o.queue = append(o.queue, entry{lost: 1, since: at, reason: ReasonAuditQueue})
}

// blocked reports whether the output fails, and more than half of its queue is full.
func (o *outlet) blocked() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	half := o.records > maxQueued/2 || o.bytes > maxQueuedBytes/2
	return half && (o.failures > 0 || o.hangs())
}

func (o *outlet) hangs() bool { return !o.writing.IsZero() && time.Since(o.writing) > slowAfter }

// run shows the queue to the output until it is closed.
func (o *outlet) run() {
	defer close(o.done)
	backoff := firstBackoff
	for o.ctx.Err() == nil {
		batch, closing := o.batch()
		if len(batch) == 0 {
			if closing {
				return
			}
			o.idle()
			continue
		}
		err := o.try(batch)
		if err == nil {
			backoff = firstBackoff
			continue
		}
		wait := backoff
		if asked, ok := errors.AsType[*later](err); ok {
			wait = max(wait, min(asked.wait, maxRetryAfter))
		}
		o.rest(wait)
		backoff = min(2*backoff, longestWait)
	}
}

// idle waits for records, and lets the output settle when none come.
func (o *outlet) idle() {
	var settle <-chan time.Time
	if o.dirty {
		timer := time.NewTimer(settleAfter)
		defer timer.Stop()
		settle = timer.C
	}
	select {
	case <-o.wake:
	case <-o.ctx.Done():
	case <-settle:
		o.dirty = false
		if err := o.out.settle(); err != nil {
			o.failed(err)
		}
	}
}

// rest waits until the next try; not for long while the server stops.
func (o *outlet) rest(wait time.Duration) {
	end := time.Now().Add(wait)
	for o.ctx.Err() == nil && time.Now().Before(end) {
		o.mu.Lock()
		closing := o.closing
		o.mu.Unlock()
		step := time.Until(end)
		if closing {
			step, end = min(step, closingPeriod), time.Now()
		}
		timer := time.NewTimer(step)
		select {
		case <-timer.C:
		case <-o.wake: // it may be that of Close
		case <-o.ctx.Done():
		}
		timer.Stop()
	}
}

// batch returns what is shown to the output next.
func (o *outlet) batch() (batch []entry, closing bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	size := 0
	for i := range o.queue {
		if i == maxBatch || i > 0 && size+len(o.queue[i].body) > maxBatchBytes {
			break
		}
		e := &o.queue[i]
		if e.lost > 0 && !e.shown {
			told := encode(&Record{
				Time: time.Now().UTC(), Type: AuditLost, Outcome: Failure, Reason: e.reason, Actor: byServer(), Count: e.lost, Since: &e.since,
			})
			e.body, e.meta = told.body, told.meta
		}
		e.shown = true
		size += len(e.body)
		batch = append(batch, *e)
	}
	return batch, o.closing
}

// try shows records to the output, and takes those off the queue that it has taken.
func (o *outlet) try(batch []entry) error {
	ctx, cancel := context.WithTimeout(o.ctx, writeTimeout)
	defer cancel()
	o.mu.Lock()
	o.writing = time.Now()
	o.mu.Unlock()
	taken, after, err := o.write(ctx, batch)
	o.mu.Lock()
	o.writing = time.Time{}
	o.remove(taken)
	o.taken += uint64(taken) //nolint:gosec // not negative
	if refused, ok := errors.AsType[*declined](err); ok {
		o.decline(refused)
	}
	o.mu.Unlock()
	o.chain = after
	if err != nil {
		o.failed(err)
		return err
	}
	o.worked()
	return nil
}

// write gives records their places in the chain, and returns the chain after those that the output has taken.
func (o *outlet) write(ctx context.Context, batch []entry) (taken int, after chain, err error) {
	if !o.begun {
		prev, err := o.out.begin(ctx)
		if err != nil {
			return 0, o.chain, err
		}
		o.begun, o.chain.prev = true, prev
	}
	lines, chains := make([]line, len(batch)), make([]chain, len(batch)+1)
	chains[0] = o.chain
	for i, e := range batch {
		lines[i].meta = e.meta
		lines[i].text, chains[i+1] = chains[i].seal(e.body, o.key)
	}
	taken, err = o.out.write(ctx, lines)
	o.dirty = o.dirty || taken > 0
	return taken, chains[taken], err
}

// remove takes the first entries off the queue.
func (o *outlet) remove(n int) {
	for _, e := range o.queue[:n] {
		if e.lost == 0 {
			o.records--
			o.bytes -= len(e.body)
		}
	}
	o.queue = append(o.queue[:0], o.queue[n:]...)
	if len(o.queue) == 0 {
		o.queue = nil // after a failure it may be large
	}
}

// decline gives up entries at the front of the queue that the output will never take, and tells of that in their place.
func (o *outlet) decline(d *declined) {
	n := min(d.lines, len(o.queue))
	o.dropped += uint64(d.among) //nolint:gosec // not negative
	lost := entry{since: time.Now().UTC(), reason: ReasonAuditDeclined, lost: d.among}
	for _, e := range o.queue[:n] {
		lost.lost += max(e.lost, 1)
		if e.lost == 0 {
			o.dropped++
		}
		if !e.at.IsZero() && e.at.Before(lost.since) {
			lost.since = e.at
		}
	}
	o.remove(n)
	o.queue = append([]entry{lost}, o.queue...)
}

// failed notes a failure, and logs the first one.
func (o *outlet) failed(err error) {
	o.mu.Lock()
	o.tried, o.err = time.Now(), err
	o.failures++
	first := o.failures == 1 && !o.slow
	if o.failures == 1 {
		o.since = o.tried
	}
	o.mu.Unlock()
	if first {
		o.log.Warn("audit output doesn't take records: they are queued", "output", o.name, "err", err)
	}
}

// worked notes that the output takes records, and logs that if it didn't before.
func (o *outlet) worked() {
	o.mu.Lock()
	failures, since, slow, dropped := o.failures, o.since, o.slow, o.dropped
	o.tried, o.err, o.failures, o.slow = time.Now(), nil, 0, false
	o.mu.Unlock()
	if failures > 0 || slow {
		o.log.Warn("audit output takes records again", "output", o.name, "failures", failures, "since", since, "lost_so_far", dropped)
	}
}

// condition is how the output fares.
func (o *outlet) condition() telemetry.Condition {
	o.mu.Lock()
	defer o.mu.Unlock()
	shown := telemetry.Condition{Name: "audit/" + o.name, Checked: o.tried, Err: o.err, Failures: o.failures, Since: o.since}
	if shown.Err == nil && o.hangs() {
		shown.Err, shown.Failures, shown.Since = errors.New("a write hangs"), 1, o.writing
	}
	return shown
}

// close ends the stream, and waits for the output no longer than a time.
func (o *outlet) close(within time.Duration) error {
	o.add(encode(&Record{Time: time.Now().UTC(), Type: AuditStopped, Outcome: Success, Actor: byServer()}), true)
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-o.done:
	case <-timer.C:
	}
	o.cancel()
	select {
	case <-o.done:
	case <-time.After(closingPeriod): // a write that no context ends
		return fmt.Errorf("audit output %s hangs: %d records are not written", o.name, o.left())
	}
	err := o.out.close()
	if left := o.left(); left > 0 {
		err = errors.Join(fmt.Errorf("audit output %s: %d records are not written", o.name, left), err)
	}
	return err
}

// left returns how many records wait.
func (o *outlet) left() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.records
}
