package app

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"dex/internal/config"
	"dex/internal/event"
	"dex/internal/login"
)

// Apply puts another configuration in force. Requests under way end as they began, by the one before, which is let go when the
// last of them has ended. Connectors whose settings stay the same stay open. If it returns an error, nothing has changed.
//
// What is open for as long as the process lives, such as the listeners, stays as it is: the log names the keys that differ
// there. Only another issuer is an error, as all that was given out so far, and what providers send back, names the old one.
func (c *Core) Apply(ctx context.Context, p *Plan) error {
	select {
	case c.applying <- struct{}{}:
		defer func() { <-c.applying }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if from, to := c.cfg.Issuer, p.Config.Issuer; from != to {
		return fmt.Errorf("issuer: can't change from %s to %s without a restart", from, to)
	}
	next, err := c.prepare(ctx, p)
	if err != nil {
		return err
	}
	c.outlast(p)
	before := c.edition.Load()
	c.serveBy(next)
	next.applied(ctx, before)
	before.leave()
	return nil
}

// prepare makes an edition beside the one in force.
func (c *Core) prepare(ctx context.Context, p *Plan) (*Edition, error) {
	pages, err := c.openPages(p)
	if err != nil {
		return nil, err
	}
	e, err := newEdition(ctx, c, p, pages)
	if err != nil {
		return nil, errors.Join(err, pages.Close())
	}
	if p.Config.Flags.ContinueOnConnectorFailure {
		return e, nil
	}
	if err := e.connectors.CheckAdded(ctx); err != nil {
		return nil, errors.Join(err, e.end())
	}
	return e, nil
}

// outlast makes keys, and what refuses tokens, last for the lifetimes of a configuration.
func (c *Core) outlast(p *Plan) {
	longest := p.longestTokens()
	c.signer.Outlast(longest)
	c.revoked.Outlast(longest)
	c.ring.Outlast(sealedFor(p))
}

// sealedFor returns how long what is sealed into browsers, links and opaque access tokens is of use.
func sealedFor(p *Plan) time.Duration {
	c := p.Config
	longest := max(c.Expiry.AuthRequests, linksFor(c), p.longestTokens(), login.KnownFor)
	if !c.SessionsOn() {
		return longest
	}
	return max(longest, c.Sessions.AbsoluteLifetime)
}

// applied tells how the edition differs from the one before.
func (e *Edition) applied(ctx context.Context, before *Edition) {
	connectors, added := e.connectors.Size()
	connectorsBefore, _ := before.connectors.Size()
	kept := connectors - added
	differs := changes(before.plan, e.plan)
	e.core.events.Emit(ctx, event.ConfigurationApplied{
		Clients: len(e.plan.clients), Users: len(e.plan.users),
		ConnectorsAdded: added, ConnectorsKept: kept, ConnectorsClosed: connectorsBefore - kept,
		Changed: differs.Keys, ClientChanges: differs.Clients, UserChanges: differs.Users, ConnectorChanges: differs.Connectors,
	})
	if keys := e.core.plan.fixed(e.plan); len(keys) > 0 {
		e.core.log.WarnContext(ctx, "settings that differ from those of the start take effect after a restart only", "keys", keys)
	}
}

// fixed returns the keys that another plan has other values for, and that can't change while the process lives. The issuer is
// not among them.
func (p *Plan) fixed(other *Plan) []string {
	a, b := p.Config, other.Config
	values := []struct {
		key  string
		a, b any
	}{
		{"storage.type", a.Storage.Type, b.Storage.Type},
		{"storage.config", p.backend.settings, other.backend.settings},
		{"storage.keyFile", a.Storage.KeyFile, b.Storage.KeyFile},
		{"web.http", a.Web.HTTP, b.Web.HTTP},
		{"web.https", a.Web.HTTPS, b.Web.HTTPS},
		{"web.tlsCert", a.Web.TLSCert, b.Web.TLSCert},
		{"web.tlsKey", a.Web.TLSKey, b.Web.TLSKey},
		{"web.tlsMinVersion", a.Web.TLSMinVersion, b.Web.TLSMinVersion},
		{"web.tlsMaxVersion", a.Web.TLSMaxVersion, b.Web.TLSMaxVersion},
		{"grpc.addr", a.GRPC.Addr, b.GRPC.Addr},
		{"grpc.tlsCert", a.GRPC.TLSCert, b.GRPC.TLSCert},
		{"grpc.tlsKey", a.GRPC.TLSKey, b.GRPC.TLSKey},
		{"grpc.tlsClientCA", a.GRPC.TLSClientCA, b.GRPC.TLSClientCA},
		{"grpc.tlsMinVersion", a.GRPC.TLSMinVersion, b.GRPC.TLSMinVersion},
		{"grpc.tlsMaxVersion", a.GRPC.TLSMaxVersion, b.GRPC.TLSMaxVersion},
		{"grpc.reflection", a.GRPC.Reflection, b.GRPC.Reflection},
		{"api.addr", a.API.Addr, b.API.Addr},
		{"api.tlsCert", a.API.TLSCert, b.API.TLSCert},
		{"api.tlsKey", a.API.TLSKey, b.API.TLSKey},
		{"api.tlsClientCA", a.API.TLSClientCA, b.API.TLSClientCA},
		{"api.tlsMinVersion", a.API.TLSMinVersion, b.API.TLSMinVersion},
		{"api.tlsMaxVersion", a.API.TLSMaxVersion, b.API.TLSMaxVersion},
		{"api.telemetry", a.API.Telemetry, b.API.Telemetry},
		{"api.serviceAccountAudience", a.API.ServiceAccountAudience, b.API.ServiceAccountAudience},
		{"api.kubeConfigFile", a.API.KubeConfigFile, b.API.KubeConfigFile},
		{"telemetry.http", a.Telemetry.HTTP, b.Telemetry.HTTP},
		{"telemetry.enableProfiling", a.Telemetry.EnableProfiling, b.Telemetry.EnableProfiling},
		{"telemetry.traces", a.Telemetry.Traces, b.Telemetry.Traces},
		{"logger.level", a.Logger.Level, b.Logger.Level},
		{"logger.format", a.Logger.Format, b.Logger.Format},
		{"logger.excludeFields", a.Logger.ExcludeFields, b.Logger.ExcludeFields},
		{"audit", a.Audit, b.Audit},
		{"kubernetes.resources", a.Kubernetes.Resources, b.Kubernetes.Resources},
		{signerKey(a, b), signerSettings(a), signerSettings(b)},
		{"oauth2.compatibility.keyPublication", a.OAuth2.Compatibility.KeyPublication, b.OAuth2.Compatibility.KeyPublication},
	}
	var keys []string
	for _, v := range values {
		if !reflect.DeepEqual(v.a, v.b) {
			keys = append(keys, v.key)
		}
	}
	return keys
}

// signerSettings returns how signing keys are made, or where they are.
func signerSettings(c *config.Config) any {
	if vault, ok := c.VaultSigning(); ok {
		return vault
	}
	return c.LocalSigning()
}

// signerKey returns the key whose change makes these settings differ.
func signerKey(a, b *config.Config) string {
	if a.Signer == nil && b.Signer == nil {
		return "expiry.signingKeys"
	}
	return "signer"
}
