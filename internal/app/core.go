package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"dex/internal/admin"
	"dex/internal/answer"
	"dex/internal/audit"
	"dex/internal/client"
	"dex/internal/code"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/grant"
	"dex/internal/limit"
	"dex/internal/logout/backchannel"
	"dex/internal/mail"
	"dex/internal/policy"
	"dex/internal/refresh"
	"dex/internal/resource"
	"dex/internal/seal"
	"dex/internal/server"
	"dex/internal/store"
	"dex/internal/telemetry"
	"dex/internal/token"
	"dex/internal/turn"
)

// Options are what does not come from the configuration.
type Options struct {
	Version string
	Log     *slog.Logger
	// Input is what Reload reads the configuration from; without a file there is nothing to reload.
	Input Input
	// Watch reloads the configuration when its files change.
	Watch bool
	// Bound is told where each listener listens; nil for nobody.
	Bound func(listener string, address net.Addr)
	// Events are subscribers to events besides the log and the metrics.
	Events []event.Sink
	// WrapStore puts something around the storage, such as faults; nil leaves it as it is.
	WrapStore func(store.Store) store.Store
	// WrapPolicy puts something around the policy, such as a record of what it is asked; nil leaves it as it is.
	WrapPolicy func(policy.Decider) policy.Decider
}

// A Core is what lives as long as the process: storage, keys, telemetry and listeners, what this process has counted and
// answered, and what it remembers of the storage. What depends on the rest of the configuration is an Edition.
type Core struct {
	plan   *Plan          // of the start, which says what can't change later
	cfg    *config.Config // the plan's
	opts   Options
	log    *slog.Logger
	issuer *url.URL

	store    store.Store
	writes   *store.Writes // the same
	answers  *answer.Ledger
	upstream token.Upstream
	signer   signer
	ring     *seal.Ring
	revoked  *token.Revocations
	groups   *token.Groups
	codes    *code.Codes
	families *refresh.Families
	turns    grant.Turns // of users whose sources are asked at a refresh
	limits   *limit.Set
	places   *places          // that requests are served in
	replicas *limit.Replicas  // that share the limits
	clients  *client.Registry // of the storage alone
	users    *local.Users     // likewise
	sources  *federation.Pool
	// logoutTokens are what applications have yet to be told; nobody delivers them before sessions are on
	logoutTokens *backchannel.Queue
	mails        *mail.Queue
	// resources are what custom resources of Kubernetes say; nil where nobody looks at them.
	resources *resource.Watcher
	caches    []func(store.Change)
	// roomSweeps are those of the kinds that say OwnSweep.
	roomSweeps []roomSweep

	sessionsOn   chan struct{} // closed once sessions have been on
	withSessions sync.Once

	adminTokens *admin.Tokens
	reviews     *admin.Reviews // of service accounts' tokens
	grpc        *grpcListener  // nil if there is none
	rest        *adminTLS      // of the management API over HTTP; nil if it has no listener of its own

	metrics   *telemetry.Metrics
	traces    *telemetry.Traces // nil where they go nowhere
	audit     *audit.Audit      // nil if none is kept
	events    event.Sink        // to the log, the metrics and the subscribers of the options
	health    *telemetry.Health
	web       *server.Certificate // of the HTTPS listener; nil if there is none
	operators *operators          // nil where telemetry has no listener

	edition  atomic.Pointer[Edition] // in force
	reloads  *reloads
	applying chan struct{}  // held while another one is made
	ending   sync.WaitGroup // of those that were in force before
}

// New opens what a plan needs. Close must be called at the end.
func New(ctx context.Context, p *Plan, opts Options) (*Core, error) {
	c := &Core{
		plan: p, cfg: p.Config, opts: opts, log: opts.Log, places: newPlaces(),
		applying: make(chan struct{}, 1), sessionsOn: make(chan struct{}),
	}
	c.reloads = newReloads(c, p)
	c.metrics = telemetry.NewMetrics(c.opts.Version)
	c.health = telemetry.NewHealth(c.log)
	err := c.openAudit() //nolint:contextcheck // the outputs live as long as the process, and end with Close
	c.events = event.NewFan(c.log, append([]event.Sink{telemetry.NewEventLog(c.log), c.metrics, c.audit}, opts.Events...)...)
	if err == nil {
		err = c.openTraces(ctx)
	}
	if err == nil {
		// Operators are answered first: to open the storage, and to import what upstream has there, may take minutes.
		err = c.listenForOperators(ctx)
	}
	if err == nil {
		err = c.open(ctx, p)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close()) //nolint:contextcheck // bounds its waits itself
	}
	return c, nil
}

