package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	pingInterval = 25 * time.Second
	// streamLifetime bounds how long a page listens until it must ask again,
	// and so prove that its session still exists.
	streamLifetime = time.Hour
	maxStreams     = 200
	streamWrite    = 10 * time.Second // one write
)

// events tells an open page, by server-sent events, that its user was signed
// out. Browsers without a session get 204, which stops them from asking again.
func (a *app) events(w http.ResponseWriter, r *http.Request) error {
	sess := a.sessions.peek(r)
	if sess == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	select {
	case a.streams <- struct{}{}:
		defer func() { <-a.streams }()
	default:
		return errTooManyStreams
	}
	ends := sess.watch()
	if ends == nil {
		return errTooManyStreams
	}
	defer sess.unwatch(ends)

	stream := eventStream{w: w, control: http.NewResponseController(w)}
	// The server's timeouts are for pages.
	if err := stream.control.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("starting the event stream: %w", err)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	if stream.send(": connected\n\n") != nil {
		return nil
	}
	a.stream(r, stream, ends)
	return nil
}

var errTooManyStreams = &pageError{
	status: http.StatusServiceUnavailable, title: "Too many open pages", detail: "Close other pages of this program.",
}

// stream sends the end of the sign-in when it comes.
func (a *app) stream(r *http.Request, stream eventStream, ends <-chan ending) {
	ping := time.NewTicker(pingInterval)
	defer ping.Stop()
	over := time.NewTimer(streamLifetime)
	defer over.Stop()
	for {
		select {
		case end := <-ends:
			_ = stream.send(end.event()) // the last event; whoever missed it asks again
			return
		case <-ping.C:
			if stream.send(": ping\n\n") != nil {
				return
			}
		case <-over.C:
			return
		case <-r.Context().Done():
			return
		case <-a.stopping:
			return
		}
	}
}

// event is the server-sent event about the end of a sign-in.
func (end ending) event() string {
	name := "backchannel-logout"
	if end.Cause != endedTold {
		name = "logout"
	}
	data, err := json.Marshal(struct {
		At        time.Time `json:"at"`
		SessionID string    `json:"sid"`
	}{end.At.UTC(), end.SessionID})
	if err != nil {
		data = []byte("{}") // a year beyond 9999
	}
	return "event: " + name + "\ndata: " + string(data) + "\n\n"
}

// eventStream is an answer that goes on.
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s eventStream) send(text string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
