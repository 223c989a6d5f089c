package ui

import (
	"io"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"text/template/parse"

	"golang.org/x/net/html"
)

// inline is the source of styles and scripts in the page itself.
const inline = "'unsafe-inline'"

// Configuration keys of logos. frontend.brand.logoURL may stand for the first one.
const (
	LogoKey     = "frontend.logoURL"
	LogoDarkKey = "frontend.brand.logoDarkURL"
)

// largestStyle bounds how much of a style sheet is read, in bytes.
const largestStyle = 1 << 20

// A PolicyNeed is what one of the operator's files loads although the default Content-Security-Policy forbids it. Browsers
// block it, and say so only in their developer tools.
type PolicyNeed struct {
	File string // within the operator's directory, or LogoKey
	// Directives are those of the policy, each with its missing sources: style-src 'unsafe-inline'; font-src data:
	Directives string
}

// PolicyNeeds returns, by file, what the operator's pages load although the default policy forbids it. It knows where
// scripts come from, but not what they load.
func (u *UI) PolicyNeeds() []PolicyNeed { return u.needs }

// ImageNeeds returns the directive that the default policy lacks for an image; empty if browsers may load it.
func (u *UI) ImageNeeds(link string) (directive string) {
	needs := policyFinder{self: u.cfg.Origin, found: make(map[string]map[string][]string)}
	needs.link("", "img-src", link)
	for _, need := range needs.list() {
		directive = need.Directives
	}
	return directive
}

// policyNeeds reads the templates, which must not have been executed yet, and the style sheets.
func (u *UI) policyNeeds(dir *webDir) []PolicyNeed {
	needs := policyFinder{self: u.cfg.Origin, found: make(map[string]map[string][]string)}
	needs.link(LogoKey, "img-src", u.cfg.LogoURL)
	needs.link(LogoDarkKey, "img-src", u.cfg.LogoDarkURL)
	if dir.custom == nil {
		return needs.list()
	}
	for _, t := range u.usedTemplates() {
		if file := path.Join(templatesDir, t.ParseName); dir.customised(file) {
			needs.page(file, t)
		}
	}
	for _, folder := range []string{staticDir, path.Join(themesDir, dir.theme)} {
		for _, file := range styleSheets(dir.custom, folder) {
			if text, err := readStyle(dir.custom, file); err == nil { // what can't be read can't be shown either
				needs.style(file, text)
			}
		}
	}
	return needs.list()
}

// usedTemplates returns the templates of all pages, and those that they include. A directory made for upstream may have
// pages that we don't.
func (u *UI) usedTemplates() []*parse.Tree {
	used := make(map[string]*parse.Tree)
	var use func(name string)
	use = func(name string) {
		t := u.templates.Lookup(name)
		if t == nil || t.Tree == nil || used[name] != nil {
			return
		}
		used[name] = t.Tree
		inspect(t.Tree, func(n parse.Node) {
			if include, ok := n.(*parse.TemplateNode); ok {
				use(include.Name)
			}
		})
	}
	for _, v := range views {
		use(v.template)
	}
	return slices.Collect(maps.Values(used))
}

// styleSheets returns the style sheets below a folder. In a Kubernetes volume they are links into hidden folders.
func styleSheets(files fs.FS, folder string) []string {
	var names []string
	_ = fs.WalkDir(files, folder, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil: // unreadable files were reported before
		case e.IsDir() && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case path.Ext(name) == ".css":
			names = append(names, name)
		}
		return nil //nolint:nilerr // see above
	})
	return names
}

func readStyle(files fs.FS, name string) (string, error) {
	f, err := files.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, largestStyle))
	return string(text), err
}

// A policyFinder gathers what files need.
type policyFinder struct {
	self  string                         // the issuer's origin
	found map[string]map[string][]string // sources by file and directive
}

func (p *policyFinder) list() []PolicyNeed {
	var needs []PolicyNeed
	for _, file := range slices.Sorted(maps.Keys(p.found)) {
		var directives []string
		for _, name := range slices.Sorted(maps.Keys(p.found[file])) {
			sources := slices.Compact(slices.Sorted(slices.Values(p.found[file][name])))
			directives = append(directives, name+" "+strings.Join(sources, " "))
		}
		needs = append(needs, PolicyNeed{File: file, Directives: strings.Join(directives, "; ")})
	}
	return needs
}

func (p *policyFinder) add(file, directive, source string) {
	if p.found[file] == nil {
		p.found[file] = make(map[string][]string)
	}
	p.found[file][directive] = append(p.found[file][directive], source)
}

// permitted are the sources in the default policy (server/headers.go). All other directives have none.
var permitted = map[string][]string{
	"style-src":  {"'self'"},
	"script-src": {"'self'"},
	"font-src":   {"'self'"},
	"img-src":    {"'self'", "https:", "data:"},
}

// link adds the source of a link, unless it is permitted.
func (p *policyFinder) link(file, directive, link string) {
	source, scheme := p.source(strings.TrimSpace(link))
	if allowed := permitted[directive]; !slices.Contains(allowed, source) && !slices.Contains(allowed, scheme) {
		p.add(file, directive, source)
	}
}

// source returns the source expressions for a link and for its whole scheme.
func (p *policyFinder) source(link string) (source, scheme string) {
	if strings.HasPrefix(link, "//") {
		link = "https:" + link
	}
	u, err := url.Parse(link)
	if err != nil || u.Scheme == "" {
		return "'self'", ""
	}
	scheme = u.Scheme + ":"
	switch origin := scheme + "//" + u.Host; {
	case u.Host == "":
		return scheme, scheme
	case strings.EqualFold(origin, p.self):
		return "'self'", ""
	default:
		return origin, scheme
	}
}

// page looks at a template with all of its branches.
func (p *policyFinder) page(file string, t *parse.Tree) {
	tokens := html.NewTokenizer(strings.NewReader(plain(t)))
	element := ""
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			return
		case html.StartTagToken, html.SelfClosingTagToken:
			tag := tokens.Token()
			element = tag.Data
			p.tag(file, tag)
		case html.TextToken:
			if element == "style" {
				p.style(file, tokens.Token().Data)
			}
		case html.EndTagToken:
			element = ""
		default: // comments and the document type need nothing
		}
	}
}

// plain returns the text of a template. Each action is replaced by the absolute link in it, or by a placeholder.
func plain(t *parse.Tree) string {
	var text strings.Builder
	inspect(t, func(n parse.Node) {
		switch n := n.(type) {
		case *parse.TextNode:
			text.Write(n.Text)
		case *parse.ActionNode:
			if len(n.Pipe.Decl) == 0 { // else it prints nothing
				text.WriteString(linkOf(n.Pipe))
			}
		}
	})
	return text.String()
}

// someLink stands for links that only the page knows.
const someLink = "x"

func linkOf(pipe *parse.PipeNode) string {
	link := someLink
	inspectPipe(pipe, func(n parse.Node) {
		if s, ok := n.(*parse.StringNode); ok && isAbsoluteURL(s.Text) {
			link = s.Text
		}
	})
	return link
}
