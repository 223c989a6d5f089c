package ui

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// ErrNotEmpty means that a folder has something in it.
var ErrNotEmpty = errors.New("the folder is not empty")

// Modes of exported files: the server may run as another user than the one who edits them.
const (
	exportedFile   = 0o644
	exportedFolder = 0o755
)

// Export writes the built-in files to a directory, and returns their names in it. It makes the directory, and refuses one that has
// something in it, unless it may replace files of the same names. No file is ever half-written.
func Export(dir string, replace bool) ([]string, error) {
	builtin, err := fs.Sub(embedded, "web")
	if err != nil {
		return nil, fmt.Errorf("built-in files: %w", err)
	}
	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir) // no link in it leads the export elsewhere
	if err != nil {
		return nil, err
	}
	names, err := export(builtin, root, replace)
	return names, errors.Join(err, root.Close())
}

// makeFolder makes a directory that others can read, whatever the umask is, unless it is there.
func makeFolder(dir string) error {
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), exportedFolder); err != nil {
		return err
	}
	err := os.Mkdir(dir, exportedFolder)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, exportedFolder) // a server that runs as another user reads it
}

func export(builtin fs.FS, root *os.Root, replace bool) ([]string, error) {
	if !replace {
		entries, err := fs.ReadDir(root.FS(), ".")
		if err != nil {
			return nil, err
		}
		if len(entries) > 0 {
			return nil, ErrNotEmpty
		}
	}
	var names []string
	err := fs.WalkDir(builtin, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
			return nil
		case e.IsDir():
			return exportFolder(root, name)
		}
		names = append(names, name)
		return exportFile(builtin, root, name)
	})
	return names, err
}

func exportFolder(root *os.Root, name string) error {
	err := root.Mkdir(name, exportedFolder)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return root.Chmod(name, exportedFolder)
}

// exportFile writes a file beside its place, and moves it there when it is whole.
func exportFile(builtin fs.FS, root *os.Root, name string) error {
	text, err := fs.ReadFile(builtin, name)
	if err != nil {
		return err
	}
	folder, base := path.Split(name)
	draft := folder + "." + base + ".new"
	err = root.WriteFile(draft, text, exportedFile)
	if err == nil {
		err = root.Chmod(draft, exportedFile)
	}
	if err == nil {
		err = root.Rename(draft, name)
	}
	if err != nil {
		_ = root.Remove(draft) // which may not even exist
	}
	return err
}
