package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/device"
	"dex/internal/discovery"
	"dex/internal/federation"
	"dex/internal/introspection"
	"dex/internal/limit"
	"dex/internal/login"
	"dex/internal/oauth"
	"dex/internal/policy"
	"dex/internal/revocation"
	"dex/internal/seal"
	"dex/internal/server"
	"dex/internal/store"
	"dex/internal/takeover"
	"dex/internal/telemetry"
	"dex/internal/token"
	"dex/internal/ui"
	"dex/internal/userinfo"
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
	cfg   *config.Config
	opts  Options
	log   *slog.Logger
	store store.Store

	families   *token.Families
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
	swept      []string            // kinds of records that expire
	caches     []func(store.Change)
}

// New opens what a plan needs. Close must be called at the end.
func New(ctx context.Context, p *Plan, opts Options) (*App, error) {
	a := &App{cfg: p.Config, opts: opts, log: opts.Log}
	if err := a.open(ctx, p); err != nil {
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
	if err := a.openStorage(ctx, p); err != nil {
		return err
	}
	if a.signer, err = a.openSigner(ctx); err != nil {
		return err
	}
	if a.ring, err = seal.Open(ctx, a.store, a.cfg.Expiry.AuthRequests); err != nil {
		return err
	}
	a.metrics = telemetry.NewMetrics(a.opts.Version)
	a.health = telemetry.NewHealth(a.log)
	a.health.Add("storage", a.store.Ping)
	return a.wire(ctx, p)
}

// openStorage opens the storage and imports what upstream has there. The signing keys come after it: upstream's go on.
func (a *App) openStorage(ctx context.Context, p *Plan) error {
	s, err := p.openStorage(ctx, a.log)
	if err != nil {
		return err
	}
	a.store = s.Store
	if a.opts.WrapStore != nil {
		a.store = a.opts.WrapStore(a.store)
	}
	a.log.InfoContext(ctx, "config storage", "storage_type", a.cfg.Storage.Type)
	lifetimes := refreshPolicy(a.cfg)
	a.families = token.NewFamilies(a.store, lifetimes, time.Now, a.log)
	a.offline = token.NewOfflineSessions(a.store, lifetimes, time.Now)
	if s.upstream == nil {
		return nil
	}
	return takeover.Run(ctx, s.upstream, takeover.Target{
		Store: a.store, Families: a.families, Offline: a.offline, TokenLifetime: a.cfg.Expiry.IDTokens,
	}, a.log)
}

// Close frees what New opened.
func (a *App) Close() error {
	if a.store == nil {
		return nil
	}
	if err := a.store.Close(); err != nil {
		return fmt.Errorf("close storage: %w", err)
	}
	return nil
}

func (a *App) openPages() (*ui.UI, error) {
	f := a.cfg.Frontend
	pages, err := ui.New(ui.Config{
		Dir: f.Dir, Theme: f.Theme, LogoURL: f.LogoURL, Issuer: f.Issuer, Extra: f.Extra, IssuerPath: a.issuer.Path,
	}, a.log)
	if err != nil {
		return nil, fmt.Errorf("frontend: %w", err)
	}
	return pages, nil
}

// wire puts the rooms together.
func (a *App) wire(ctx context.Context, p *Plan) error {
	limits := limit.NewSet(time.Now)
	clients := client.NewRegistry(p.clients, a.store, limits)
	a.caches = append(a.caches, clients.Forget)
	for _, c := range p.clients {
		a.log.InfoContext(ctx, "config static client", "client_name", c.Name)
	}
	if err := a.wireConnectors(ctx, p); err != nil {
		return err
	}
	compatible := a.cfg.OAuth2.Compatibility
	rules := policy.New(clients, policy.Options{RefuseUnknownScopes: compatible.UnknownScopes == config.Upstream})
	codes := token.NewCodes(a.store, a.cfg.Expiry.AuthCodes, a.cfg.Expiry.AuthCodeReuseInterval, time.Now)
	revocations := token.NewRevocations(a.store, a.cfg.Expiry.IDTokens, time.Now)
	devices := token.NewDevices(a.store, a.cfg.Expiry.DeviceRequests, time.Now)
	minter := &token.Minter{
		Issuer: a.cfg.Issuer, Lifetime: a.cfg.Expiry.IDTokens, Signer: a.signer, Policy: rules, Now: time.Now,
		Profile: compatible.TokenProfile == config.Strict,
	}
	tokens := token.NewEndpoint(token.Config{
		Clients:     clients,
		Connectors:  a.connectors,
		Policy:      rules,
		Minter:      minter,
		Codes:       codes,
		Devices:     devices,
		Families:    a.families,
		Offline:     a.offline,
		Revocations: revocations,
		GrantTypes:  a.cfg.OAuth2.GrantTypes,
		Limits:      limits,
		Log:         a.log,

		PasswordConnector:   a.cfg.OAuth2.PasswordConnector,
		AnonymousDevices:    compatible.ClientChecks == config.Upstream,
		AnyExchangeAudience: compatible.ExchangeAudience == config.Upstream,
		BearerIDTokens:      compatible.TokenProfile == config.Upstream,
	})
	verifier := &token.Verifier{Issuer: a.cfg.Issuer, Keys: a.signer, Revocations: revocations, Now: time.Now}
	var forDevices *device.Endpoints // and the logins, which each need the other
	flow := login.New(login.Config{
		Issuer:           a.cfg.Issuer,
		IssuerURL:        a.issuer,
		Clients:          clients,
		Connectors:       a.connectors,
		Policy:           rules,
		Codes:            codes,
		Hints:            verifier,
		Ring:             a.ring,
		Store:            a.store,
		Pages:            a.pages,
		Log:              a.log,
		Now:              time.Now,
		RequestLifetime:  a.cfg.Expiry.AuthRequests,
		SkipApproval:     a.cfg.OAuth2.SkipApprovalScreen,
		AlwaysShowChoice: a.cfg.OAuth2.AlwaysShowLoginScreen,
		EnforcePKCE:      a.cfg.OAuth2.PKCE.Enforce,
		ChallengeMethods: a.cfg.OAuth2.PKCE.CodeChallengeMethodsSupported,
		ResponseTypes:    a.cfg.OAuth2.ResponseTypes,
		Minter:           minter,
		Devices:          devices,
		DeviceRedirect:   func(uri, state string) (string, bool) { return forDevices.Redirect(uri, state) },
		Limits:           limits,
		Redirects:        redirectRules(a.cfg),
		AnyChallenge:     compatible.ClientChecks == config.Upstream,
		PublicPKCE:       compatible.ClientChecks == config.Strict,
		OptionalNonce:    compatible.ClientChecks == config.Upstream,
		ShowFailures:     compatible.ErrorRedirects == config.Upstream,
		KeepHints:        compatible.Reauthentication == config.Upstream,
		SilentLoginAsks:  compatible.SilentLogin == config.Upstream,
		Factors:          factors(a.cfg),
		AnyBrowser:       compatible.BrowserBinding == config.Upstream,
		OnlyGrants:       onlyGrants(a.cfg),
	})
	forDevices = device.New(device.Config{
		IssuerURL: a.issuer, Clients: clients, Policy: rules, Devices: devices, Login: flow, Token: tokens, Limits: limits,
		Pages: a.pages, Log: a.log,
		Enabled:          slices.Contains(tokens.GrantTypes(), oauth.GrantDeviceCode),
		EnforcePKCE:      a.cfg.OAuth2.PKCE.Enforce,
		ChallengeMethods: a.cfg.OAuth2.PKCE.CodeChallengeMethodsSupported,
		AnyChallenge:     compatible.ClientChecks == config.Upstream,
		SecretLater:      compatible.ClientChecks == config.Upstream,
		SkipConfirmation: compatible.DeviceConfirm == config.Upstream,
	})
	published := discovery.New(discovery.Config{
		Issuer:           a.cfg.Issuer,
		IssuerURL:        a.issuer,
		Keys:             a.signer,
		GrantTypes:       grantTypes(a.cfg, tokens),
		ResponseTypes:    flow.ResponseTypes(),
		ChallengeMethods: a.cfg.OAuth2.PKCE.CodeChallengeMethodsSupported,
	})
	a.routes = a.route(rooms{
		login:     flow,
		token:     tokens,
		device:    forDevices,
		discovery: published,
		userinfo: userinfo.New(userinfo.Config{
			Verifier: verifier, Log: a.log, UserOnly: compatible.TokenProfile == config.Strict,
		}),
		revocation: revocation.New(revocation.Config{
			Clients: clients, Families: a.families, Revocations: revocations, Verifier: verifier, Log: a.log,
		}),
		introspection: introspection.New(introspection.Config{
			Issuer: a.cfg.Issuer, Clients: clients, Families: a.families, Verifier: verifier, Log: a.log,
			Open: compatible.Introspection == config.Upstream,
		}),
	})
	a.swept = []string{"device", "revoked", "request", "code", "login", "refresh", "offline", store.LeaseKind}
	return nil
}

func redirectRules(c *config.Config) client.RedirectRules {
	return client.RedirectRules{
		FixedLocalhost: c.OAuth2.Compatibility.ClientChecks == config.Upstream,
		NoOutOfBand:    c.OAuth2.Compatibility.OutOfBand == config.Strict,
	}
}

// factors returns the second factors that everybody needs unless their client says otherwise.
func factors(c *config.Config) []string {
	if c.MFA == nil {
		return nil
	}
	return c.MFA.DefaultMFAChain
}

// onlyGrants returns the grants that the authorization endpoint is held to; nil for none, as upstream has it.
func onlyGrants(c *config.Config) []string {
	if c.OAuth2.Compatibility.EndpointGrants != config.Strict {
		return nil
	}
	return c.OAuth2.GrantTypes
}

// grantTypes returns the grants that are served anywhere. Tokens come from the authorization endpoint where a response type
// has the word token.
func grantTypes(c *config.Config, tokens *token.Endpoint) []string {
	served := tokens.GrantTypes()
	hasToken := func(responseType string) bool {
		return slices.Contains(strings.Fields(responseType), oauth.ResponseToken)
	}
	if slices.Contains(c.OAuth2.GrantTypes, oauth.GrantImplicit) && slices.ContainsFunc(c.OAuth2.ResponseTypes, hasToken) {
		served = append(served, oauth.GrantImplicit)
		slices.Sort(served)
	}
	return served
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
		users := local.NewLayered(local.NewStatic(p.users), a.store)
		a.caches = append(a.caches, users.Forget)
		definitions = append(definitions, &federation.Definition{
			ID: "local", Type: "local", Name: "Email", Config: &local.Config{Users: users},
		})
	}
	a.connectors = federation.NewRegistry(definitions, a.store, a.issuer.JoinPath("callback").String(), a.log)
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
	if a.cfg.Flags.ContinueOnConnectorFailure {
		return nil // Run opens them beside serving
	}
	var failures []error
	err = a.connectors.OpenAll(ctx, func(_ string, err error) { failures = append(failures, err) })
	return errors.Join(append(failures, err)...)
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
	group.Go(func() error { a.openConnectors(background); return nil })
	group.Go(func() error { a.forget(background); return nil })
	if a.web != nil {
		group.Go(func() error { a.web.Watch(background, server.WatchInterval); return nil })
		group.Go(func() error { a.reloadCertificate(background); return nil })
	}
	a.health.SetReady(true)
	all := server.Group{
		Log: a.log, Listeners: listeners, OnDrain: func() { a.health.SetReady(false) },
	}
	err = all.Serve(ctx)
	stop()
	return errors.Join(err, group.Wait())
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
		if change.Kind != "" && change.Kind != seal.KindName {
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

// openConnectors opens the connectors ahead of the first visitor. Those that fail are tried again when they are needed.
func (a *App) openConnectors(ctx context.Context) {
	err := a.connectors.OpenAll(ctx, func(id string, err error) {
		if ctx.Err() == nil {
			a.log.ErrorContext(ctx, "server: Failed to open connector", "id", id, "err", err)
		}
	})
	if err != nil && ctx.Err() == nil {
		a.log.ErrorContext(ctx, "connectors could not be opened ahead", "err", err)
	}
}
