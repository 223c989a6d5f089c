// Package backchannel tells applications that a session has ended (OpenID Connect Back-Channel Logout 1.0). What they have yet
// to be told is in the storage, so that neither an application that is down for hours nor the end of this process loses it, and
// any replica goes on with it. Each application is told at least once, as a rule exactly once, and by the same jti if it is told
// again.
package backchannel

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/id"
	"dex/internal/outbound"
	"dex/internal/store"
	"dex/internal/token"
)

const (
	// patience is how long an application is tried.
	patience = 24 * time.Hour
	// kept is how much longer the record lives: an attempt that was due while no server ran is made late, and then ends the delivery.
	kept = time.Hour
	// addAtOnce is how many deliveries of one session are stored at once.
	addAtOnce = 8
)

// A delivery is a logout token that an application has yet to get.
type delivery struct {
	ClientID  string    `json:"clientID"`
	SessionID string    `json:"sessionID"`
	Subject   string    `json:"subject"` // as in tokens
	TokenID   string    `json:"tokenID"`
	Created   time.Time `json:"created"`
	Attempts  int       `json:"attempts,omitempty"` // that have failed
	// Next is when the next attempt is due. A replica that is about to make it moves this ahead first, by claimTime.
	Next time.Time `json:"next"`
}

var kind = store.Declare(store.Declaration[delivery]{
	Name: "logouttoken", Durable: true, Quiet: true,
	Expires: func(d *delivery) time.Time { return d.Created.Add(patience + kept) },
})

// keyOf returns the key of a delivery. A session that ends twice is told of once.
func keyOf(sessionID, clientID string) string {
	return id.Lower(id.Hash(sessionID + "\x00" + clientID))
}

// Settings are what the configuration in force says.
type Settings struct {
	Clients *client.Registry
	// Guard is for the URIs of clients that are not in the configuration file.
	Guard *outbound.Guard
}

// Config is what a Queue needs.
type Config struct {
	Store    store.Store
	Minter   *token.Minter
	Settings func() Settings
	Events   event.Sink
	Log      *slog.Logger
}

// A Queue keeps what applications have yet to be told. It is safe for concurrent use.
type Queue struct {
	cfg      Config
	table    *store.Table[delivery]
	operator *outbound.Guard // for the URIs of clients that are in the configuration file
	send     func(*outbound.Guard, *http.Request) (*http.Response, error)

	turns   turns
	woken   chan struct{}  // there may be something to do in turns
	retries chan time.Time // when an attempt that has just failed is repeated
	after   string         // where the next look goes on
	seen    int            // how many deliveries the looks since the beginning of the list have seen
	waiting atomic.Int64   // how many there were in the whole list when it was last looked through
}

// New returns the queue of a storage. Run has to be called for anything to be delivered.
func New(cfg Config) *Queue {
	return &Queue{
		cfg: cfg, table: store.In(cfg.Store, kind), operator: outbound.NewOperatorGuard(),
		send: func(g *outbound.Guard, r *http.Request) (*http.Response, error) {
			return g.NewClient(tryTimeout).Do(r)
		},
		turns:   newTurns(),
		woken:   make(chan struct{}, 1),
		retries: make(chan time.Time, mostAtOnce),
	}
}

// Ended is a session that has ended.
type Ended struct {
	SessionID string
	Subject   string   // the sub claim of its user
	ClientIDs []string // the clients that have used it
}

// Add makes sure that those of the clients that want to know are told. It returns once that is stored, and doesn't wait for the
// clients. After an error, those of some clients may not be; adding the same again is harmless.
func (q *Queue) Add(ctx context.Context, e Ended) error {
	var group errgroup.Group // without a context of its own: each client that can be told is
	group.SetLimit(addAtOnce)
	for _, clientID := range e.ClientIDs {
		group.Go(func() error { return q.add(ctx, e, clientID) })
	}
	return group.Wait()
}

// add stores a delivery, claimed by this process: it is sent at once, and nobody else looks at it meanwhile.
func (q *Queue) add(ctx context.Context, e Ended, clientID string) error {
	to, err := q.receiver(ctx, clientID)
	switch {
	case errors.Is(err, errNobody):
		return nil
	case errors.Is(err, store.ErrMisplaced):
		to = &receiver{url: &url.URL{}} // may be put right before the end
	case err != nil:
		return err
	}
	now := time.Now()
	stored, err := q.table.Create(ctx, keyOf(e.SessionID, clientID), delivery{
		ClientID: clientID, SessionID: e.SessionID, Subject: e.Subject, TokenID: uuid.NewString(), Created: now, Next: now.Add(claimTime),
	})
	if errors.Is(err, store.ErrExists) {
		return nil
	}
	if err == nil && q.turns.add(job{entry: stored, host: to.url.Host, claimed: true}) {
		q.wake()
	}
	return err
}

func (q *Queue) wake() {
	select {
	case q.woken <- struct{}{}:
	default: // somebody has done so already
	}
}

// Run delivers what is in the queue until the context ends. Then it finishes the attempts that it has begun, which takes a few
// seconds at most.
func (q *Queue) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { q.keepLooking(ctx) })
	for {
		for j, ok := q.turns.next(); ok; j, ok = q.turns.next() {
			running.Go(func() {
				q.deliver(ctx, j.entry, j.claimed)
				q.turns.done(j)
				q.wake()
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-q.woken:
		}
	}
}
