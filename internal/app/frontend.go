package app

import (
	"fmt"
	"log/slog"
	"net/url"
	"reflect"

	"dex/internal/config"
	"dex/internal/ui"
)

// openPages reads the pages of a configuration. Those of the edition in force are used again if all their files are built in.
func (c *Core) openPages(cfg *config.Config) (*ui.UI, error) {
	if e := c.edition.Load(); e != nil && cfg.Frontend.Dir == "" && reflect.DeepEqual(cfg.Frontend, e.cfg.Frontend) {
		return e.pages, nil
	}
	pages, err := newPages(cfg.Frontend, c.issuer, c.log)
	if err != nil {
		return nil, fmt.Errorf("frontend: %w", err)
	}
	if cfg.Web.Headers.ContentSecurityPolicy == nil {
		for _, need := range pages.PolicyNeeds() {
			c.log.Warn("browsers leave out parts of the pages: "+policyHint, "file", need.File, "needs", need.Directives)
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
