package kubernetes

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"time"

	"dex/internal/wait"

	"dex/internal/kubeapi"
)

const (
	// pollEvery is how often a resource that may not be watched is read.
	pollEvery = 10 * time.Second
	// pollsBetweenWatches is how often it is polled before the next try to watch it, should that be allowed by then.
	pollsBetweenWatches = 30
)

// poll looks for changes where the server forbids to watch, for some minutes.
func (f *follower) poll(forbidden error) {
	f.warned.do("watch "+f.resource.plural, func() {
		f.log.Warn("Kubernetes does not allow watching a resource, so changes by others are seen later; allow the verb watch",
			"resource", definitionName(f.resource), "polled_every", pollEvery, "err", forbidden)
	})
	// What has changed since the last version that is known of: nobody can tell.
	last, known := [sha256.Size]byte{}, false
	for range pollsBetweenWatches {
		if f.life.Err() != nil {
			return
		}
		sum, err := f.fingerprint(f.life)
		if err != nil {
			known = false
			f.log.Debug("a poll of Kubernetes failed", "resource", f.resource.plural, "err", err)
		} else {
			if !known || sum != last {
				f.publishAll()
			}
			last, known = sum, true
		}
		_ = wait.For(f.life, pollEvery)
	}
	f.version = "" // and so the next watch begins with a look at the present
}

// fingerprint is made of the names and versions of all objects of the resource.
func (f *follower) fingerprint(ctx context.Context) (sum [sha256.Size]byte, err error) {
	hash := sha256.New()
	q := kubeapi.PageQuery{Labels: f.labels, Limit: kubeapi.PageSize, MetadataOnly: true}
	for {
		end, err := f.client.Page(ctx, f.resource.in(f.client), q, func(object json.RawMessage) error {
			var head partial
			if err := json.Unmarshal(object, &head); err != nil {
				return err
			}
			_, err := hash.Write([]byte(head.Metadata.Name + "\x00" + head.Metadata.ResourceVersion + "\x00"))
			return err
		})
		if err != nil {
			return sum, err
		}
		if q.From = end.Continue; q.From == "" {
			return [sha256.Size]byte(hash.Sum(nil)), nil
		}
	}
}
