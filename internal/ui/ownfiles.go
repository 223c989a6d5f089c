package ui

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
)

// ownFiles is the operator's directory. Links that lead out of it are followed if they were there at the start: operators
// put them there on purpose, and nobody can add one later that shows a file of the server's to strangers.
type ownFiles struct {
	path    string
	inside  fs.FS // follows no link that leads outside, nor an absolute one
	outward map[string]bool
}

func openOwnFiles(dir string) (*ownFiles, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f := &ownFiles{path: dir, inside: root.FS(), outward: make(map[string]bool)}
	for _, name := range []string{templatesDir, staticDir, themesDir, robotsFile} {
		if err := f.look(name, nil); err != nil {
			return nil, errors.Join(err, root.Close())
		}
	}
	return f, nil
}

// Open opens a file, and what lies below a link that leads outside as well.
func (f *ownFiles) Open(name string) (fs.File, error) {
	if f.isOutside(name) {
		return os.Open(f.join(name)) //nolint:gosec // G304: below the directory, or where its links led at the start
	}
	return f.inside.Open(name)
}

// Stat looks at a file without opening it, which would wait at a pipe.
func (f *ownFiles) Stat(name string) (fs.FileInfo, error) {
	if f.isOutside(name) {
		return os.Stat(f.join(name))
	}
	return fs.Stat(f.inside, name)
}

func (f *ownFiles) isOutside(name string) bool {
	if !fs.ValidPath(name) {
		return false
	}
	for ; name != "."; name = path.Dir(name) {
		if f.outward[name] {
			return true
		}
	}
	return false
}

func (f *ownFiles) join(name string) string { return filepath.Join(f.path, filepath.FromSlash(name)) }

// look finds the links that lead outside, and makes sure that the rest can be read: a file that can't would show only as a
// page without style. The folders are those, as they really are, that the name lies in.
func (f *ownFiles) look(name string, folders []string) error {
	info, err := fs.Stat(f.inside, name)
	if err != nil {
		return f.lookOutside(name)
	}
	if !info.IsDir() {
		return nil
	}
	folder, err := filepath.EvalSymlinks(f.join(name))
	if err != nil || slices.Contains(folders, folder) { // a link that leads back to where it is
		return err
	}
	entries, err := fs.ReadDir(f.inside, name)
	if err != nil {
		return err
	}
	folders = append(slices.Clip(folders), folder)
	for _, e := range entries {
		if err := f.look(path.Join(name, e.Name()), folders); err != nil {
			return err
		}
	}
	return nil
}

// lookOutside looks at what can't be found inside. What is nowhere is left alone: editors keep their locks in links that
// lead nowhere.
func (f *ownFiles) lookOutside(name string) error {
	_, err := os.Stat(f.join(name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) {
		return nil
	}
	f.outward[name] = err == nil
	return err
}
