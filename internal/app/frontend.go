package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"reflect"

	"dex/internal/config"
	"dex/internal/locale"
	"dex/internal/preview"
	"dex/internal/ui"
)

// openPages reads the pages of a configuration. Those of the edition in force are used again if all their files are built in.
func (c *Core) openPages(p *Plan) (*ui.UI, error) {
	pages, err := c.pagesOf(p.Config)
	if err != nil {
		return nil, err
	}
	for _, problem := range p.checkLogos(pages) {
		c.log.Warn("logo of a connector can't be shown", "problem", problem.String())
	}
	return pages, nil
}

func (c *Core) pagesOf(cfg *config.Config) (*ui.UI, error) {
	if e := c.edition.Load(); e != nil && cfg.Frontend.Dir == "" && cfg.Frontend.Messages == "" && reflect.DeepEqual(cfg.Frontend, e.cfg.Frontend) {
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

// checkLogos warns of logos of connectors that browsers can't show.
func (p *Plan) checkLogos(pages *ui.UI) config.Problems {
	var found config.Problems
	for _, d := range p.connectors {
		if d.LogoURL == "" {
			continue
		}
		needs, problem := pages.ImageNeeds(d.LogoURL), config.Problem{}
		switch {
		case !pages.HasLogo(d.LogoURL):
			problem = d.EntryProblem("logoURL", "there is no file %s in the folder of the pages (frontend.dir); a letter is shown instead", d.LogoURL)
		case needs != "" && p.Config.Web.Headers.ContentSecurityPolicy == nil:
			problem = d.EntryProblem("logoURL", "browsers show a letter instead: %s (it needs %s)", policyHint, needs)
		default:
			continue
		}
		problem.Warning = true
		found = append(found, problem)
	}
	return found
}

// policyHint says what to do about pages that the policy takes something from.
const policyHint = "the default Content-Security-Policy forbids what they need; " +
	"set web.headers.Content-Security-Policy to one that allows it, or to \"\" for none"

func newPages(f config.Frontend, issuer *url.URL, log *slog.Logger) (*ui.UI, error) {
	settings, err := pagesOf(f, issuer)
	if err != nil {
		return nil, err
	}
	return ui.New(settings, log)
}

// pagesOf returns how a configuration wants its pages.
func pagesOf(f config.Frontend, issuer *url.URL) (ui.Config, error) {
	languages, err := newLanguages(f)
	if err != nil {
		return ui.Config{}, err
	}
	return ui.Config{
		Languages: languages, Extras: f.Extras,
		Dir: f.Dir, Theme: f.Theme, LogoURL: f.Logo(), LogoDarkURL: f.Brand.LogoDarkURL, Issuer: f.DisplayName(), Extra: f.Extra,
		Brand: brandOf(f), IssuerPath: issuer.Path, Origin: issuer.Scheme + "://" + issuer.Host,
	}, nil
}

// Previewed returns what a preview shows of a configuration, which may have mistakes elsewhere.
func Previewed(cfg *config.Config) (preview.Settings, error) {
	s := preview.Settings{Headers: headers(cfg.Web.Headers)}
	if cfg.Frontend.Dir != "" {
		s.Watched = append(s.Watched, ui.Files(cfg.Frontend.Dir)...)
	}
	if cfg.Frontend.Messages != "" {
		s.Watched = append(s.Watched, cfg.Frontend.Messages)
	}
	issuer, err := url.Parse(cfg.Issuer)
	if err != nil {
		return s, fmt.Errorf("issuer: %w", err)
	}
	s.Pages, err = pagesOf(cfg.Frontend, issuer)
	if err, ok := errors.AsType[*errLanguages](err); ok {
		return s, fmt.Errorf("%s: %w", err.key, err)
	}
	return s, err
}

func brandOf(f config.Frontend) ui.Brand {
	return ui.Brand{Accent: f.Brand.Accent, AccentDark: f.Brand.AccentDark}
}

// checkBrand checks the operator's colours.
func (p *Plan) checkBrand() config.Problems {
	f := p.Config.Frontend
	if f.Brand.Accent == "" {
		return nil
	}
	if accent, bad := errors.AsType[*ui.AccentError](ui.CheckBrand(brandOf(f), f.Theme)); bad {
		return config.Problems{p.Config.File.Problem("frontend.brand."+accent.Key, "%s", accent.Reason)}
	}
	return nil
}

// errLanguages says that the settings about languages can't be used.
type errLanguages struct {
	key string
	err error
}

func (e *errLanguages) Error() string { return e.err.Error() }

func (e *errLanguages) Unwrap() error { return e.err }

// newLanguages reads the languages that pages may be in. The error is an *errLanguages.
func newLanguages(f config.Frontend) (*locale.Catalog, error) {
	cfg := locale.Config{Default: f.Language, Offered: f.Languages}
	if f.Messages != "" {
		cfg.Messages = os.DirFS(f.Messages)
	}
	languages, err := locale.New(cfg)
	if err == nil {
		return languages, nil
	}
	unknown, isUnknown := errors.AsType[*locale.UnknownError](err)
	switch {
	case !isUnknown:
		return nil, &errLanguages{"frontend.messages", err}
	case unknown.Tag == f.Language:
		return nil, &errLanguages{"frontend.language", err}
	}
	return nil, &errLanguages{"frontend.languages", err}
}
