package resource

import (
	"context"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"time"

	"dex/internal/client"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/kubeapi"
	"dex/internal/store"
	"dex/internal/wait"
)

type (
	clientValue    = client.Client
	userValue      = local.User
	connectorValue = federation.Definition

	entries[T any] = map[string]store.Entry[T]
)

const (
	// loadTimeout bounds how long the start waits for the API server's lists.
	loadTimeout = 10 * time.Second
	// judgeEvery is how often all is looked at without a reason, as nobody tells of changes of Secrets; judgeSoon is the same while an
	// object waits for a Secret.
	judgeEvery = 15 * time.Second
	judgeSoon  = 3 * time.Second
	// gather is how long changes may come in before they are looked at together; longer where that takes long, so that somebody
	// who changes objects all day can't have more than a fifth of a core.
	gather        = 20 * time.Millisecond
	longestGather = 2 * time.Second
)

// Config is what a Watcher is made for.
type Config struct {
	API              *kubeapi.Client
	Namespace        string   // Dex's own
	ClientNamespaces []string // others that may have clients
	Issuer           *url.URL
	Log              *slog.Logger
}

// Surroundings are what a Watcher asks and tells the rest of the server. They must be safe for concurrent use.
type Surroundings interface {
	// PasswordDB reports whether users can sign in with a password of ours.
	PasswordDB() bool
	// Holder returns where else there is a record of a kind with a key, in words, which hides an object; empty for nowhere.
	Holder(ctx context.Context, kind, key string) (string, error)
	// ConnectorsChanged is told that there are others than before.
	ConnectorsChanged()
}

// Layers are what is in use at the moment. Nothing in them counts that the configuration or the storage has too.
type Layers struct {
	Clients    *store.Fallback[client.Client]
	Users      *store.Fallback[local.User]
	Connectors *store.Fallback[federation.Definition]
}

// A Watcher keeps the clients, users and connectors that come from custom resources.
type Watcher struct {
	layers Layers

	cfg        Config
	followers  []*follower
	secrets    *secrets
	statuses   *statuses
	changed    chan struct{}
	connectors map[string]string // revisions of those in use; of whoever judges

	mu      sync.Mutex // never held over I/O
	holders map[claim]holder
	epoch   uint64 // grows whenever holders are forgotten: what was looked up before is not remembered after it
}

// New returns a watcher that knows nothing yet.
func New(c Config) *Watcher {
	w := &Watcher{
		layers: Layers{&store.Fallback[client.Client]{}, &store.Fallback[local.User]{}, &store.Fallback[federation.Definition]{}},
		cfg:    c, secrets: &secrets{client: c.API, home: c.Namespace, known: map[secretID]secret{}}, statuses: newStatuses(c.API, c.Log),
		changed: make(chan struct{}, 1), holders: map[claim]holder{},
	}
	for _, k := range kinds {
		w.followers = append(w.followers, &follower{in: k.in(c.Namespace), kind: k, home: true, api: c.API})
	}
	for _, namespace := range c.ClientNamespaces {
		if namespace != c.Namespace && !slices.ContainsFunc(w.followers, func(f *follower) bool { return f.in.Namespace == namespace }) {
			w.followers = append(w.followers, &follower{in: clients.in(namespace), kind: clients, api: c.API})
		}
	}
	return w
}

// Layers returns what is in use. A nil watcher, where nobody looks at custom resources, has none.
func (w *Watcher) Layers() Layers {
	if w == nil {
		return Layers{}
	}
	return w.layers
}

// Load reads everything once, so that the server begins with what there is. What can't be read in time comes later.
func (w *Watcher) Load(ctx context.Context, s Surroundings) {
	bounded, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	var work sync.WaitGroup
	for _, f := range w.followers {
		work.Go(func() {
			if err := f.list(bounded); err != nil {
				f.fail(err)
				w.report(ctx, f, err)
			}
		})
	}
	work.Wait()
	w.judge(ctx, s) // which bounds itself: a namespace that took all the time must not keep the Secrets of others from being read
}

// Run follows the objects, and writes their statuses, until the context ends.
func (w *Watcher) Run(ctx context.Context, s Surroundings) {
	var work sync.WaitGroup
	defer work.Wait()
	for _, f := range w.followers {
		work.Go(func() { f.follow(ctx, w.wake, func(f *follower, err error) { w.report(ctx, f, err) }) })
	}
	work.Go(func() { w.statuses.run(ctx) })
	for ctx.Err() == nil {
		pause, began := judgeEvery, time.Now()
		verdicts := w.judge(ctx, s)
		took := time.Since(began)
		if slices.ContainsFunc(verdicts, func(v verdict) bool { return v.awaitsSecret }) {
			pause = judgeSoon
		}
		w.statuses.want(verdicts)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		case <-w.changed:
			_ = wait.For(ctx, min(max(gather, 4*took), longestGather))
		}
	}
}

// report logs that objects can't be followed, or can again.
func (w *Watcher) report(ctx context.Context, f *follower, err error) {
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		w.cfg.Log.InfoContext(ctx, "custom resources can be read again", "resource", f.in.Resource+"."+group, "namespace", f.in.Namespace)
		return
	}
	w.cfg.Log.WarnContext(ctx, "custom resources can't be read; those that were read last stay in use", "resource", f.in.Resource+"."+group,
		"namespace", f.in.Namespace, "err", err)
}

// wake has everything looked at soon.
func (w *Watcher) wake() {
	select {
	case w.changed <- struct{}{}:
	default: // it will be anyway
	}
}

// Reconsider says that another configuration is in force.
func (w *Watcher) Reconsider() { w.forgetHolders(func(claim) bool { return true }) }

// Forget says that a record has changed in the storage.
func (w *Watcher) Forget(c store.Change) {
	ours := func(k *kind) bool { return k.record == c.Kind }
	if c.Kind == "" || slices.ContainsFunc(kinds, ours) {
		w.forgetHolders(func(other claim) bool {
			return (c.Kind == "" || other.kind.record == c.Kind) && (c.Key == "" || other.key == c.Key)
		})
	}
}

// A Trouble is objects that aren't followed.
type Trouble struct {
	Resource, Namespace string
	Err                 error
	Since, Checked      time.Time
}

// Troubles returns what can't be followed at the moment.
func (w *Watcher) Troubles() []Trouble {
	var all []Trouble
	for _, f := range w.followers {
		if since, err := f.trouble(); err != nil {
			all = append(all, Trouble{f.in.Resource, f.in.Namespace, err, since, time.Now()})
		}
	}
	return all
}
