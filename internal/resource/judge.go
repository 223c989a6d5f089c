package resource

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"dex/internal/store"
)

// holderAge is how long the answer counts whether the configuration or the storage has an id, unless a change is told of.
const holderAge = 5 * time.Minute

// holdersTimeout bounds one round of asking for that. What takes longer is asked the next time; until then an object may seem to
// be in use that is hidden.
const holdersTimeout = 5 * time.Second

// A claim is an id of a kind.
type claim struct {
	kind *kind
	key  string
}

// holder is who else has an id.
type holder struct {
	name string // empty for nobody
	read time.Time
}

// judge decides on all objects anew, and puts those in use that are right.
func (w *Watcher) judge(ctx context.Context, s Surroundings) []verdict {
	objects := w.objects()
	wanted := map[secretID]map[string]bool{}
	for _, o := range objects {
		for _, ref := range o.refs() {
			id := secretID{o.Metadata.Namespace, ref.Name}
			if wanted[id] == nil {
				wanted[id] = map[string]bool{}
			}
			wanted[id][ref.Key] = true
		}
	}
	w.secrets.refresh(ctx, wanted)
	r := &reader{issuer: w.cfg.Issuer, passwordDB: s.PasswordDB(), secret: w.secrets.value}
	verdicts := make([]verdict, len(objects))
	for i, o := range objects {
		verdicts[i] = r.read(o)
	}
	settle(verdicts)
	w.use(verdicts, s)
	ctx, cancel := context.WithTimeout(ctx, holdersTimeout)
	defer cancel()
	for i := range verdicts {
		if v := &verdicts[i]; v.ok() {
			w.checkHolder(ctx, v, s)
		}
	}
	return verdicts
}

// objects returns all objects in the order in which they have a right to their ids: Dex's own namespace first, then the oldest.
func (w *Watcher) objects() []*object {
	var all []*object
	for _, f := range w.followers {
		all = append(all, f.all()...)
	}
	slices.SortFunc(all, func(a, b *object) int {
		if a.home != b.home {
			if a.home {
				return -1
			}
			return 1
		}
		return cmp.Or(a.Metadata.CreationTimestamp.Compare(b.Metadata.CreationTimestamp), strings.Compare(a.Metadata.UID, b.Metadata.UID))
	})
	return all
}

// settle refuses objects whose id belongs to one further up. That one has it even where it has mistakes: nobody takes an
// application's place while its Secret is being replaced.
func settle(verdicts []verdict) {
	first := map[claim]*verdict{}
	for i := range verdicts {
		v := &verdicts[i]
		if v.key == "" {
			continue
		}
		c := claim{v.object.kind, v.key}
		other, taken := first[c]
		switch {
		case !taken:
			first[c] = v
		case !v.object.home && other.object.home:
			v.refuse(reasonConflict, fmt.Sprintf("%q is the ID of a %s in Dex's own namespace", v.shown, c.kind.what))
		default:
			v.refuse(reasonConflict, fmt.Sprintf("%q belongs to %s, which is older", v.shown, other.object.path()))
		}
	}
}

// use puts the objects in use that are right. What the configuration and the storage have hides them by itself.
func (w *Watcher) use(verdicts []verdict, s Surroundings) {
	c, u, d := entries[clientValue]{}, entries[userValue]{}, entries[connectorValue]{}
	for _, v := range verdicts {
		switch {
		case !v.ok():
		case v.client != nil:
			c[v.key] = store.Entry[clientValue]{Key: v.key, Revision: v.revision, Value: *v.client}
		case v.user != nil:
			u[v.key] = store.Entry[userValue]{Key: v.key, Revision: v.revision, Value: *v.user}
		case v.definition != nil:
			d[v.key] = store.Entry[connectorValue]{Key: v.key, Revision: v.revision, Value: *v.definition}
		}
	}
	w.layers.Clients.Replace(c)
	w.layers.Users.Replace(u)
	before := w.connectors
	w.connectors = make(map[string]string, len(d))
	for key, e := range d {
		w.connectors[key] = e.Revision
	}
	w.layers.Connectors.Replace(d)
	if !sameRevisions(before, w.connectors) {
		s.ConnectorsChanged()
	}
}

func sameRevisions(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for key, revision := range a {
		if b[key] != revision {
			return false
		}
	}
	return true
}

// checkHolder tells an object that the configuration or the storage hides it.
func (w *Watcher) checkHolder(ctx context.Context, v *verdict, s Surroundings) {
	c := claim{v.object.kind, v.key}
	w.mu.Lock()
	h, known := w.holders[c]
	epoch := w.epoch
	w.mu.Unlock()
	if !known || time.Since(h.read) > holderAge {
		if name, err := s.Holder(ctx, c.kind.record, c.key); err == nil {
			h = holder{name, time.Now()}
			w.mu.Lock()
			if w.epoch == epoch {
				w.holders[c] = h
			}
			w.mu.Unlock()
		}
	}
	if h.name != "" {
		v.refuse(reasonConflict, fmt.Sprintf("%q is the ID of a %s in %s, which is used in place of this one", v.shown, c.kind.what, h.name))
	}
}

// forgetHolders makes it be looked up again who else has ids.
func (w *Watcher) forgetHolders(which func(claim) bool) {
	w.mu.Lock()
	w.epoch++
	for c := range w.holders {
		if which(c) {
			delete(w.holders, c)
		}
	}
	w.mu.Unlock()
	w.wake()
}
