package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"dex/internal/event"
	"dex/internal/wait"
)

const (
	// maxWaiting is how many mails may be on their way at a time. Further ones are refused.
	maxWaiting = 100
	// atOnce is how many connections to the mail server there are at a time.
	atOnce = 2
	// maxAge is how long after it was asked for a mail is still sent.
	maxAge = 5 * time.Minute
	// grace is how long mails may take that are on their way when the process ends.
	grace = 5 * time.Second
)

// pauses are the waits before the second try and before the third, the last one.
var pauses = []time.Duration{5 * time.Second, 30 * time.Second}

// ErrFull says that too many mails are waiting already.
var ErrFull = errors.New("too many mails are waiting")

// A Job is a mail to write and to send.
type Job struct {
	What string // what it is for, for events
	// Write returns the mail; nil if there is to be none. It is called after the answer to whoever asked for the mail, so that nobody
	// learns from it, or from its time, whether there is one. If it fails, it is called again.
	Write func(ctx context.Context) (*Message, error)
}

// QueueConfig is what a queue is made of.
type QueueConfig struct {
	// Sender returns the sender in force. An error says why there is none.
	Sender func() (*Sender, error)
	Events event.Sink
	Log    *slog.Logger
}

// A Queue has the mails that are waiting. They are in memory only: whoever misses one asks again. It is safe for concurrent use.
type Queue struct {
	cfg   QueueConfig
	room  chan struct{} // has an element for each mail that is on its way
	jobs  chan *waiting
	turns chan struct{} // has an element for each connection to the server
}

// waiting is a job, and what is known of the request that it comes from.
type waiting struct {
	Job

	request context.Context // its values alone, which log lines have
	asked   time.Time
	message *Message // once it is written
	tries   int
}

// NewQueue returns an empty queue. Nothing is sent before Run.
func NewQueue(cfg QueueConfig) *Queue {
	return &Queue{cfg: cfg, room: make(chan struct{}, maxWaiting), jobs: make(chan *waiting, maxWaiting), turns: make(chan struct{}, atOnce)}
}

// Add adds a job. It doesn't wait; the error is ErrFull. Log lines about the job have what the request's context has.
func (q *Queue) Add(request context.Context, j Job) error {
	select {
	case q.room <- struct{}{}:
	default:
		return ErrFull
	}
	q.jobs <- &waiting{Job: j, request: context.WithoutCancel(request), asked: time.Now()}
	return nil
}

// Run sends what is added, until the context ends. What is on its way then has a few seconds.
func (q *Queue) Run(ctx context.Context) {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var all sync.WaitGroup
	for {
		select {
		case w := <-q.jobs:
			all.Go(func() { q.handle(sending, ctx, w) })
			continue
		case <-ctx.Done():
		}
		break
	}
	stop := time.AfterFunc(grace, cancel)
	defer stop.Stop()
	for len(q.jobs) > 0 { // nobody adds any more
		w := <-q.jobs
		all.Go(func() { q.handle(sending, ctx, w) })
	}
	all.Wait()
}

// handle writes a mail and sends it, and gives it up at the end. Sending bounds a try, and waiting bounds the waits between them.
func (q *Queue) handle(sending, waiting context.Context, w *waiting) {
	defer func() { <-q.room }()
	ctx, cancel := withValues(sending, w)
	defer cancel()
	for {
		err := q.try(ctx, w)
		if err == nil {
			return
		}
		if again := q.pause(w, err); again > 0 && wait.For(waiting, again) == nil {
			continue
		}
		q.cfg.Events.Emit(ctx, event.MailGivenUp{What: w.What, UserID: w.userID(), Attempts: w.tries, Err: err})
		return
	}
}

// withValues returns a context with the values of a job's request. It ends with the other one, or when the mail is too old.
func withValues(ctx context.Context, w *waiting) (context.Context, context.CancelFunc) {
	own, cancel := context.WithDeadline(w.request, w.asked.Add(maxAge))
	stop := context.AfterFunc(ctx, cancel)
	return own, func() { stop(); cancel() }
}

// pause notes a failure, and returns how long to wait before the next try; 0 if there is none.
func (q *Queue) pause(w *waiting, err error) time.Duration {
	_, permanent := errors.AsType[*PermanentError](err)
	if permanent || w.tries > len(pauses) {
		return 0
	}
	d := pauses[w.tries-1]
	if time.Since(w.asked)+d > maxAge {
		return 0
	}
	q.cfg.Events.Emit(w.request, event.MailFailed{What: w.What, UserID: w.userID(), Attempts: w.tries, Err: err})
	return d
}

// try makes one try. A panic of whoever writes the mail must not end the process.
func (q *Queue) try(ctx context.Context, w *waiting) (err error) {
	w.tries++
	defer func() {
		if p := recover(); p != nil {
			q.cfg.Log.ErrorContext(ctx, "panic in a mail", "err", p, "stack", string(debug.Stack()))
			err = &PermanentError{fmt.Errorf("panic: %v", p)}
		}
	}()
	if w.message == nil {
		if w.message, err = w.Write(ctx); w.message == nil || err != nil {
			return err
		}
	}
	select {
	case q.turns <- struct{}{}:
		defer func() { <-q.turns }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	sender, err := q.cfg.Sender()
	if err != nil {
		return &PermanentError{err}
	}
	if err := sender.Send(ctx, w.message); err != nil {
		return err
	}
	q.cfg.Events.Emit(ctx, event.MailSent{What: w.What, UserID: w.userID(), Attempts: w.tries})
	return nil
}

// userID returns whose mail it is, once that is known.
func (w *waiting) userID() string {
	if w.message == nil {
		return ""
	}
	return w.message.UserID
}
