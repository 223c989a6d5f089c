package ui

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed web
var embedded embed.FS

// Names within a web directory.
const (
	templatesDir = "templates"
	staticDir    = "static"
	themesDir    = "themes"
	robotsFile   = "robots.txt"
	stylesFile   = "styles.css" // of a theme
	mainStyles   = "main.css"   // of all themes

	// autoTheme is light or dark as the browser prefers. It also has the images that light and dark share.
	autoTheme = "auto"
	// formerDefaultTheme is upstream's default: what a directory made for it expects if the configuration names no theme.
	formerDefaultTheme = "light"
	darkTheme          = "dark"
)

// contents is what of a web directory is looked at.
var contents = []string{templatesDir, staticDir, themesDir, robotsFile}

// Files returns what a web directory may have: three folders and a file.
func Files(dir string) []string {
	var names []string
	for _, name := range contents {
		names = append(names, filepath.Join(dir, name))
	}
	return names
}

// A webDir is the operator's directory, if there is one, laid over the built-in files.
type webDir struct {
	path    string // as configured
	custom  fs.FS  // nil when path is empty
	builtin fs.FS
	made    generated
	theme   string  // the folder below themes/
	schemes schemes // of the theme
}

func openWebDir(dir, theme string) (*webDir, error) {
	builtin, err := fs.Sub(embedded, "web")
	if err != nil {
		return nil, fmt.Errorf("built-in files: %w", err)
	}
	d := &webDir{path: dir, builtin: builtin, made: generated{}}
	if dir != "" {
		own, err := openOwnFiles(dir)
		if err != nil {
			return nil, d.wrap(err)
		}
		d.custom = own
	}
	if d.theme, err = d.chooseTheme(theme); err != nil {
		return nil, errors.Join(d.wrap(err), d.Close())
	}
	return d, nil
}

// Close closes the operator's directory.
func (d *webDir) Close() error {
	if own, ok := d.custom.(*ownFiles); ok {
		return own.root.Close()
	}
	return nil
}

// wrap says which directory an error is about.
func (d *webDir) wrap(err error) error {
	if d.path == "" {
		return err
	}
	return fmt.Errorf("directory %q: %w", d.path, err)
}

// ErrNoTheme means that the configured theme does not exist.
var ErrNoTheme = errors.New("no theme")

func (d *webDir) chooseTheme(name string) (string, error) {
	switch name {
	case "", "coreos", "tectonic":
		if !d.customised(path.Join(themesDir, autoTheme)) && d.customised(path.Join(themesDir, formerDefaultTheme)) {
			return formerDefaultTheme, nil
		}
		return autoTheme, nil
	}
	themes, err := d.themes()
	if err != nil {
		return "", err
	}
	if !slices.Contains(themes, name) {
		return "", fmt.Errorf("%w %q in themes/; there are: %s", ErrNoTheme, name, strings.Join(themes, ", "))
	}
	return name, nil
}

// themes returns the names of all themes, built in or not, in order.
func (d *webDir) themes() ([]string, error) {
	var names []string
	for _, layer := range d.tree() {
		entries, err := fs.ReadDir(layer, themesDir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			// Not e.IsDir: in a mounted volume folders may be links.
			if info, err := fs.Stat(layer, path.Join(themesDir, e.Name())); err == nil && info.IsDir() {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// tree is the whole directory, in layers.
func (d *webDir) tree() overlay {
	if d.custom == nil {
		return overlay{d.made, d.builtin}
	}
	return overlay{d.custom, d.made, d.builtin}
}

func (d *webDir) static() fs.FS { return d.tree().sub(staticDir) }

// themeFiles are the theme's files, and the default theme's for those that it lacks.
func (d *webDir) themeFiles() fs.FS {
	return append(d.tree().sub(path.Join(themesDir, d.theme)),
		overlay{d.builtin}.sub(path.Join(themesDir, autoTheme))...)
}

// themePath is the path of one of the theme's files in the directory.
func (d *webDir) themePath(name string) string { return path.Join(themesDir, d.theme, name) }

// customised reports whether the operator's directory has the file or folder.
func (d *webDir) customised(name string) bool {
	if d.custom == nil {
		return false
	}
	_, err := fs.Stat(d.custom, name)
	return err == nil
}

// replaced reports whether the operator's directory has another file than the built-in one. A file that was exported and not
// changed is the same as none.
func (d *webDir) replaced(name string) bool {
	if !d.customised(name) {
		return false
	}
	own, err := fs.ReadFile(d.custom, name)
	if err != nil {
		return true
	}
	builtin, err := fs.ReadFile(d.builtin, name)
	return err != nil || !bytes.Equal(own, builtin)
}

// missing lists the files that the operator's directory lacks; a missing folder is listed without its files.
func (d *webDir) missing() []string {
	if d.custom == nil {
		return nil
	}
	names := d.missingBelow(".", ".")
	return append(names, d.missingBelow(path.Join(themesDir, autoTheme), path.Join(themesDir, d.theme))...)
}

// missingBelow compares a built-in folder with the operator's.
func (d *webDir) missingBelow(builtin, custom string) []string {
	if !d.customised(custom) {
		return []string{custom + "/"}
	}
	entries, err := fs.ReadDir(d.builtin, builtin)
	if err != nil {
		return nil // not a built-in folder, so nothing can be missing
	}
	var names []string
	for _, e := range entries {
		name := path.Join(custom, e.Name())
		switch {
		case name == themesDir: // compared by the chosen theme
		case e.IsDir():
			names = append(names, d.missingBelow(path.Join(builtin, e.Name()), name)...)
		case !d.customised(name):
			names = append(names, name)
		}
	}
	return names
}

// An overlay is a stack of file systems: a file comes from the first layer that has it.
type overlay []fs.FS

// Open opens the file in the first layer that has it. An error other than [fs.ErrNotExist] ends the search, so that an
// unreadable file isn't silently replaced by another.
func (o overlay) Open(name string) (fs.File, error) {
	for _, layer := range o {
		f, err := layer.Open(name)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// sub is the same folder in every layer. The folder's name is one of ours or came from ReadDir, so it is valid.
func (o overlay) sub(dir string) overlay {
	var folders overlay
	for _, layer := range o {
		if folder, err := fs.Sub(layer, dir); err == nil {
			folders = append(folders, folder)
		}
	}
	return folders
}
