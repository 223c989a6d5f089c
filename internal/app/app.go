package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"dex/internal/answer"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/seal"
	"dex/internal/server"
	"dex/internal/store"
	"dex/internal/takeover"
	"dex/internal/telemetry"
	"dex/internal/token"
	"dex/internal/ui"
)

// Options are what does not come from the configuration.
type Options struct {
	Version string
	Log     *slog.Logger
	// Reload makes the TLS certificate be read again at once; nil for none.
	Reload <-chan struct{}
	// Bound is told where each listener listens; nil for nobody.
	Bound func(listener string, address net.Addr)
	// WrapStore puts something around the storage, such as faults; nil leaves it as it is.
	WrapStore func(store.Store) store.Store
}

// An App is a server put together and not yet listening.
type App struct {
	cfg    *config.Config
	opts   Options
	log    *slog.Logger
	store  store.Store
	writes *store.Writes // the same

	answers    *answer.Ledger
	families   *token.Families
	upstream   token.Upstream
	offline    *token.OfflineSessions
	signer     signer
	ring       *seal.Ring
	connectors *federation.Registry
	pages      *ui.UI
	metrics    *telemetry.Metrics
	health     *telemetry.Health
	routes     []server.Route
	issuer     *url.URL
	web        *server.Certificate // of the HTTPS listener; nil if there is none
	caches     []func(store.Change)
	operators  *operators // nil where telemetry has no listener
}

// New opens what a plan needs. Close must be called at the end.
func New(ctx context.Context, p *Plan, opts Options) (*App, error) {
	a := &App{cfg: p.Config, opts: opts, log: opts.Log}
	a.metrics = telemetry.NewMetrics(a.opts.Version)
	a.health = telemetry.NewHealth(a.log)
	// Operators are answered first: to open the storage, and to import what upstream has there, may take minutes.
	err := a.listenForOperators(ctx)
	if err == nil {
		err = a.open(ctx, p)
	}
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *App) open(ctx context.Context, p *Plan) error {
	var err error
	if a.issuer, err = url.Parse(a.cfg.Issuer); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	a.log.InfoContext(ctx, "config issuer", "issuer", a.cfg.Issuer)
	if a.pages, err = a.openPages(); err != nil {
		return err
	}
	if a.web, err = a.openCertificate(); err != nil {
		return err
	}
	a.showCertificate()
	if err := a.openStorage(ctx, p); err != nil {
		return err
	}
	if a.signer, err = a.openSigner(ctx); err != nil {
		return err
	}
	if a.ring, err = seal.Open(ctx, a.store, a.cfg.Expiry.AuthRequests); err != nil {
		return err
	}
	a.health.Add("storage", a.store.Ping)
	a.health.Add("storage/writes", a.writes.Check)
	return a.wire(ctx, p)
}

// openStorage opens the storage and imports what upstream has there. The signing keys come after it: upstream's go on.
func (a *App) openStorage(ctx context.Context, p *Plan) error {
	a.health.Starting("opening the storage")
	s, err := p.openStorage(ctx, a.log)
	if err != nil {
		return err
	}
	a.store = s.Store
	if a.opts.WrapStore != nil {
		a.store = a.opts.WrapStore(a.store)
	}
	a.writes = store.WatchWrites(a.store)
	a.store = a.writes
	a.log.InfoContext(ctx, "config storage", "storage_type", a.cfg.Storage.Type)
	lifetimes := refreshPolicy(a.cfg)
	a.answers = answer.New(a.store, time.Now, a.log)
	a.families = token.NewFamilies(a.store, lifetimes, a.answers, time.Now, a.log)
	a.offline = token.NewOfflineSessions(a.store, lifetimes, time.Now)
	if s.upstream != nil {
		err = takeover.Run(ctx, s.upstream, takeover.Target{
			Store: a.store, Families: a.families, Offline: a.offline, TokenLifetime: a.cfg.Expiry.IDTokens,
			Progress: a.health.Starting,
		}, a.log)
	}
	if err != nil {
		return err
	}
	a.upstream, err = takeover.Tokens(ctx, a.store)
	return err
}

// Close frees what New opened.
func (a *App) Close() error {
	var errs []error
	if a.connectors != nil {
		errs = append(errs, a.connectors.Close())
	}
	if a.store != nil {
		if err := a.store.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close storage: %w", err))
		}
	}
	if a.operators != nil {
		errs = append(errs, a.operators.stop())
	}
	return errors.Join(errs...)
}

func (a *App) openPages() (*ui.UI, error) {
	pages, err := newPages(a.cfg.Frontend, a.issuer, a.log)
	if err != nil {
		return nil, fmt.Errorf("frontend: %w", err)
	}
	if a.cfg.Web.Headers.ContentSecurityPolicy == nil {
		for _, need := range pages.PolicyNeeds() {
			a.log.Warn("browsers leave out parts of the pages: "+policyHint, "file", need.File, "needs", need.Directives)
		}
	}
	return pages, nil
}

// policyHint says what to do about pages that the policy takes something from.
const policyHint = "the default Content-Security-Policy forbids what they need; " +
	"set web.headers.Content-Security-Policy to one that allows it, or to \"\" for none"

func newPages(f config.Frontend, issuer *url.URL, log *slog.Logger) (*ui.UI, error) {
	return ui.New(ui.Config{
		Dir: f.Dir, Theme: f.Theme, LogoURL: f.LogoURL, Issuer: f.Issuer, Extra: f.Extra, IssuerPath: issuer.Path,
		Origin: issuer.Scheme + "://" + issuer.Host,
	}, log)
}

