package ui

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/Masterminds/sprig/v3"
)

// withheld are the sprig functions that reach outside the page: into the environment, which holds secrets, and onto the
// network. Templates that call them still work, but get empty text.
var withheld = []string{"env", "expandenv", "getHostByName"}

// functions is what templates may call: sprig's functions and our own.
func (u *UI) functions() template.FuncMap {
	funcs := sprig.HtmlFuncMap()
	for _, name := range withheld {
		funcs[name] = func(string) string { return "" }
	}
	maps.Copy(funcs, template.FuncMap{
		"url":    u.url,
		"extra":  func(key string) string { return u.cfg.Extra[key] },
		"issuer": func() string { return u.cfg.Issuer },
		"logo":   func() string { return u.logo },

		"asset":      u.asset,
		"branded":    func() bool { return u.cfg.Brand.Accent != "" },
		"logoDark":   func() template.Srcset { return u.srcset(u.logoDark) },
		"logoPlate":  func() bool { return u.ownLogo && u.cfg.LogoDarkURL == "" },
		"ownLogo":    func() bool { return u.ownLogo },
		"ownFavicon": func() bool { return u.ownIcon },
	})
	return funcs
}

// A templateParser collects the templates of a web directory. A template is named after its file; the operator's replace
// the built-in ones of the same name.
type templateParser struct {
	dir   *webDir
	funcs template.FuncMap
	asset func(name string) any
	set   *template.Template
}

func parseTemplates(dir *webDir, funcs template.FuncMap, asset func(string) any, log *slog.Logger) (*template.Template, error) {
	custom, err := templateFiles(dir.custom)
	if err != nil {
		return nil, dir.wrap(err)
	}
	builtin, err := templateFiles(dir.builtin)
	if err != nil {
		return nil, dir.wrap(err)
	}
	if custom, err = withoutEmptyPages(dir.custom, custom, log); err != nil {
		return nil, dir.wrap(err)
	}

	// The built-in files come first: a later definition replaces an earlier one of the same name, and any of the
	// operator's files may define a template with a built-in file's name. A built-in file whose name the operator has too
	// is not read at all, because an empty file would not replace it.
	p := &templateParser{dir: dir, funcs: funcs, asset: asset, set: template.New("").Funcs(funcs)}
	for _, name := range builtin {
		if slices.Contains(custom, name) {
			continue
		}
		if err := p.parse(dir.builtin, name); err != nil {
			return nil, dir.wrap(err)
		}
	}
	isTemplate := func(name string) bool { return path.Ext(name) == ".html" }
	for _, name := range custom {
		if !isTemplate(name) {
			continue
		}
		if err := p.parse(dir.custom, name); err != nil {
			return nil, dir.wrap(err)
		}
	}
	p.parseStrays(slices.DeleteFunc(slices.Clone(custom), isTemplate), log)
	p.warnWithheld(custom, log)
	return p.set, nil
}

