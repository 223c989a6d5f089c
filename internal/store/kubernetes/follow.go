package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"dex/internal/kubeapi"
	"dex/internal/store"
	"dex/internal/wait"
)

// workedFor is how long a watch has to last so that the next failure counts as the first.
const workedFor = 30 * time.Second

// A follower learns of the changes of one resource that others make.
type follower struct {
	*Store
	resource resource
	labels   string
	kinds    []string // whose changes it reports; empty stands for any
	version  string   // up to which it knows of the changes
}

// follow begins to follow all resources that have records of announced kinds, from the versions given on.
func (s *Store) follow(versions map[resource]string) {
	for _, r := range used {
		f := follower{Store: s, resource: r, version: versions[r]}
		if r == otherKinds {
			f.labels = announcedRecords()
		} else if f.kinds = slices.DeleteFunc(kindsIn(r), isQuiet); len(f.kinds) == 0 {
			continue
		}
		s.followers.Go(f.run)
	}
}

func isQuiet(kind string) bool { return !store.Announced(kind) }

// announcedRecords selects our own records in the resource of all other kinds, without the quiet ones: to leave them out
// saves the server sending a change for each step of a login.
func announcedRecords() string {
	selector := recordLabel
	var quiet []string
	for _, kind := range store.QuietKinds() {
		if resourceOf(kind) == otherKinds {
			quiet = append(quiet, kindLabel(kind))
		}
	}
	if len(quiet) > 0 {
		selector += "," + recordLabel + " notin (" + strings.Join(quiet, ",") + ")"
	}
	return selector
}

// run follows the resource until the store is closed.
func (f *follower) run() {
	for failed := 0; f.life.Err() == nil; {
		began := time.Now()
		err := f.watch(f.life)
		switch {
		case f.life.Err() != nil:
			return
		case kubeapi.HasCode(err, http.StatusForbidden):
			f.poll(err)
		case errors.Is(err, kubeapi.ErrGone):
			f.catchUp(f.life)
		case err != nil:
			f.log.Debug("a watch of Kubernetes ended; it begins again", "resource", f.resource.plural, "err", err)
		}
		if time.Since(began) > workedFor {
			failed = 0 // it worked for a while
			continue
		}
		failed++
		_ = wait.For(f.life, kubeapi.BackOff(failed))
	}
}

// catchUp goes on from now, and tells the watchers that they may have missed something.
func (f *follower) catchUp(ctx context.Context) {
	for failed := 1; ; failed++ {
		version, _, err := f.served(ctx, f.resource)
		if err == nil && version != "" {
			f.version = version
			f.publishAll()
			return
		}
		if ctx.Err() != nil {
			return
		}
		_ = wait.For(ctx, kubeapi.BackOff(failed))
	}
}

// publishAll says that any record of the resource may have changed.
func (f *follower) publishAll() {
	if len(f.kinds) == 0 {
		f.changes.Publish(store.Change{})
	}
	for _, kind := range f.kinds {
		f.changes.Publish(store.Change{Kind: kind})
	}
}

// watch publishes changes until the server ends the watch.
func (f *follower) watch(ctx context.Context) error {
	return f.client.Watch(ctx, f.resource.in(f.client), f.labels, f.version, func(e kubeapi.Event) error {
		f.version = e.Version
		if e.Type == "BOOKMARK" {
			return nil
		}
		var head partial
		if err := json.Unmarshal(e.Object, &head); err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		f.publish(e.Object, &head.Metadata)
		return nil
	})
}

// shared returns the announced kind whose records are the objects of the resource; nil if there is none.
func (f *follower) shared() (*sharedKind, string) {
	for _, kind := range f.kinds {
		if shared := sharedKinds[kind]; shared != nil {
			return shared, kind
		}
	}
	return nil, ""
}

// publish tells the watchers of a change of an object. Where it does not say which record it is, all may be.
func (f *follower) publish(object json.RawMessage, m *metadata) {
	if m.ours() {
		var head recordHead
		if json.Unmarshal(object, &head) != nil || head.RecordKind == "" {
			f.changes.Publish(store.Change{})
			return
		}
		f.changes.Publish(store.Change{Kind: head.RecordKind, Key: string(head.RecordKey)})
		return
	}
	shared, kind := f.shared()
	if shared == nil {
		return // upstream's own, such as a login
	}
	var o sharedObject
	if json.Unmarshal(object, &o) == nil {
		if key, ok := shared.key(m.Name, o.members); ok {
			f.changes.Publish(store.Change{Kind: kind, Key: key})
			return
		}
	}
	f.changes.Publish(store.Change{Kind: kind})
}
