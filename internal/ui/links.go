package ui

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// linked is the operator's directory. Links in it may lead out of it: where to was looked up at the start, so that one which
// comes later, by somebody who may write there, leads nowhere.
type linked struct {
	inside  fs.FS              // the directory itself, whose files lie in it
	outside map[string]outside // what lies elsewhere, by the name of its link
}

// outside is what a link out of the directory leads to.
type outside struct {
	folder fs.FS
	name   string // within the folder; "." for all of it
}

// openCustom opens the operator's directory.
func openCustom(dir string) (fs.FS, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	files := &linked{inside: root.FS(), outside: map[string]outside{}}
	for _, name := range []string{templatesDir, staticDir, themesDir, robotsFile} {
		err := files.follow(dir, name)
		if err == nil {
			err = checkReadable(files, name)
		}
		if err != nil {
			return nil, errors.Join(err, root.Close())
		}
	}
	return files, nil
}

// follow finds the links below a name that lead out of the directory.
func (l *linked) follow(dir, name string) error {
	return filepath.WalkDir(filepath.Join(dir, name), func(file string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.Type()&fs.ModeSymlink == 0 {
			return err
		}
		within, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		within = filepath.ToSlash(within)
		if _, err := fs.Stat(l.inside, within); err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		target, err := openTarget(file)
		if err != nil {
			return err
		}
		l.outside[within] = target
		return nil
	})
}

// openTarget opens what a link leads to.
func openTarget(link string) (outside, error) {
	file, err := filepath.EvalSymlinks(link)
	if err != nil {
		return outside{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return outside{}, err
	}
	folder, name := file, "."
	if !info.IsDir() {
		folder, name = filepath.Split(file)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return outside{}, err
	}
	return outside{root.FS(), name}, nil
}

// Open opens a file of the directory, or what a link of its name, or of a folder of its path, leads to.
func (l *linked) Open(name string) (fs.File, error) {
	for link, target := range l.outside {
		if name == link {
			return target.folder.Open(target.name)
		}
		if rest, below := strings.CutPrefix(name, link+"/"); below {
			return target.folder.Open(path.Join(target.name, rest))
		}
	}
	return l.inside.Open(name)
}