// templateFiles lists the regular files of the templates folder, in order; none when the folder does not exist.
func templateFiles(files fs.FS) ([]string, error) {
	if files == nil {
		return nil, nil
	}
	entries, err := fs.ReadDir(files, templatesDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		// Not e.Type: the files of a mounted volume are links.
		if info, err := fs.Stat(files, path.Join(templatesDir, e.Name())); err == nil && info.Mode().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// withoutEmptyPages leaves out files with nothing in them that stand for a page: some were only made because upstream demands them,
// and nobody wants a blank page. The partials header.html and footer.html may be empty.
func withoutEmptyPages(files fs.FS, names []string, log *slog.Logger) ([]string, error) {
	var kept []string
	for _, name := range names {
		if slices.ContainsFunc(views, func(v *view) bool { return v.template == name }) {
			text, err := fs.ReadFile(files, path.Join(templatesDir, name))
			if err != nil {
				return nil, err
			}
			if strings.Trim(string(text), "\ufeff \t\r\n") == "" {
				log.Warn("template in the frontend's directory is empty: the built-in page is used", "file", name)
				continue
			}
		}
		kept = append(kept, name)
	}
	return kept, nil
}

// Built-in pages load the style sheet with what the operator's lacks. Their header may be the operator's, so the link follows it.
const (
	pageHeader   = `{{ template "header.html" . }}`
	fallbackLink = `<link rel="stylesheet" href="{{ asset "` + staticDir + "/" + fallbackFile + `" }}">`
)

func (p *templateParser) parse(files fs.FS, name string) error {
	text, err := fs.ReadFile(files, path.Join(templatesDir, name))
	if err != nil {
		return err
	}
	if _, needed := p.dir.made[path.Join(staticDir, fallbackFile)]; needed && files == p.dir.builtin {
		text = bytes.Replace(text, []byte(pageHeader), []byte(pageHeader+fallbackLink), 1)
	}
	if p.dir.custom == nil {
		text = p.fillIn(text)
	}
	if _, err := p.set.New(name).Parse(string(text)); err != nil {
		return fmt.Errorf("templates/%s: %w", name, suggestFunction(err, p.funcs))
	}
	return nil
}

var (
	assetCall = regexp.MustCompile(`\{\{ asset "([^"]+)" \}\}`)
	plainLink = regexp.MustCompile(`^[\w/.?=~-]+$`) // needs no escaping anywhere in a page
)

// fillIn puts the links to assets into a template once. It's for files that never change: each call takes a microsecond of
// every page.
func (p *templateParser) fillIn(text []byte) []byte {
	return assetCall.ReplaceAllFunc(text, func(call []byte) []byte {
		link := fmt.Sprint(p.asset(string(assetCall.FindSubmatch(call)[1])))
		if !plainLink.MatchString(link) {
			return call
		}
		return []byte(link)
	})
}

// parseStrays deals with the operator's files that are not named *.html. Upstream parses everything in the folder, so a
// partial may have any name: these files are parsed only if a template is included that no *.html file defines. Otherwise
// they are notes and backups, which must not replace anything.
func (p *templateParser) parseStrays(names []string, log *slog.Logger) {
	for _, name := range names {
		if len(p.undefined()) == 0 {
			log.Warn("file in the frontend's templates folder is ignored: templates are named *.html", "file", name)
			continue
		}
		if err := p.parse(p.dir.custom, name); err != nil {
			log.Warn("file in the frontend's templates folder is ignored: it is not a template", "file", name, "err", err)
		}
	}
}

// undefined lists the templates that are included somewhere and defined nowhere.
func (p *templateParser) undefined() []string {
	var names []string
	for _, t := range p.set.Templates() {
		inspect(t.Tree, func(n parse.Node) {
			if include, ok := n.(*parse.TemplateNode); ok && !p.defined(include.Name) {
				names = append(names, include.Name)
			}
		})
	}
	return names
}

func (p *templateParser) defined(name string) bool {
	t := p.set.Lookup(name)
	return t != nil && t.Tree != nil
}

// warnWithheld warns of the operator's files that call withheld functions.
func (p *templateParser) warnWithheld(custom []string, log *slog.Logger) {
	var files, functions []string
	for _, t := range p.set.Templates() {
		if t.Tree == nil || !slices.Contains(custom, t.Tree.ParseName) {
			continue
		}
		inspect(t.Tree, func(n parse.Node) {
			if call, ok := n.(*parse.IdentifierNode); ok && slices.Contains(withheld, call.Ident) {
				files = append(files, t.Tree.ParseName)
				functions = append(functions, call.Ident)
			}
		})
	}
	if len(files) > 0 {
		log.Warn("templates call functions that are switched off and return nothing",
			"files", inOrder(files), "functions", inOrder(functions))
	}
}

// inOrder joins the names, sorted and without duplicates.
func inOrder(names []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(names))), " ")
}
