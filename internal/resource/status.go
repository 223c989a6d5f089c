package resource

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"dex/internal/kubeapi"
)

const (
	// insistEvery is how soon at most a replica writes once more what another one has overwritten, such as one of an older release
	// that was still there.
	insistEvery = 10 * time.Minute
	// retryStatus is how soon a write is tried again that failed.
	retryStatus = 30 * time.Second
)

// statuses write what was decided into the objects. All replicas do, and may differ for a while: so each writes only when what it
// has decided itself has changed, and never because another one thinks differently. That can't become a loop.
type statuses struct {
	api *kubeapi.Client
	log *slog.Logger

	changed chan struct{}
	mu      sync.Mutex // never held over I/O
	wanted  []verdict

	// Of the goroutine that writes alone.
	tried  map[string]attempt // by the UIDs of objects
	denied map[string]bool    // namespaces that have no right to it, which the log was told
}

// An attempt is what was written last, or found as it should be.
type attempt struct {
	decision decision
	again    time.Time // no earlier
}

// A decision is what a status is made of.
type decision struct {
	generation          int64
	id, reason, message string
}

func newStatuses(api *kubeapi.Client, log *slog.Logger) *statuses {
	return &statuses{api: api, log: log, changed: make(chan struct{}, 1), tried: map[string]attempt{}, denied: map[string]bool{}}
}

// want has statuses written that differ from verdicts.
func (s *statuses) want(verdicts []verdict) {
	s.mu.Lock()
	s.wanted = verdicts
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// run writes until the context ends.
func (s *statuses) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		}
		s.mu.Lock()
		wanted := s.wanted
		s.mu.Unlock()
		s.writeAll(ctx, wanted, time.Now())
	}
}

func (s *statuses) writeAll(ctx context.Context, wanted []verdict, now time.Time) {
	there := make(map[string]bool, len(wanted))
	for i := range wanted {
		v := &wanted[i]
		uid, d := v.object.Metadata.UID, v.decision()
		there[uid] = true
		last, tried := s.tried[uid]
		switch {
		case v.object.Status.says(d):
			s.tried[uid] = attempt{d, now.Add(insistEvery)}
		case tried && last.decision == d && now.Before(last.again):
		case ctx.Err() == nil:
			s.tried[uid] = attempt{d, now.Add(s.write(ctx, v, d, now))}
		}
	}
	for uid := range s.tried {
		if !there[uid] {
			delete(s.tried, uid)
		}
	}
}

// write writes one status, and returns how long to wait before it is written again if it doesn't stay.
func (s *statuses) write(ctx context.Context, v *verdict, d decision, now time.Time) time.Duration {
	o := v.object
	r, err := s.api.Object(http.MethodPatch, o.kind.in(o.Metadata.Namespace), o.Metadata.Name)
	if err != nil {
		return insistEvery
	}
	r.URL += "/status"
	r.ContentType, r.Accept = "application/merge-patch+json", kubeapi.MetadataOnly
	r.Body = map[string]any{
		"metadata": map[string]any{"resourceVersion": o.Metadata.ResourceVersion, "uid": o.Metadata.UID},
		"status":   o.Status.with(d, now),
	}
	err = s.api.Send(ctx, r)
	switch {
	case err == nil:
		return insistEvery
	case kubeapi.HasCode(err, http.StatusConflict), kubeapi.HasCode(err, http.StatusNotFound):
		return 0 // it has changed, and will be looked at again
	case errors.Is(err, context.Canceled):
	case !s.denied[o.Metadata.Namespace]:
		s.denied[o.Metadata.Namespace] = true
		s.log.WarnContext(ctx, "the status of a custom resource can't be written, so people don't see whether it is in use",
			"resource", o.kind.plural+"."+group, "namespace", o.Metadata.Namespace, "name", o.Metadata.Name, "err", err)
	}
	return retryStatus
}

func (v *verdict) decision() decision {
	return decision{generation: v.object.Metadata.Generation, id: v.shown, reason: v.reason, message: v.message}
}

func (d decision) status() string {
	if d.reason == reasonAccepted {
		return "True"
	}
	return "False"
}

// says reports whether the status tells a decision.
func (s *status) says(d decision) bool {
	i := slices.IndexFunc(s.Conditions, func(c condition) bool { return c.Type == ready })
	if i < 0 || s.ID != d.id || s.ObservedGeneration != d.generation {
		return false
	}
	c := s.Conditions[i]
	return c.Status == d.status() && c.Reason == d.reason && c.Message == d.message && c.ObservedGeneration == d.generation
}

// with returns the status with a decision. Conditions of others stay.
func (s *status) with(d decision, now time.Time) status {
	next := condition{
		Type: ready, Status: d.status(), Reason: d.reason, Message: d.message, ObservedGeneration: d.generation,
		LastTransitionTime: now.UTC().Format(time.RFC3339),
	}
	fresh := status{ObservedGeneration: d.generation, ID: d.id}
	for _, c := range s.Conditions {
		if c.Type != ready {
			fresh.Conditions = append(fresh.Conditions, c)
		} else if c.Status == next.Status {
			next.LastTransitionTime = cmp.Or(c.LastTransitionTime, next.LastTransitionTime)
		}
	}
	fresh.Conditions = append(fresh.Conditions, next)
	return fresh
}
