package saml

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// A provider is what is known about the identity provider: from the settings, which win, and from its metadata. It is safe
// for concurrent use.
type provider struct {
	config   Config
	pinned   *watched[certificates] // nil: those of the metadata count
	metadata *metadata              // nil if none is configured
	log      *slog.Logger

	mu     sync.Mutex
	warned time.Time // when the log last had a warning about certificates that expire
}

func (c *Config) openProvider(log *slog.Logger) (*provider, error) {
	p := &provider{config: *c, log: log}
	var err error
	switch {
	case c.InsecureSkipSignatureValidation:
		p.pinned = constant[certificates](nil)
	case len(c.CAData) > 0:
		var all certificates
		all, err = parseCertificates(c.CAData)
		p.pinned = constant(all)
	case c.CA != "":
		p.pinned, err = watch(log, parseFirst(parseCertificates), c.CA)
	}
	if err != nil {
		return nil, fmt.Errorf("certificates of the provider: %w", err)
	}
	p.metadata, err = c.openMetadata(log)
	return p, err
}

// pinsCertificates reports whether the settings say which certificates count.
func (c *Config) pinsCertificates() bool {
	return c.InsecureSkipSignatureValidation || c.CA != "" || len(c.CAData) > 0
}

// known is what is known about the provider at one moment.
type known struct {
	issuer       string // empty if it does not matter
	sso          endpoint
	slo          endpoint // for requests for a logout; without an address if there is none
	sloAnswers   endpoint // for answers to the provider's own
	certificates certificates
	told         *description // from the metadata; nil without it
}

// An endpoint is where messages are sent, and how.
type endpoint struct {
	address string
	binding string // bindingPost or bindingRedirect
}

// now returns what is known. If metadata is configured, it fails without a valid document, or if that lacks something needed.
func (p *provider) now(ctx context.Context) (known, error) {
	k := known{
		issuer:     p.config.SSOIssuer,
		sso:        endpoint{p.config.SSOURL, cmp.Or(p.config.Binding, bindingPost)},
		slo:        endpoint{p.config.SLOURL, bindingRedirect},
		sloAnswers: endpoint{p.config.SLOURL, bindingRedirect},
	}
	if p.pinned != nil {
		k.certificates = p.pinned.current()
	}
	if p.metadata == nil {
		return k, nil
	}
	told, err := p.metadata.now(ctx)
	if err != nil {
		return known{}, err
	}
	return p.complete(k, told)
}

// complete fills in from the metadata what the settings don't say.
func (p *provider) complete(k known, told *description) (known, error) {
	k.told = told
	k.issuer = cmp.Or(k.issuer, told.entityID)
	if p.pinned == nil {
		k.certificates = told.certificates
	}
	if k.sso.address == "" {
		var found bool
		if k.sso, found = pick(told.sso, p.config.Binding); !found {
			return known{}, fmt.Errorf("the metadata has no SingleSignOnService with the binding %s",
				cmp.Or(p.config.Binding, "post or redirect"))
		}
	}
	if k.slo.address == "" {
		k.slo, k.sloAnswers = pickRedirect(told.slo), pickRedirect(told.sloAnswers)
	}
	return k, nil
}

// pickRedirect returns the first endpoint that takes redirects, or else any; one without an address if there is none.
func pickRedirect(all []endpoint) endpoint {
	e, found := pick(all, bindingRedirect)
	if !found {
		e, _ = pick(all, "")
	}
	return e
}

// pick returns the first endpoint with a binding. If the binding is empty, any will do, post first.
func pick(all []endpoint, binding string) (endpoint, bool) {
	for _, e := range all {
		if e.binding == cmp.Or(binding, bindingPost) {
			return e, true
		}
	}
	if binding == "" && len(all) > 0 {
		return all[0], true
	}
	return endpoint{}, false
}

// probe returns nil if a response signed now would be accepted, as far as can be told.
func (p *provider) probe(ctx context.Context) error {
	if p.metadata != nil {
		if err := p.metadata.refresh(ctx); err != nil {
			return err
		}
	}
	k, err := p.now(ctx)
	if err != nil {
		return err
	}
	if p.config.InsecureSkipSignatureValidation {
		return nil
	}
	now := time.Now()
	if slices.Contains(p.config.InsecureAccept, acceptExpired) && len(k.certificates) > 0 {
		return nil
	}
	if warning := k.certificates.expiry(now); warning != "" && p.mayWarn(now) {
		p.log.WarnContext(ctx, warning)
	}
	return k.certificates.check(now)
}

// mayWarn reports whether the last warning was at least a day ago.
func (p *provider) mayWarn(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.warned.IsZero() && now.Sub(p.warned) < 24*time.Hour {
		return false
	}
	p.warned = now
	return true
}

// renew reads the certificates again after a signature was refused, because the provider may have a new key. It reports
// whether anything has changed.
func (p *provider) renew(ctx context.Context, used known) bool {
	if p.pinned != nil {
		return p.pinned.renew()
	}
	return p.metadata != nil && p.metadata.renew(ctx, used.told)
}

// close ends idle connections. A read under way finishes.
func (p *provider) close() {
	if p.metadata != nil && p.metadata.client != nil {
		p.metadata.client.CloseIdleConnections()
	}
}
