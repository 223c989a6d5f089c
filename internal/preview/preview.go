// Package preview shows the pages with made-up contents to whoever designs them: every page in every state, in all themes and
// languages, under the headers that the real server sends. Everything is read anew for each request, and the browser loads the
// page again when a file has changed.
package preview

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"dex/internal/server"
	"dex/internal/ui"
)

//go:embed web
var embedded embed.FS

// Addresses of the preview's own. All others are /THEME/LANGUAGE and what the server has below its issuer.
const (
	ownPath     = "/_preview/"
	versionPath = ownPath + "version"
)

// Settings are what the pages are made of.
type Settings struct {
	Pages   ui.Config         // IssuerPath and Unchecked are the preview's
	Headers map[string]string // override the security headers by name; an empty value leaves one out
	// Watched are files and folders. When one changes, browsers load their page again. They need not exist.
	Watched []string
}

// A Preview is a handler that shows the pages.
type Preview struct {
	read func() (Settings, error)
	log  *slog.Logger
}

// New returns a preview. It calls read for each request; with an error, read still returns what is watched.
func New(read func() (Settings, error), log *slog.Logger) *Preview { return &Preview{read, log} }

// ServeHTTP answers with the headers of the real server.
func (p *Preview) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	settings, err := p.read()
	v := &visit{Settings: settings, err: err, log: p.log}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /{$}", v.begin)
	routes.HandleFunc("GET "+versionPath, v.version)
	routes.HandleFunc("GET "+ownPath+"{file}", ownFile)
	routes.HandleFunc("GET /{theme}/{language}/{$}", v.index)
	routes.HandleFunc("GET /{theme}/{language}/page/{template}/{sample}", v.page)
	for _, script := range leaving {
		routes.HandleFunc("GET /{theme}/{language}/static/"+script, idle)
	}
	routes.HandleFunc("GET /{theme}/{language}/static/", v.asset((*ui.UI).Static))
	routes.HandleFunc("GET /{theme}/{language}/theme/", v.asset((*ui.UI).Theme))
	routes.HandleFunc("GET /{theme}/{language}"+ui.LanguagePath, v.language)
	routes.HandleFunc("/", v.elsewhere)
	server.New(server.Options{
		Issuer: &url.URL{Path: "/"}, Log: p.log, Headers: settings.Headers, NotFound: guard(routes),
	}, nil).ServeHTTP(w, r)
}

// guard refuses requests from this machine that are for another one's name: a stranger's site could have its name lead here, and
// read the operator's files through the operator's browser.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok && to.IP.IsLoopback() && !isLocal(r.Host) {
			http.Error(w, "The preview is at http://"+to.String(), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLocal(host string) bool {
	u := url.URL{Host: host}
	name := strings.ToLower(u.Hostname())
	ip := net.ParseIP(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
}

// ownFile serves the style sheet and the script of the preview itself.
func ownFile(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeFileFS(w, r, embedded, path.Join("web/static", r.PathValue("file"))) //nolint:gosec // G703: embedded files only
}

var errNoLanguage = errors.New("there is no language")

// A visit is a request, and the settings at its time.
type visit struct {
	Settings
	err error // of reading the settings
	log *slog.Logger
}

// open reads the pages in the theme and the language of an address.
func (v *visit) open(r *http.Request) (*ui.UI, error) {
	if v.err != nil {
		return nil, v.err
	}
	cfg := v.Pages
	cfg.Unchecked = true
	if theme := r.PathValue("theme"); theme != "" {
		cfg.Theme = theme
		cfg.IssuerPath = base(theme, r.PathValue("language"))
		if cfg.Languages.Named(r.PathValue("language")) == nil {
			return nil, fmt.Errorf("%w %q", errNoLanguage, r.PathValue("language"))
		}
	}
	return ui.New(cfg, slog.New(slog.DiscardHandler))
}

// base is where the pages in a theme and a language are.
func base(theme, language string) string { return "/" + theme + "/" + language }

// close closes the pages.
func (v *visit) close(pages *ui.UI) {
	if err := pages.Close(); err != nil {
		v.log.Warn("pages can't be closed", "err", err)
	}
}

// begin leads to the pages as the settings have them.
func (v *visit) begin(w http.ResponseWriter, r *http.Request) {
	pages, err := v.open(r)
	if err != nil {
		v.broken(w, r, err)
		return
	}
	defer v.close(pages)
	_, theme, err := pages.Themes()
	if err != nil {
		v.broken(w, r, err)
		return
	}
	language := v.Pages.Languages.Choose(r.Header.Get("Accept-Language"))
	to := url.URL{Path: base(theme, language.Tag) + "/"}
	http.Redirect(w, r, to.String(), http.StatusFound)
}

// page shows one page.
func (v *visit) page(w http.ResponseWriter, r *http.Request) {
	version := v.current() // before the page is made: what changes meanwhile is noticed
	pages, err := v.open(r)
	if err != nil {
		v.broken(w, r, err)
		return
	}
	defer v.close(pages)
	body, err := pages.RenderSample(inLanguage(r), r.PathValue("template"), strings.ReplaceAll(r.PathValue("sample"), "-", " "))
	switch {
	case err != nil:
		v.broken(w, r, err)
	case body == nil:
		v.elsewhere(w, r)
	default:
		send(w, http.StatusOK, append(body, reloader(version)...))
	}
}

// inLanguage returns a request of a browser that wishes for the language of the address, and for no other.
func inLanguage(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.Header = http.Header{"Accept-Language": {r.PathValue("language")}}
	return r
}

// reloader is the script that loads a page again. It stands behind the page, as templates may lack any place for it.
func reloader(version string) string {
	return `<script src="` + ownPath + `reload.js" data-version="` + version + `"></script>` + "\n"
}

func send(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // G705: html/template has made it. It fails only if the browser has left
}

// asset serves a static file or one of a theme.
func (v *visit) asset(of func(*ui.UI) http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		pages, err := v.open(r)
		if err != nil { // which the page says already
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer v.close(pages)
		of(pages).ServeHTTP(w, r)
	}
}

// leaving are the scripts that leave their page as soon as it is there: nobody could look at it.
var leaving = []string{"form_post.js", "logout_frames.js"}

// idle is there instead of such a script.
func idle(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	_, _ = io.WriteString(w, "// The preview stays on the page.\n") // fails only if the browser has left
}

// language leads to the same page in another language: it is where the choice at the foot of the pages leads.
func (v *visit) language(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	theme, from := r.PathValue("theme"), base(r.PathValue("theme"), r.PathValue("language"))
	back, err := url.Parse(query.Get("back"))
	if err != nil || strings.Contains(theme, "/") || !strings.HasPrefix(back.Path, from+"/") { // a theme with a slash could be a host
		v.elsewhere(w, r)
		return
	}
	to := url.URL{Path: base(theme, query.Get("to")) + strings.TrimPrefix(back.Path, from)}
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

// elsewhere answers for everything that the preview doesn't have. A form leaves its page where it is.
func (v *visit) elsewhere(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	show(w, http.StatusNotFound, "elsewhere.html", notice{About: r.URL.Path, Reloader: ""})
}

// broken says what is wrong until it is mended.
func (v *visit) broken(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, ui.ErrNoTheme) || errors.Is(err, errNoLanguage) {
		status = http.StatusNotFound
	}
	show(w, status, "broken.html", notice{About: err.Error(), Reloader: markup(reloader(v.current()))})
}
