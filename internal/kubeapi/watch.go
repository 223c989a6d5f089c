package kubeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// watchTime is how long one watch lasts at least; the server ends it then, and the next one goes on.
const watchTime = 5 * time.Minute

// longestBackOff is how long to wait at most after a watch failed.
const longestBackOff = 5 * time.Second

var (
	errWatchTooLong = errors.New("the watch did not end in time")
	// ErrGone says that the server no longer knows what has changed since.
	ErrGone = errors.New("the server no longer knows what has changed since")
)

// An Event is a change that a watch tells of.
type Event struct {
	Type   string          // ADDED, MODIFIED or DELETED; BOOKMARK where only the version is news
	Object json.RawMessage // as it is now, or was before it was deleted
	// Version is up to which the watch has told of everything.
	Version string
}

// Watch calls each for the changes since a version, until the server ends the watch, which it does after some minutes; the error
// is nil then. It is ErrGone when the server doesn't know the version any more, and the objects must be listed anew.
func (c *Client) Watch(ctx context.Context, in Collection, labels, version string, each func(Event) error) error {
	if version == "" {
		return ErrGone
	}
	lasts := watchTime + rand.N(watchTime/5) //nolint:gosec // jitter, so that watches don't all begin again at once
	query := url.Values{
		"watch": {"1"}, "resourceVersion": {version}, "allowWatchBookmarks": {"true"},
		"timeoutSeconds": {strconv.Itoa(int(lasts.Seconds()))},
	}
	if labels != "" {
		query.Set("labelSelector", labels)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lasts+requestTimeout, errWatchTooLong)
	defer cancel()
	answer, err := c.answer(ctx, c.collection(in, query), nil)
	switch {
	case HasCode(err, http.StatusGone):
		return ErrGone
	case err != nil:
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	return events(answer.Body, each)
}

func events(body io.Reader, each func(Event) error) error {
	bounded := &boundedReader{r: body}
	d := json.NewDecoder(bounded)
	for {
		bounded.reset()
		var line struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		if err := d.Decode(&line); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		e, err := newEvent(line.Type, line.Object)
		if err != nil {
			return err
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

func newEvent(kind string, object json.RawMessage) (Event, error) {
	if kind == "ERROR" {
		var s status
		if json.Unmarshal(object, &s) == nil && s.Code == http.StatusGone {
			return Event{}, ErrGone
		}
		return Event{}, fmt.Errorf("watch: %.200s", s.Message)
	}
	var head struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(object, &head); err != nil {
		return Event{}, fmt.Errorf("watch: %w", err)
	}
	return Event{Type: kind, Object: object, Version: head.Metadata.ResourceVersion}, nil
}

// BackOff returns how long to wait after so many failures in a row.
func BackOff(failed int) time.Duration {
	wait := min(100*time.Millisecond<<min(failed, 10), longestBackOff)
	return wait/2 + rand.N(wait/2) //nolint:gosec // jitter, not a secret
}
