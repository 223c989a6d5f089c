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

// inline is the source of what stands in the page itself.
const inline = "'unsafe-inline'"

// LogoKey is the setting of the logo.
const LogoKey = "frontend.logoURL"

// largestStyle bounds how much of a style sheet is looked at, in bytes.
const largestStyle = 1 << 20

// A PolicyNeed is what a file of the operator's needs and the default Content-Security-Policy forbids. Browsers leave it
// out, and say so only to developers.
type PolicyNeed struct {
	File string // within the operator's directory, or LogoKey
	// Directives are those of the policy, each with the sources that it lacks: style-src 'unsafe-inline'; font-src data:
	Directives string
}

// PolicyNeeds returns what the default policy forbids of the operator's pages, by file. Of scripts it knows only where they
// come from, and not what they do.
func (u *UI) PolicyNeeds() []PolicyNeed { return u.needs }

// policyNeeds reads the templates, which have to be as they were parsed, and the style sheets.
func (u *UI) policyNeeds(dir *webDir) []PolicyNeed {
	needs := policyFinder{self: u.cfg.Origin, found: make(map[string]map[string][]string)}
	needs.link(LogoKey, "img-src", u.cfg.LogoURL)
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
			if text, err := readStyle(dir.custom, file); err == nil { // else it is nothing that could be shown
				needs.style(file, text)
			}
		}
	}
	return needs.list()
}

// usedTemplates returns the templates of all pages, and those that they include. A directory that was made for upstream
// may have pages that there are not.
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
	for _, sample := range u.samples() {
		use(sample.template)
	}
	return slices.Collect(maps.Values(used))
}

// styleSheets returns the style sheets below a folder. In a volume of Kubernetes they are links into hidden folders.
func styleSheets(files fs.FS, folder string) []string {
	var names []string
	_ = fs.WalkDir(files, folder, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil: // what can't be read was an error before
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

// permitted are the sources of the default policy (server/headers.go). All other directives have none.
var permitted = map[string][]string{
	"style-src":  {"'self'"},
	"script-src": {"'self'"},
	"font-src":   {"'self'"},
	"img-src":    {"'self'", "https:", "data:"},
}

// link adds the source of what is loaded from a link, unless it is permitted.
func (p *policyFinder) link(file, directive, link string) {
	source, scheme := p.source(strings.TrimSpace(link))
	if allowed := permitted[directive]; !slices.Contains(allowed, source) && !slices.Contains(allowed, scheme) {
		p.add(file, directive, source)
	}
}

// source returns the source that stands for a link, and that for all of its scheme.
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

// page looks at a template as if all of its branches were shown.
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

// plain returns the text of a template. In place of an action there is the absolute link in it, or else just something.
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

func linkOf(pipe *parse.PipeNode) string {
	link := "x"
	inspectPipe(pipe, func(n parse.Node) {
		if s, ok := n.(*parse.StringNode); ok && isAbsoluteURL(s.Text) {
			link = s.Text
		}
	})
	return link
}
