package ui

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// A Brand is the operator's own colours. Its zero value means the built-in ones.
type Brand struct {
	Accent     string // of buttons, links and the focus, such as #0a7d55
	AccentDark string // the same in the dark; when empty, Accent, or a lighter tone of it if that can't be seen there
}

// An AccentError says why a colour can't be used.
type AccentError struct {
	Key    string // accent or accentDark
	Reason string
}

// Error implements error.
func (e *AccentError) Error() string { return e.Reason }

// brandFile has the operator's colours, in the folder of the theme.
const brandFile = "brand.css"

// A scheme is what the built-in pages look like, in the light or in the dark.
type scheme struct {
	name string // for messages
	// surface is what buttons are on, background what is behind it, and tile what is behind icons.
	surface, background, tile colour
	hover                     float64 // how much of the accent is in the surface below the pointer
}

var (
	light = scheme{"light", white, colour{0xf4, 0xf5, 0xf8}, colour{0xed, 0xf1, 0xfb}, 0.05}
	dark  = scheme{"dark", colour{0x19, 0x1d, 0x25}, colour{0x10, 0x13, 0x18}, colour{0x11, 0x15, 0x1d}, 0.08}
)

// CheckBrand returns an *AccentError if one of the colours can't be used with a theme.
func CheckBrand(b Brand, theme string) error {
	_, _, err := b.accents(theme)
	return err
}

// accents returns the accents in the light and in the dark.
func (b Brand) accents(theme string) (inLight, inDark colour, err error) {
	inLight, ok := parseColour(b.Accent)
	if !ok {
		return inLight, inDark, &AccentError{"accent", fmt.Sprintf(`%q is no colour; it must be one like "#0a7d55"`, b.Accent)}
	}
	if theme != darkTheme {
		if err := light.check(inLight); err != nil {
			return inLight, inDark, &AccentError{"accent", err.Error()}
		}
	}
	if b.AccentDark == "" {
		return inLight, inLight.nearest(dark.shows), nil
	}
	if inDark, ok = parseColour(b.AccentDark); !ok {
		return inLight, inDark, &AccentError{"accentDark", fmt.Sprintf(`%q is no colour; it must be one like "#7fd6a1"`, b.AccentDark)}
	}
	if err := dark.check(inDark); err != nil {
		return inLight, inDark, &AccentError{"accentDark", err.Error()}
	}
	return inLight, inDark, nil
}

// shows reports whether a button of the colour can be told from what it is on. Text on it can always be read: there is no colour on which neither
// white nor black has a contrast of 4.5.
func (s scheme) shows(c colour) bool { return contrast(c, s.surface) >= controlContrast }

func (s scheme) check(c colour) error {
	if s.shows(c) {
		return nil
	}
	return fmt.Errorf("%s can't be seen well on the %s pages: its contrast with %s is %.2f:1, and must be at least %.0f:1; the nearest tone that works is %q",
		c, s.name, s.surface, contrast(c, s.surface), controlContrast, c.nearest(s.shows).String())
}

// text returns the colour of text on a colour.
func (c colour) text() colour {
	if contrast(white, c) < textContrast {
		return black
	}
	return white
}

// properties returns the custom properties of main.css that depend on the accent.
func (s scheme) properties(accent colour) string {
	text, hover := accent.text(), accent.shaded(-0.07)
	if text == black {
		hover = accent.shaded(0.07)
	}
	below := s.surface.mixed(accent, s.hover)
	link := accent.nearest(func(c colour) bool { return c.least(s.surface, s.background, below) >= textContrast })
	var b strings.Builder
	for _, p := range []struct {
		name  string
		value colour
	}{
		{"primary", accent}, {"primary-hover", hover}, {"on-primary", text}, {"accent", link}, {"focus", link},
		{"hover", below}, {"tile", s.tile.mixed(accent, s.hover)},
	} {
		fmt.Fprintf(&b, "  --dex-%s: %s;\n", p.name, p.value)
	}
	return b.String()
}

// schemes are those in which a theme shows the pages.
type schemes struct{ light, dark bool }

// Both tell which schemes a theme has.
var (
	followsBrowser = regexp.MustCompile(`prefers-color-scheme`)
	alwaysDark     = regexp.MustCompile(`color-scheme:\s*dark\b`)
)

// schemesOf tells from a theme's style sheet whether the theme is light, dark, or either as the browser prefers.
func schemesOf(theme, styles string) schemes {
	styles = styleComment.ReplaceAllString(styles, "")
	switch {
	case followsBrowser.MatchString(styles):
		return schemes{light: true, dark: true}
	case theme == darkTheme, alwaysDark.MatchString(styles):
		return schemes{dark: true}
	}
	return schemes{light: true}
}

// styles returns the style sheet of an operator's colours.
func (b Brand) styles(theme string, in schemes) (string, error) {
	inLight, inDark, err := b.accents(theme)
	if err != nil {
		return "", err
	}
	const header = "/* The operator's colours. Loaded last. */\n"
	inTheDark := ":root {\n" + dark.properties(inDark) + "}\n"
	switch {
	case !in.light:
		return header + inTheDark, nil
	case !in.dark:
		return header + ":root {\n" + light.properties(inLight) + "}\n", nil
	}
	return header + ":root {\n" + light.properties(inLight) + "}\n\n@media (prefers-color-scheme: dark) {\n" + inTheDark + "}\n", nil
}

// addBrand generates the files of a brand.
func (d *webDir) addBrand(b Brand) error {
	styles, err := fs.ReadFile(d.themeFiles(), stylesFile)
	if err != nil {
		return err
	}
	d.schemes = schemesOf(d.theme, string(styles))
	if b.Accent == "" {
		return nil
	}
	css, err := b.styles(d.theme, d.schemes)
	if err != nil {
		return err
	}
	d.made[d.themePath(brandFile)] = []byte(css)

	// Like buttons, the built-in pictures have the accent, and white or black on it.
	accent, _ := parseColour(b.Accent)
	for _, name := range []string{"logo.svg", "favicon.svg"} {
		picture, err := fs.ReadFile(d.builtin, path.Join(themesDir, autoTheme, name))
		if err != nil {
			return err
		}
		colours := strings.NewReplacer("#3a60d8", accent.String(), "#fff", accent.text().String())
		d.made[d.themePath(name)] = []byte(colours.Replace(string(picture)))
	}
	return nil
}