// wire puts the rooms together.
func (a *App) wire(ctx context.Context, p *Plan) error {
	for _, c := range p.clients {
		a.log.InfoContext(ctx, "config static client", "client_name", c.Name)
	}
	if err := a.wireConnectors(ctx, p); err != nil {
		return err
	}
	a.routes = a.route(a.furnish(a.share(p)))
	return nil
}

func refreshPolicy(c *config.Config) token.Policy {
	r := c.Expiry.RefreshTokens
	return token.Policy{
		Rotate:            !r.DisableRotation,
		ReuseInterval:     r.ReuseInterval,
		ValidIfNotUsedFor: r.ValidIfNotUsedFor,
		AbsoluteLifetime:  r.AbsoluteLifetime,
	}
}

// wireConnectors makes the registry of connectors, which has to have one.
func (a *App) wireConnectors(ctx context.Context, p *Plan) error {
	definitions := slices.Clone(p.connectors)
	if a.cfg.EnablePasswordDB {
		users := local.NewUsers(p.users, a.store, a.log)
		a.caches = append(a.caches, users.Forget)
		definitions = append(definitions, &federation.Definition{
			ID: "local", Type: "local", Name: "Email", Config: &local.Config{
				Users: users, Cost: local.HashCost(a.cfg.PasswordHashCost, p.users), Lower: a.cfg.PasswordHashCost != 0,
			},
		})
	}
	a.connectors = federation.NewRegistry(definitions, a.store, a.issuer, a.log)
	a.caches = append(a.caches, a.connectors.Forget)
	all, err := a.connectors.List(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("connectors: " + noConnector)
	}
	for _, d := range all {
		a.log.InfoContext(ctx, "config connector", "connector_id", d.ID)
	}
	a.showConditions(p)
	if a.cfg.Flags.ContinueOnConnectorFailure {
		return nil // Run opens them beside serving
	}
	return a.connectors.CheckAll(ctx)
}

// showConditions has operators see how the connectors fare, and which users were left out. Neither makes the server
// unhealthy: to take all replicas out of service would lock out everybody else too.
func (a *App) showConditions(p *Plan) {
	a.metrics.Registry().MustRegister(a.connectors.Metrics())
	started := time.Now()
	a.metrics.Registry().MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "dex_clock_behind_seconds",
		Help: "How far this clock is behind that of another replica; 0 while they agree.",
	}, func() float64 { return a.answers.Behind().Seconds() }))
	a.health.Show(func() []telemetry.Condition {
		shown := []telemetry.Condition{a.clock()}
		for _, u := range p.unusable {
			shown = append(shown, telemetry.Condition{
				Name: u.Key, Checked: started, Err: errors.New(u.String()), Failures: 1, Since: started,
			})
		}
		for _, h := range a.connectors.Health() {
			shown = append(shown, telemetry.Condition{
				Name: "connector/" + h.ID, Checked: h.Checked, Took: h.Took, Err: h.Err, Failures: h.Failures, Since: h.Since,
			})
		}
		return shown
	})
}

// clock is the condition of this replica's clock.
func (a *App) clock() telemetry.Condition {
	c := telemetry.Condition{Name: "clock", Checked: time.Now()}
	if behind := a.answers.Behind(); behind > 0 {
		c.Err, c.Failures = fmt.Errorf("this clock is %v behind that of another replica", behind.Round(time.Second)), 1
		c.Since = c.Checked
	}
	return c
}

// Run listens and serves until the context ends, then lets what is under way finish. It returns nil after a clean end.
func (a *App) Run(ctx context.Context) error {
	listeners, err := a.listeners()
	if err != nil {
		return err
	}
	// What runs beside the listeners goes on while they drain.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var group errgroup.Group
	group.Go(func() error { a.signer.Run(background); return nil })
	group.Go(func() error { a.health.Run(background); return nil })
	group.Go(func() error { a.maintain(background); return nil })
	group.Go(func() error { a.connectors.Run(background); return nil })
	group.Go(func() error { a.forget(background); return nil })
	group.Go(func() error { a.answers.Run(background); return nil })
	if a.web != nil {
		group.Go(func() error { a.web.Watch(background, server.WatchInterval); return nil })
		group.Go(func() error { a.reloadCertificate(background); return nil })
	}
	a.health.SetReady(true)
	all := server.Group{
		Log: a.log, Listeners: listeners, OnDrain: func() { a.health.SetReady(false) },
	}
	err = all.Serve(a.whileOperatorsAreServed(ctx))
	stop()
	err = errors.Join(err, group.Wait())
	if a.operators != nil {
		err = errors.Join(err, a.operators.stop())
	}
	return err
}

// forget makes the caches forget what this or another replica has changed.
func (a *App) forget(ctx context.Context) {
	changes, ok := a.watch(ctx)
	if !ok {
		return
	}
	change := store.Change{} // what changed before the watch began
	for open := true; open; change, open = <-changes {
		for _, forget := range a.caches {
			forget(change)
		}
		if change.Kind != "" && change.Kind != seal.Kind.Name() {
			continue
		}
		if err := a.ring.Reload(ctx); err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "sealing keys could not be read again", "err", err)
		}
	}
}

// watch begins to watch the storage, as soon as it can be reached; false when the context ends first. Until then the
// caches forget by their age.
func (a *App) watch(ctx context.Context) (<-chan store.Change, bool) {
	for {
		changes, err := a.store.Watch(ctx)
		if err == nil {
			return changes, true
		}
		if ctx.Err() == nil {
			a.log.ErrorContext(ctx, "storage can't be watched", "retry_in", longestWait, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, false
		case <-time.After(longestWait):
		}
	}
}
