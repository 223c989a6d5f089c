package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dex/internal/config"
	"dex/internal/server"
	"dex/internal/telemetry"
	"dex/internal/ui"
)

// openCertificate reads the certificate of the HTTPS listener, if there is one.
func (a *App) openCertificate() (*server.Certificate, error) {
	if a.cfg.Web.HTTPS == "" {
		return nil, nil
	}
	c, err := server.NewCertificate(a.cfg.Web.TLSCert, a.cfg.Web.TLSKey, a.log)
	if err != nil {
		return nil, fmt.Errorf("web.tlsCert, web.tlsKey: %w", err)
	}
	return c, nil
}

// showCertificate has operators see when the certificate ends.
func (a *App) showCertificate() {
	if a.web == nil {
		return
	}
	a.metrics.Registry().MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "dex_certificate_not_after_timestamp_seconds",
		Help:        "When the certificate of the HTTPS listener ends.",
		ConstLabels: prometheus.Labels{"file": a.cfg.Web.TLSCert},
	}, func() float64 { return float64(a.web.NotAfter().Unix()) }))
}

// telemetry returns what the listener for operators serves.
func (a *App) telemetry() http.Handler {
	return telemetry.Endpoints{
		Metrics: a.metrics, Health: a.health, Profiling: a.cfg.Telemetry.EnableProfiling,
	}.Handler()
}

// operatorsDrain is how long requests of operators may take when all others have ended.
const operatorsDrain = 3 * time.Second

// operators is the listener for operators. It serves from before anything else is opened until everything else has
// ended, so that probes and the last scrape of metrics find the process starting or stopping rather than gone.
type operators struct {
	cancel context.CancelFunc
	ended  chan struct{} // closed when err is set
	err    error
}

// listenForOperators begins to serve telemetry, if it has an address, and returns when that is bound.
func (a *App) listenForOperators(ctx context.Context) error {
	addr := a.cfg.Telemetry.HTTP
	if addr == "" {
		return nil
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o, bound := &operators{cancel: cancel, ended: make(chan struct{})}, make(chan struct{})
	all := server.Group{Log: a.log, DrainTimeout: operatorsDrain, Listeners: []server.Listener{{
		Name: "telemetry", Key: "telemetry.http", Address: addr, Handler: a.telemetry(),
		Timeouts: server.Timeouts{Write: 10 * time.Minute}, // profiles take as long as they are asked to
		OnBound: func(address net.Addr) {
			a.bound("telemetry")(address)
			close(bound)
		},
	}}}
	go func() {
		defer close(o.ended)
		o.err = all.Serve(serving)
	}()
	select {
	case <-bound:
		a.operators = o
		return nil
	case <-o.ended:
		cancel()
		return o.err
	}
}

// whileOperatorsAreServed returns a context that also ends when the listener for operators fails.
func (a *App) whileOperatorsAreServed(ctx context.Context) context.Context {
	if a.operators == nil {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		select {
		case <-a.operators.ended:
		case <-ctx.Done():
		}
	}()
	return ctx
}

// stop lets the requests of operators end, and returns how the listener fared. It may be called again.
func (o *operators) stop() error {
	o.cancel()
	<-o.ended
	return o.err
}

// listeners returns what browsers and applications talk to.
func (a *App) listeners() ([]server.Listener, error) {
	web, err := a.Handler()
	if err != nil {
		return nil, err
	}
	var all []server.Listener
	if addr := a.cfg.Web.HTTP; addr != "" {
		all = append(all, server.Listener{
			Name: "http", Key: "web.http", Address: addr, Handler: web, OnBound: a.bound("http"),
		})
	}
	if a.web == nil {
		return all, nil
	}
	tlsConfig, err := a.web.TLSConfig(a.cfg.Web.TLSMinVersion, a.cfg.Web.TLSMaxVersion)
	if err != nil {
		return nil, fmt.Errorf("web.tlsMinVersion, web.tlsMaxVersion: %w", err)
	}
	all = append(all, server.Listener{
		Name: "https", Key: "web.https", Address: a.cfg.Web.HTTPS, Handler: web, TLS: tlsConfig, OnBound: a.bound("https"),
	})
	return all, nil
}

func (a *App) bound(listener string) func(net.Addr) {
	return func(address net.Addr) {
		if a.opts.Bound != nil {
			a.opts.Bound(listener, address)
		}
	}
}

// reloadCertificate reads the certificate again when somebody asks for it.
func (a *App) reloadCertificate(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.opts.Reload:
			if err := a.web.Reload(); err != nil {
				a.log.ErrorContext(ctx, "reload TLS config", "err", err)
			}
		}
	}
}

func clientAddress(c config.ClientRemoteIP) (server.ClientAddress, error) {
	address := server.ClientAddress{Header: c.Header}
	for _, prefix := range c.TrustedProxies {
		p, err := netip.ParsePrefix(prefix)
		if err != nil {
			return server.ClientAddress{}, fmt.Errorf("web.clientRemoteIP.trustedProxies: %w", err)
		}
		address.TrustedProxies = append(address.TrustedProxies, p)
	}
	return address, nil
}

// errorPage shows what goes wrong outside of the rooms.
func (a *App) errorPage(w http.ResponseWriter, r *http.Request, status int) {
	page := ui.ErrorPage{RequestID: telemetry.RequestID(r.Context())}
	switch status {
	case http.StatusMethodNotAllowed:
		page.ErrMsg = "This address does not take such a request."
	case http.StatusRequestEntityTooLarge:
		page.ErrMsg = "The request is too large."
	case http.StatusRequestHeaderFieldsTooLarge:
		page.ErrMsg = "The request has a header that is too large."
		page.Hint = "Delete the cookies of this site, then try again."
	default:
		page.ErrMsg = "Something went wrong on our side."
		page.Hint = "Try again in a moment."
	}
	a.pages.Error(w, r, status, page)
}
