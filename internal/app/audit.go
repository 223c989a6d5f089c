package app

import (
	"context"
	"net/http"
	"slices"

	"dex/internal/audit"
	"dex/internal/config"
	"dex/internal/outbound"
	"dex/internal/server"
)

// openAudit opens the audit, which is nil if none is kept.
func (c *Core) openAudit() error {
	a := c.cfg.Audit
	if a == nil {
		return nil
	}
	var err error
	c.audit, err = audit.Open(audit.Config{
		PersonalData: audit.PersonalData(a.PersonalData), Key: []byte(a.Key), Required: a.Required, Version: c.opts.Version,
		Outputs: auditOutputs(a.Outputs),
	}, c.log)
	if err != nil {
		return err
	}
	c.metrics.Registry().MustRegister(c.audit)
	if c.audit.Required() {
		c.health.Add("audit", func(context.Context) error { return c.audit.Blocked() })
	}
	return nil
}

func auditOutputs(configured []config.AuditOutput) []audit.Output {
	outputs := make([]audit.Output, len(configured))
	for i, o := range configured {
		outputs[i] = audit.Output{
			Type: o.Type, Path: o.Path, MaxSize: int64(o.MaxSize), MaxFiles: o.MaxFiles, Address: o.Address, RootCA: o.RootCA,
			Facility: slices.Index(config.SyslogFacilities, o.Facility), AppName: o.AppName, Endpoint: o.Endpoint, Headers: o.Headers,
		}
	}
	return outputs
}

// unrecorded are the routes that are served although an audit that is required can't record anything: they give nothing out that is
// not public, or take something away, or only say what is known already.
var unrecorded = []string{
	"/", "/keys", "/healthz", "/robots.txt", "/token/introspect", "/token/revoke", "/userinfo", "/language",
	"/.well-known/", "/static/", "/theme/", "/saml/", "/logout", "/logout/", "/session/check",
}

// recorded makes routes refuse requests while the audit is required and can't record what would come of them. Whatever is not
// in the list of those that need no record is among them, so that a new route is.
func (c *Core) recorded(routes []server.Route, unavailable func(http.ResponseWriter, *http.Request, int)) []server.Route {
	if !c.audit.Required() {
		return routes
	}
	for i, r := range routes {
		if listed(unrecorded, r.Pattern) {
			continue
		}
		refuse := r.Error
		if refuse == nil {
			refuse = unavailable
		}
		routes[i].Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if c.audit.Blocked() != nil { // the log and the health tell of it
				w.Header().Set("Retry-After", "10")
				refuse(w, req, http.StatusServiceUnavailable)
				return
			}
			r.Handler.ServeHTTP(w, req)
		})
	}
	return routes
}

func (p *Plan) checkAuditFiles() config.Problems {
	if p.Config.Audit == nil {
		return nil
	}
	var found config.Problems
	for i, o := range p.Config.Audit.Outputs {
		if o.RootCA == "" {
			continue
		}
		if err := outbound.CheckRootCA(o.RootCA); err != nil {
			found = append(found, p.fileProblem(config.Item("audit.outputs", i)+".rootCA", "", err))
		}
	}
	return found
}
