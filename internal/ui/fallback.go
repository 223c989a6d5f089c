package ui

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// fallbackFile has, in the folder static, what the operator's main.css lacks for the built-in pages: it may be made for pages of an
// older release, or upstream's.
const fallbackFile = "fallback.css"

// generate makes the files that depend on the configuration. It reads the operator's style sheets as they are now: later edits show
// at once, but may need another start for what depends on them.
func (d *webDir) generate(b Brand) error {
	own, err := fs.ReadFile(d.builtin, path.Join(staticDir, mainStyles))
	if err != nil {
		return err
	}
	d.made[path.Join(staticDir, mainStyles)] = d.versioned(own)
	if d.replaced(path.Join(staticDir, mainStyles)) {
		if err := d.addFallback(string(own)); err != nil {
			return err
		}
	}
	return d.addBrand(b)
}

// builtinLink finds the links to pictures in main.css.
var builtinLink = regexp.MustCompile(`url\("([^":]+)"\)`)

// versioned adds versions to the links in main.css, as the pages' links have them. Links to the operator's files stay without,
// since their edits show without a restart.
func (d *webDir) versioned(css []byte) []byte {
	return builtinLink.ReplaceAllFunc(css, func(link []byte) []byte {
		name := path.Join(staticDir, string(builtinLink.FindSubmatch(link)[1]))
		content, err := fs.ReadFile(d.builtin, name)
		if err != nil || d.customised(name) {
			return link
		}
		return []byte(strings.TrimSuffix(string(link), `")`) + "?" + versionParam + "=" + versionOfBytes(content) + `")`)
	})
}

// addFallback makes the style sheet that the built-in pages load beside the operator's main.css.
func (d *webDir) addFallback(own string) error {
	theirs, err := fs.ReadFile(d.custom, path.Join(staticDir, mainStyles))
	if err != nil {
		return err
	}
	theme, err := fs.ReadFile(d.themeFiles(), stylesFile)
	if err != nil {
		return err
	}
	palette := neutralPalette
	if !d.customised(d.themePath(stylesFile)) {
		palette = ":where(:root) " + paletteOf(own) // the theme is built in, and its colours are others for the dark
	}
	d.made[path.Join(staticDir, fallbackFile)] = []byte(fallbackHeader + palette + gentle + lacking(own, string(theirs)+string(theme)))
	return nil
}

const fallbackHeader = `/* What main.css of the operator's lacks for the built-in pages. */

[hidden] {
  display: none !important;
}

`

// neutralPalette fits every theme: all colours are those of the text, on nothing. It gives way to the operator's own values.
const neutralPalette = `:where(:root) {
  --dex-bg: transparent;
  --dex-surface: transparent;
  --dex-fg: currentcolor;
  --dex-fg-muted: currentcolor;
  --dex-border: color-mix(in srgb, currentcolor 25%, transparent);
  --dex-control-border: color-mix(in srgb, currentcolor 60%, transparent);
  --dex-control-bg: transparent;
  --dex-hover: color-mix(in srgb, currentcolor 8%, transparent);
  --dex-tile: color-mix(in srgb, currentcolor 8%, transparent);
  --dex-primary: currentcolor;
  --dex-accent: currentcolor;
  --dex-focus: currentcolor;
  --dex-error-fg: currentcolor;
  --dex-error-bg: transparent;
  --dex-error-border: currentcolor;
  --dex-good: currentcolor;
  --dex-warn: currentcolor;
  --dex-shadow: none;
  --dex-radius: 0.25rem;
}
`

// gentle is what elements without a class of their own need. Any rule of the operator's takes precedence.
const gentle = `
:where(.theme-panel) :where(*) {
  box-sizing: border-box;
}

:where(.theme-panel a) {
  color: inherit;
}

:where(a.dex-btn) {
  display: inline-flex;
  align-items: center;
  justify-content: center;
  text-decoration: none;
}
`

// A rule is a rule of a style sheet, or a group of them, such as those of a media query.
type rule struct {
	prelude string // selectors, or what begins with @
	body    string
}

// rules cuts a style sheet without comments into rules. It knows as much of CSS as main.css has.
func rules(css string) []rule {
	var found []rule
	for {
		prelude, rest, ok := strings.Cut(css, "{")
		if !ok {
			return found
		}
		end := endOf(rest)
		found = append(found, rule{strings.TrimSpace(prelude), strings.TrimSpace(rest[:end])})
		css = rest[min(end+1, len(rest)):]
	}
}

// endOf returns where the brace is that closes a block, or the length of the text.
func endOf(block string) int {
	depth := 1
	for i := range len(block) {
		switch block[i] {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth == 0 {
			return i
		}
	}
	return len(block)
}

// paletteOf returns the body of the first rule, with the palette.
func paletteOf(css string) string {
	return "{\n  " + rules(styleComment.ReplaceAllString(css, ""))[0].body + "\n}\n"
}

// className finds the classes in selectors. A number after a dot is none.
var className = regexp.MustCompile(`\.(-?[A-Za-z_][\w-]*)`)

// lacking returns the rules of main.css about classes that other style sheets don't know.
func lacking(own, theirs string) string {
	known := map[string]bool{}
	for _, match := range className.FindAllStringSubmatch(styleComment.ReplaceAllString(theirs, ""), -1) {
		known[match[1]] = true
	}
	return rulesAbout(styleComment.ReplaceAllString(own, ""), func(selector string) bool {
		for _, match := range className.FindAllStringSubmatch(selector, -1) {
			if !known[match[1]] {
				return true
			}
		}
		return false
	})
}

// rulesAbout returns the rules of a style sheet, with the wanted ones of their selectors.
func rulesAbout(css string, wanted func(selector string) bool) string {
	var b strings.Builder
	for _, r := range rules(css) {
		body := r.body
		if strings.HasPrefix(r.prelude, "@") {
			if body = strings.TrimSpace(rulesAbout(body, wanted)); body != "" {
				b.WriteString("\n" + r.prelude + " {\n" + body + "\n}\n")
			}
			continue
		}
		var kept []string
		for _, selector := range selectors(r.prelude) {
			if wanted(selector) {
				kept = append(kept, selector)
			}
		}
		if len(kept) > 0 {
			b.WriteString("\n" + strings.Join(kept, ",\n") + " {\n  " + body + "\n}\n")
		}
	}
	return b.String()
}

// selectors cuts a list of selectors at its commas, but not at those in parentheses.
func selectors(list string) []string {
	var found []string
	depth, start := 0, 0
	for i := range len(list) {
		switch list[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				found = append(found, strings.TrimSpace(list[start:i]))
				start = i + 1
			}
		}
	}
	return append(found, strings.TrimSpace(list[start:]))
}
