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

// ownFiles is the operator's directory. Links that lead out of it are followed if they existed at start: the operator put
// them there on purpose. A link added later can't expose the server's files to strangers.
type ownFiles struct {
	path    string
	root    *os.Root
	inside  fs.FS // follows neither absolute links nor those that lead outside
	outward map[string]bool
}

func openOwnFiles(dir string) (*ownFiles, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f := &ownFiles{path: dir, root: root, inside: root.FS(), outward: make(map[string]bool)}
	for _, name := range contents {
		if err := f.look(name, nil); err != nil {
			return nil, errors.Join(err, root.Close())
		}
	}
	return f, nil
}

// Open opens a file, including those below a link that leads outside.
func (f *ownFiles) Open(name string) (fs.File, error) {
	if f.isOutside(name) {
		return os.Open(f.join(name)) //nolint:gosec // G304: below the directory, or where its links led at the start
	}
	return f.inside.Open(name)
}

// Stat looks at a file without opening it: opening a pipe would block.
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

// look finds the links that lead outside, and checks that the rest can be read: otherwise an unreadable file would show
// only as an unstyled page. The folders are the real paths of those around the name.
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

// lookOutside looks at what can't be found inside. Dangling links are ignored: editors use them as locks.
func (f *ownFiles) lookOutside(name string) error {
	_, err := os.Stat(f.join(name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) {
		return nil
	}
	f.outward[name] = err == nil
	return err
}
