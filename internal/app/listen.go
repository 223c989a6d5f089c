package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dex/internal/server"
	"dex/internal/telemetry"
)

// openCertificate reads the certificate of the HTTPS listener, if there is one.
func (c *Core) openCertificate() (*server.Certificate, error) {
	if c.cfg.Web.HTTPS == "" {
		return nil, nil
	}
	cert, err := server.NewCertificate(c.cfg.Web.TLSCert, c.cfg.Web.TLSKey, c.log)
	if err != nil {
		return nil, fmt.Errorf("web.tlsCert, web.tlsKey: %w", err)
	}
	return cert, nil
}

// showCertificates has operators see when the certificates of the listeners end.
func (c *Core) showCertificates() {
	all := map[string]*server.Certificate{} // by their files: one may be for several listeners
	if c.grpc != nil && c.grpc.certificate != nil {
		all[c.cfg.GRPC.TLSCert] = c.grpc.certificate
	}
	if c.rest != nil && c.rest.certificate != nil {
		all[c.cfg.API.TLSCert] = c.rest.certificate
	}
	if c.web != nil {
		all[c.cfg.Web.TLSCert] = c.web
	}
	for file, certificate := range all {
		c.showCertificate(file, certificate)
	}
}

func (c *Core) showCertificate(file string, certificate *server.Certificate) {
	c.metrics.Registry().MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "dex_certificate_not_after_timestamp_seconds",
		Help:        "When the certificate of a listener ends.",
		ConstLabels: prometheus.Labels{"file": file},
	}, func() float64 { return float64(certificate.NotAfter().Unix()) }))
}

// telemetry returns what the listener for operators serves.
func (c *Core) telemetry() http.Handler {
	endpoints := telemetry.Endpoints{
		Metrics: c.metrics, Health: c.health, Profiling: c.cfg.Telemetry.EnableProfiling,
	}.Handler()
	if c.cfg.API.Telemetry {
		return c.withREST(endpoints)
	}
	return endpoints
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
func (c *Core) listenForOperators(ctx context.Context) error {
	addr := c.cfg.Telemetry.HTTP
	if addr == "" {
		return nil
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o, bound := &operators{cancel: cancel, ended: make(chan struct{})}, make(chan struct{})
	all := server.Group{Log: c.log, DrainTimeout: operatorsDrain, Listeners: []server.Listener{{
		Name: "telemetry", Key: "telemetry.http", Address: addr, Handler: c.telemetry(),
		Timeouts: server.Timeouts{Write: 10 * time.Minute}, // profiles take as long as they are asked to
		OnBound: func(address net.Addr) {
			c.bound("telemetry")(address)
			close(bound)
		},
	}}}
	go func() {
		defer close(o.ended)
		o.err = all.Serve(serving)
	}()
	select {
	case <-bound:
		c.operators = o
		return nil
	case <-o.ended:
		cancel()
		return o.err
	}
}

// whileOperatorsAreServed returns a context that also ends when the listener for operators fails.
func (c *Core) whileOperatorsAreServed(ctx context.Context) context.Context {
	if c.operators == nil {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		select {
		case <-c.operators.ended:
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

// listeners returns what browsers, applications and callers of the management API over HTTP talk to.
func (c *Core) listeners(ctx context.Context) ([]server.Listener, error) {
	web := c.Handler()
	var all []server.Listener
	if c.rest != nil {
		all = append(all, c.restListener(ctx))
	}
	if addr := c.cfg.Web.HTTP; addr != "" {
		all = append(all, server.Listener{
			Name: "http", Key: "web.http", Address: addr, Handler: web, OnBound: c.bound("http"),
		})
	}
	if c.web == nil {
		return all, nil
	}
	tlsConfig, err := c.web.TLSConfig(c.cfg.Web.TLSMinVersion, c.cfg.Web.TLSMaxVersion)
	if err != nil {
		return nil, fmt.Errorf("web.tlsMinVersion, web.tlsMaxVersion: %w", err)
	}
	all = append(all, server.Listener{
		Name: "https", Key: "web.https", Address: c.cfg.Web.HTTPS, Handler: web, TLS: tlsConfig, OnBound: c.bound("https"),
	})
	return all, nil
}

func (c *Core) bound(listener string) func(net.Addr) {
	return func(address net.Addr) {
		if c.opts.Bound != nil {
			c.opts.Bound(listener, address)
		}
	}
}

// ReloadCertificate reads the certificates of the listeners again, if there are any.
func (c *Core) ReloadCertificate(ctx context.Context) {
	if c.grpc != nil {
		c.grpc.reload(ctx)
	}
	if c.rest != nil {
		c.rest.reload(ctx)
	}
	if c.web == nil {
		return
	}
	if err := c.web.Reload(); err != nil {
		c.log.ErrorContext(ctx, "reload TLS config", "err", err)
	}
}