func (c *Core) open(ctx context.Context, p *Plan) error {
	var err error
	if c.issuer, err = url.Parse(c.cfg.Issuer); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	c.log.InfoContext(ctx, "config issuer", "issuer", c.cfg.Issuer)
	if c.web, err = c.openCertificate(); err != nil {
		return err
	}
	if c.grpc, err = c.prepareGRPC(); err != nil {
		return err
	}
	if c.rest, err = c.prepareREST(); err != nil {
		return err
	}
	c.showCertificates()
	pages, err := c.openPages(p)
	if err != nil {
		return err
	}
	if err := c.openStorage(ctx, p); err != nil {
		return err
	}
	if c.signer, err = c.openSigner(ctx); err != nil {
		return err
	}
	if c.ring, err = seal.Open(ctx, c.store, sealedFor(p)); err != nil {
		return err
	}
	c.revoked = token.NewRevocations(c.store, p.longestTokens())
	c.groups = token.NewGroups(c.store)
	c.codes = code.New(c.store, c.cfg.Expiry.AuthCodes, c.cfg.Expiry.AuthCodeReuseInterval, c.answers, time.Now)
	c.openSessions()
	c.openMails()
	c.openLimits()
	if err := c.openResources(ctx); err != nil {
		return err
	}
	c.openCatalogs()
	c.showHealth()
	e, err := newEdition(ctx, c, p, pages)
	if err != nil {
		return errors.Join(err, pages.Close())
	}
	c.serveBy(e)
	e.announce(ctx)
	if e.cfg.Flags.ContinueOnConnectorFailure {
		return nil // they are opened beside serving
	}
	return e.connectors.CheckAll(ctx)
}

// openCatalogs opens the stored clients, users and connectors.
func (c *Core) openCatalogs() {
	lowest := c.resources.Layers()
	hashes := turn.ForHashes()
	c.clients = client.NewRegistry(nil, c.store, c.limits, c.log).InLine(hashes).Over(lowest.Clients)
	c.users = local.NewUsers(nil, c.store, c.log).InLine(hashes).Over(lowest.Users)
	c.sources = federation.NewPoolOver(lowest.Connectors, c.store, c.issuer, c.log, c.events).WithLogout(c.cfg.SessionsOn())
	c.adminTokens = admin.NewTokens(c.store, c.events, time.Now)
	c.reviews = admin.NewReviews(c.connectCluster, c.cfg.API.ServiceAccountAudience)
	c.caches = append(c.caches, c.clients.Forget, c.users.Forget, c.sources.Forget)
	if c.resources != nil {
		c.caches = append(c.caches, c.resources.Forget)
	}
}

// serveBy puts an edition in force.
func (c *Core) serveBy(e *Edition) {
	c.answers.TellAfter(e.cfg.Expiry.RefreshTokens.ReuseInterval)
	c.sources.Use(e.connectors)
	c.edition.Store(e)
	if e.cfg.SessionsOn() {
		c.withSessions.Do(func() { close(c.sessionsOn) })
	}
	if c.resources != nil {
		c.resources.Reconsider()
	}
}

// Handler returns what both web listeners serve. Each request is served whole by the edition that is in force when it comes.
func (c *Core) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := c.enter()
		defer e.leave()
		e.handler.ServeHTTP(w, r)
	})
}

// enter returns the edition in force for a request, which has to leave it.
func (c *Core) enter() *Edition {
	for {
		if e := c.edition.Load(); e.enter() {
			return e
		}
	}
}

// Close frees what New opened. Neither a request nor Apply may be under way.
func (c *Core) Close() error {
	var errs []error
	if e := c.edition.Load(); e != nil {
		errs = append(errs, e.pages.Close())
	}
	c.ending.Wait()
	if c.sources != nil {
		errs = append(errs, c.sources.Close())
	}
	if c.reviews != nil {
		c.reviews.Close()
	}
	if c.store != nil {
		if err := c.store.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close storage: %w", err))
		}
	}
	c.closeTraces()
	if c.operators != nil {
		errs = append(errs, c.operators.stop())
	}
	errs = append(errs, c.audit.Close()) // last: nothing happens any more
	return errors.Join(errs...)
}
