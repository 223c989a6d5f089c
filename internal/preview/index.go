package preview

import (
	"bytes"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"dex/internal/locale"
	"dex/internal/ui"
)

// own are the preview's own pages.
var own = template.Must(template.ParseFS(embedded, "web/templates/*.html"))

// markup marks HTML of ours.
func markup(text string) template.HTML { return template.HTML(text) } //nolint:gosec // G203: written here

// A notice is shown instead of a page.
type notice struct {
	About    string
	Reloader template.HTML
}

// show answers with one of the preview's own pages.
func show(w http.ResponseWriter, status int, name string, data any) {
	var body bytes.Buffer
	if err := own.ExecuteTemplate(&body, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, status, body.Bytes())
}

// contents is the list of all pages.
type contents struct {
	Dir, Theme string
	Language   *locale.Language
	Themes     []link
	Languages  []link
	Pages      []pageList
	Needs      []ui.PolicyNeed
	Reloader   template.HTML
}

type link struct {
	Text, URL string
	Here      bool
	Mistake   string // why the page can't be shown
}

// A pageList is the samples of a page.
type pageList struct {
	Template  string
	Own       bool
	Variables []ui.Variable
	Samples   []link
}

// index lists all pages.
func (v *visit) index(w http.ResponseWriter, r *http.Request) {
	version := v.current()
	pages, err := v.open(r)
	if err != nil {
		v.broken(w, r, err)
		return
	}
	defer v.close(pages)
	themes, theme, err := pages.Themes()
	if err != nil {
		v.broken(w, r, err)
		return
	}
	language := v.Pages.Languages.Named(r.PathValue("language"))
	c := contents{
		Dir: v.Pages.Dir, Theme: theme, Language: language, Needs: pages.PolicyNeeds(), Reloader: markup(reloader(version)),
		Pages: list(pages, inLanguage(r), base(theme, language.Tag)),
	}
	if _, ok := v.Headers["Content-Security-Policy"]; ok {
		c.Needs = nil // they are about the default
	}
	for _, name := range themes {
		c.Themes = append(c.Themes, link{Text: name, URL: address(base(name, language.Tag), ""), Here: name == theme})
	}
	for _, l := range v.Pages.Languages.Languages() {
		c.Languages = append(c.Languages, link{Text: l.Name, URL: address(base(theme, l.Tag), ""), Here: l == language})
	}
	show(w, http.StatusOK, "index.html", c)
}

// list renders every sample, to say which pages can't be shown.
func list(pages *ui.UI, r *http.Request, base string) []pageList {
	var lists []pageList
	for _, s := range pages.Samples() {
		if len(lists) == 0 || lists[len(lists)-1].Template != s.Template {
			lists = append(lists, pageList{Template: s.Template, Own: s.Own, Variables: s.Variables})
		}
		last := &lists[len(lists)-1]
		entry := link{Text: s.Name, URL: address(base, "page/"+s.Template+"/"+strings.ReplaceAll(s.Name, " ", "-"))}
		if _, err := pages.RenderSample(r, s.Template, s.Name); err != nil {
			entry.Mistake = err.Error()
		}
		last.Samples = append(last.Samples, entry)
	}
	return lists
}

func address(base, path string) string {
	u := url.URL{Path: base + "/" + path}
	return u.String()
}
