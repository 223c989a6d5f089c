package main

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
)

//go:embed templates static
var files embed.FS

// pages are the parsed templates by file name. Each is layout.html with the
// page's own content in it.
type pages map[string]*template.Template

func parsePages() (pages, error) {
	layout, err := template.ParseFS(files, "templates/layout.html")
	if err != nil {
		return nil, fmt.Errorf("parsing the layout: %w", err)
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("listing the templates: %w", err)
	}
	parsed := pages{}
	for _, name := range names {
		page, err := layout.Clone()
		if err != nil {
			return nil, fmt.Errorf("copying the layout: %w", err)
		}
		if parsed[path.Base(name)], err = page.ParseFS(files, name); err != nil {
			return nil, fmt.Errorf("parsing a page: %w", err)
		}
	}
	return parsed, nil
}

// view is what layout.html shows around a page.
type view struct {
	Title    string
	Issuer   string
	ClientID string
	User     *userView // nil if nobody is signed in
	Nav      []navItem
	Page     any
}

// navItem is a link to a page of this program.
type navItem struct {
	Path    string
	Name    string
	Current bool
}

// render writes a page. On error nothing was written.
func (a *app) render(w http.ResponseWriter, r *http.Request, status int, name, title string, page any) error {
	user, last := a.sessions.find(w, r).tokens()
	content := view{
		Title:    title,
		Issuer:   a.provider.metadata.Issuer,
		ClientID: a.clientID,
		User:     newUserView(user, a.now()),
		Nav:      a.nav(r.URL.Path, last != nil),
		Page:     page,
	}
	var out bytes.Buffer
	if err := a.pages[name].ExecuteTemplate(&out, "layout.html", content); err != nil {
		return fmt.Errorf("rendering %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // a browser that went away needs no answer
	return nil
}

// nav lists the pages that work with this provider and session.
func (a *app) nav(current string, hasTokens bool) []navItem {
	items := []navItem{{Path: "/", Name: "Start"}}
	if hasTokens {
		items = append(items, navItem{Path: "/tokens", Name: "Tokens"})
	}
	if a.provider.metadata.supportsGrant("refresh_token") {
		items = append(items, navItem{Path: "/grant/refresh", Name: "Refresh"})
	}
	if a.provider.supportsDevices() {
		items = append(items, navItem{Path: "/grant/device", Name: "Device"})
	}
	if a.provider.oidc.UserInfoEndpoint() != "" {
		items = append(items, navItem{Path: "/tools/userinfo", Name: "UserInfo"})
	}
	for i := range items {
		// The answer to a form counts as the page with the form.
		items[i].Current = items[i].Path == current || items[i].Path == "/tools"+current
	}
	return items
}

// errorPage is the data of error.html.
type errorPage struct {
	Title, Detail     string
	Code, Description string
}

func (a *app) showError(w http.ResponseWriter, r *http.Request, e *pageError) {
	page := errorPage{Title: e.title, Detail: e.detail, Code: e.code, Description: e.description}
	if err := a.render(w, r, e.status, "error.html", e.title, page); err != nil {
		a.log.Error("error page failed", "error", err)
		http.Error(w, e.title, e.status)
	}
}

func serveStatic(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=300")
	http.ServeFileFS(w, r, files, "static/"+r.PathValue("file"))
}
