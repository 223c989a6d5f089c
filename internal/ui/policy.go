package ui

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A blocked file needs what the default content security policy does not allow.
type blocked struct {
	name  string
	needs []string // each with the directive that would have to allow it
}

const inlineScript = "inline script (script-src)"

var script = regexp.MustCompile(`(?i)<script([^>]*)>`)

// hasScript reports whether a template has a script in it, and not only one that it loads, or data that nothing runs.
func hasScript(text string) bool {
	return slices.ContainsFunc(script.FindAllStringSubmatch(text, -1), func(m []string) bool {
		attributes := strings.ToLower(m[1])
		return !strings.Contains(attributes, "src") && !strings.Contains(attributes, "json")
	})
}

// needs are what to look for in templates and style sheets. It is a look, not a parser: templates are no HTML yet.
var needs = []struct {
	form *regexp.Regexp
	what string
}{
	{regexp.MustCompile(`(?i)<style[\s>]|<[a-z][^>]*\sstyle\s*=`), "inline style (style-src)"},
	{regexp.MustCompile(`(?i)<[a-z][^>]*\son[a-z]+\s*=|(?:href|src|action)\s*=\s*["']?\s*javascript:`), inlineScript},
	{regexp.MustCompile(`(?i)<script[^>]*\ssrc\s*=\s*["']?(?:https?:)?//`), "a script of another host (script-src)"},
	{regexp.MustCompile(`(?i)<link[^>]*\shref\s*=\s*["']?(?:https?:)?//|@import\s*(?:url\()?\s*["']?(?:https?:)?//`), "a style sheet of another host (style-src)"},
	{regexp.MustCompile(`(?i)<img[^>]*\ssrc\s*=\s*["']?http://`), "an image without https (img-src)"},
	{regexp.MustCompile(`(?i)url\(\s*["']?(?:https?:)?//[^)]*\.(?:woff2?|ttf|otf|eot)`), "a font of another host (font-src)"},
	{regexp.MustCompile(`(?i)<iframe[\s>]`), "a frame (frame-src)"},
}

// blocked finds the operator's templates and style sheets that will look or work otherwise than they were made for.
func (d *webDir) blocked() []blocked {
	if d.custom == nil {
		return nil
	}
	var found []blocked
	for _, folder := range []string{templatesDir, staticDir, path.Join(themesDir, d.theme)} {
		_ = fs.WalkDir(d.custom, folder, func(name string, _ fs.DirEntry, err error) error { // what can't be read was reported
			if ext := path.Ext(name); err != nil || ext != ".html" && ext != ".css" {
				return nil //nolint:nilerr // as above
			}
			text, err := fs.ReadFile(d.custom, name)
			if err != nil {
				return nil //nolint:nilerr // as above
			}
			f := blocked{name: name}
			for _, n := range needs {
				if n.form.Match(text) {
					f.needs = append(f.needs, n.what)
				}
			}
			if hasScript(string(text)) && !slices.Contains(f.needs, inlineScript) {
				f.needs = append(f.needs, inlineScript)
			}
			if len(f.needs) > 0 {
				found = append(found, f)
			}
			return nil
		})
	}
	return found
}
