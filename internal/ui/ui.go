// Package ui shows the pages: templates, static files and themes. The built-in ones are in the folder web; the operator
// may lay a directory over them, which replaces them file by file. Templates, themes and CSS class names are a contract
// with those directories, some of which are older than this program.
//
// No page needs a script, an inline style or a data: URL, so all of them work under a strict content security policy.
package ui

import (
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"dex/internal/locale"
)

// Defaults of the configuration.
const (
	defaultIssuer  = "dex"
	defaultLogoURL = "theme/logo.png"
)

// Config is how the operator wants the pages. Its zero value means the built-in pages, light or dark as the browser
// prefers.
type Config struct {
	// Dir is a directory laid over the built-in files; empty for none. It stays open as long as the UI is in use.
	Dir string
	// Theme is the name of a folder below themes/. Built in are auto, light and dark. When it is empty, or one of the
	// old names coreos and tectonic, the theme is auto, unless Dir has themes/light, which was once the default.
	Theme string
	// LogoURL is an absolute URL, an image's data URL or a path below the issuer; theme/logo.png when empty.
	LogoURL string
	// LogoDarkURL is the logo in the dark; LogoURL when empty.
	LogoDarkURL string
	Brand       Brand
	// Issuer is the display name; dex when empty.
	Issuer string
	// Extra holds the values of the template function extra. The built-in footer links to helpURL, privacyURL and
	// termsURL.
	Extra map[string]string
	// Extras are values of Extra in other languages, by their tags.
	Extras map[string]map[string]string
	// Languages are those that pages may be in; the built-in ones when nil.
	Languages *locale.Catalog
	// IssuerPath is the path of the issuer URL, such as /dex; empty or / for none.
	IssuerPath string
	// Unchecked leaves out the check that all pages can be shown. A preview says of each page by itself what is wrong.
	Unchecked bool
	// Origin is the scheme and host of the issuer URL, to tell our own links from others.
	Origin string
}

// A UI renders pages and serves their files. It is safe for concurrent use.
type UI struct {
	cfg       Config
	log       *slog.Logger
	templates *template.Template
	static    *assets
	theme     *assets
	robots    *assets
	logo      string
	logoDark  string // where browsers prefer the dark; empty if it is no other
	ownLogo   bool
	ownIcon   bool
	needs     []PolicyNeed
	dir       *webDir
	links     sync.Map                 // by asset, while all files are built in and so never change
	options   map[string]template.HTML // of the choice of a language, by the chosen one's tag
	// Whether the choice of connectors has a place for the form of one, and for the question for an e-mail address.
	showsForms, showsEmail bool
}

// New reads the templates and checks the operator's directory: whatever would break a page later is an error now. Static
// files and themes are read at each request, so that edits show without a restart.
func New(cfg Config, log *slog.Logger) (*UI, error) {
	if cfg.Issuer == "" {
		cfg.Issuer = defaultIssuer
	}
	if cfg.LogoURL == "" {
		cfg.LogoURL = defaultLogoURL
	}
	cfg.IssuerPath = strings.TrimSuffix(cfg.IssuerPath, "/")
	if cfg.Languages == nil {
		languages, err := locale.New(locale.Config{})
		if err != nil {
			return nil, err
		}
		cfg.Languages = languages
	}

	dir, err := openWebDir(cfg.Dir, cfg.Theme)
	if err != nil {
		return nil, err
	}
	if err := dir.generate(cfg.Brand); err != nil {
		return nil, errors.Join(dir.wrap(err), dir.Close())
	}
	u := &UI{
		cfg:     cfg,
		log:     log,
		dir:     dir,
		options: languageOptions(cfg.Languages.Languages()),
		static:  newAssets(cfg.IssuerPath+"/static", dir.static(), log),
		theme:   newAssets(cfg.IssuerPath+"/theme", dir.themeFiles(), log),
		robots:  newAssets(cfg.IssuerPath, dir.tree(), log),
		logo:    cfg.LogoURL,
		ownLogo: cfg.LogoURL != defaultLogoURL || dir.replaced(dir.themePath("logo.png")),
		ownIcon: dir.replaced(dir.themePath("favicon.png")),
	}
	if cfg.LogoDarkURL != "" && dir.schemes.dark {
		if dir.schemes.light {
			u.logoDark = cfg.LogoDarkURL
		} else {
			u.logo, u.ownLogo = cfg.LogoDarkURL, true
		}
	}
	if u.templates, err = parseTemplates(dir, u.functions(), u.asset, log); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	u.needs = u.policyNeeds(dir) // before a template is executed, which changes it, as is the next line
	u.showsForms, u.showsEmail = u.usesField(loginView.template, "Form"), u.usesField(loginView.template, "Email")
	if !cfg.Unchecked && dir.custom != nil { // our own templates are checked by a test
		if err := u.checkPages(); err != nil {
			return nil, errors.Join(dir.wrap(err), dir.Close())
		}
	}
	u.report(dir)
	return u, nil
}

// Close closes the operator's directory. Nothing may be shown any more.
func (u *UI) Close() error { return u.dir.Close() }

// report logs what operators may not expect.
func (u *UI) report(dir *webDir) {
	if missing := dir.missing(); len(missing) > 0 {
		u.log.Info("frontend directory is incomplete: built-in files are used for the rest",
			"dir", dir.path, "theme", dir.theme, "builtin", strings.Join(missing, " "))
	}
	for _, logo := range [][2]string{{"logoURL", u.cfg.LogoURL}, {"logoDarkURL", u.cfg.LogoDarkURL}} {
		if set, name, ok := u.assetFile(logo[1]); ok && !set.exists(name) {
			u.log.Warn("frontend."+logo[0]+" names a file that does not exist", logo[0], logo[1])
		}
	}
}

// Static serves the folder static, below the issuer path. It takes the whole path, or the rest if the prefix was
// stripped.
func (u *UI) Static() http.Handler { return u.static }

// Theme serves the chosen theme's files as theme, below the issuer path, with or without the prefix.
func (u *UI) Theme() http.Handler { return u.theme }

// Robots serves robots.txt at whatever path the caller mounts it.
func (u *UI) Robots() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.robots.serve(w, r, robotsFile)
	})
}

// assetFile splits an asset's path below the issuer, such as static/main.css, into its set and its name there.
func (u *UI) assetFile(asset string) (set *assets, name string, ok bool) {
	folder, name, ok := strings.Cut(strings.TrimPrefix(asset, "/"), "/")
	if !ok || isAbsoluteURL(asset) {
		return nil, "", false
	}
	switch folder {
	case "static":
		return u.static, name, true
	case "theme":
		return u.theme, name, true
	}
	return nil, "", false
}
