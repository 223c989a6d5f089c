package ui

import (
	"cmp"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"dex/internal/locale"
)

// page is what every template gets in addition to its own data.
type page struct {
	// ReqPath is the decoded path of the request, for the function url.
	ReqPath string
	// Title is the page's part of the document title; empty on the home page.
	Title string

	ui   *UI
	lang *locale.Language
	// back is the path and the query of a page that can be shown again in another language; empty where that can't be.
	back string
}

// newPage returns what every template gets, in the language of the browser. The title is a message.
func (u *UI) newPage(r *http.Request, title string) page {
	p := page{ReqPath: r.URL.Path, ui: u, lang: u.language(r)}
	p.Title = p.lang.Text(title)
	if r.Method == http.MethodGet && !u.isAnswer(r) {
		p.back = r.URL.RequestURI()
	}
	return p
}

// isAnswer reports whether a request brings the answer to a login or a logout, which works once: its page can't be shown again.
func (u *UI) isAnswer(r *http.Request) bool {
	to := strings.TrimPrefix(r.URL.Path, u.cfg.IssuerPath)
	return strings.HasPrefix(to, "/callback") || strings.HasPrefix(to, "/device/callback") || strings.HasPrefix(to, "/logout/callback")
}

// T returns a message with its names, for text.
func (p page) T(message string, args ...any) template.HTML { return p.lang.HTML(message, args...) }

// Plain returns a message with its names, for attributes.
func (p page) Plain(message string, args ...any) string { return p.lang.Text(message, args...) }

// Lang returns the tag of the page's language.
func (p page) Lang() string { return p.lang.Tag }

// Dir returns the direction in which the page's language is written.
func (p page) Dir() string { return p.lang.Direction() }

// Extra returns one of the operator's values, in the page's language if there is one.
func (p page) Extra(key string) string {
	return cmp.Or(p.ui.cfg.Extras[p.lang.Tag][key], p.ui.cfg.Extra[key])
}

// A languageChoice lets somebody read a page in another language.
type languageChoice struct {
	Action    string
	Back      string
	Languages []*locale.Language
	Chosen    string
	// Options are the option elements of the languages, ready: they are on every page, and would take half of its time.
	Options template.HTML
}

// Choice returns the languages to choose from; nil where the page can't be shown again, or there is nothing to choose.
func (p page) Choice() *languageChoice {
	offered := p.ui.cfg.Languages.Languages()
	if p.back == "" || len(offered) < 2 {
		return nil
	}
	return &languageChoice{Action: p.ui.cfg.IssuerPath + LanguagePath, Back: p.back, Languages: offered, Chosen: p.lang.Tag, Options: p.ui.options[p.lang.Tag]}
}

// languageOptions returns the option elements of the choice of a language, by the tag of the one that is chosen.
func languageOptions(languages []*locale.Language) map[string]template.HTML {
	options := make(map[string]template.HTML, len(languages))
	for _, chosen := range languages {
		var b strings.Builder
		for _, l := range languages {
			selected := ""
			if l == chosen {
				selected = " selected"
			}
			tag := template.HTMLEscapeString(l.Tag)
			fmt.Fprintf(&b, "\n        <option value=\"%s\" lang=\"%s\"%s>%s</option>", tag, tag, selected, template.HTMLEscapeString(l.Name))
		}
		options[chosen.Tag] = template.HTML(b.String()) //nolint:gosec // escaped above
	}
	return options
}
