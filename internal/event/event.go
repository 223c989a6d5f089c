// Package event names what happens to people and applications: somebody signed in, a request was refused, a token was used
// twice. Rooms emit events and don't know who listens; the log and the metrics do.
package event

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
)

// An Event is one of the structs of this package. Fields are empty if the room that emits the event doesn't know them. None
// holds a secret. An event has just happened, and the context that it comes with is that of its request, if there is one.
type Event interface{ event() }

// A Sink takes events. Requests call Emit concurrently and wait for it, so it must be quick. It must not change the event.
type Sink interface {
	Emit(ctx context.Context, e Event)
}

// A Func is a Sink.
type Func func(context.Context, Event)

// Emit implements Sink.
func (f Func) Emit(ctx context.Context, e Event) { f(ctx, e) }

// ReasonOf returns why an error refuses somebody: the word that the innermost cause has for it; empty if none has one. The words
// are few, and mean the same in every release.
func ReasonOf(err error) string {
	reason := ""
	for err != nil {
		r, ok := errors.AsType[interface {
			error
			RefusalReason() string
		}](err)
		if !ok {
			break
		}
		reason, err = r.RefusalReason(), errors.Unwrap(r)
	}
	return reason
}

// Discard is a Sink that ignores events.
var Discard Sink = Func(func(context.Context, Event) {})

// A Fan passes each event on to all of its subscribers, in their order.
type Fan struct {
	log         *slog.Logger
	subscribers []Sink
}

// NewFan returns a Fan. A panic of a subscriber is logged, and affects neither the others nor the request.
func NewFan(log *slog.Logger, subscribers ...Sink) *Fan {
	return &Fan{log: log, subscribers: subscribers}
}

// Emit implements Sink.
func (f *Fan) Emit(ctx context.Context, e Event) {
	for _, s := range f.subscribers {
		f.tell(ctx, s, e)
	}
}

func (f *Fan) tell(ctx context.Context, s Sink, e Event) {
	defer func() {
		if p := recover(); p != nil {
			f.log.ErrorContext(ctx, "panic in a subscriber to events", "err", p, "stack", string(debug.Stack()))
		}
	}()
	s.Emit(ctx, e)
}
