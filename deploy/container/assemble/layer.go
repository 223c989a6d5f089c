package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A layer is what one COPY adds to the file system.
type layer struct {
	time     time.Time
	uid, gid int
	entries  []entry
}

type entry struct {
	name string // in the image, without the first slash; folders end with one
	file string // on this machine
	mode fs.FileMode
	ours bool // owned as --chown says; folders on the way to what is copied are root's
}

// setOwner reads --chown: numbers only, as there are no names in an empty image.
func (l *layer) setOwner(chown string) error {
	if chown == "" {
		return nil
	}
	user, group, ok := strings.Cut(chown, ":")
	if !ok {
		return fmt.Errorf("--chown=%s: must be USER:GROUP", chown)
	}
	var userErr, groupErr error
	l.uid, userErr = strconv.Atoi(user)
	l.gid, groupErr = strconv.Atoi(group)
	if err := errors.Join(userErr, groupErr); err != nil {
		return fmt.Errorf("--chown=%s: must be numbers: %w", chown, err)
	}
	return nil
}

// add adds a file under a name, or below it if the name ends with a slash; of a folder it adds what is in it, and the folder that
// it becomes.
func (l *layer) add(source, name string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	to := strings.TrimPrefix(path.Clean(name), "/")
	if !info.IsDir() {
		if strings.HasSuffix(name, "/") {
			to = path.Join(to, filepath.Base(source))
		}
		l.entries = append(l.entries, entry{to, source, fileMode(info.Mode()), true})
		return nil
	}
	return filepath.WalkDir(source, func(file string, found fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(source, file)
		if err != nil {
			return err
		}
		inImage := path.Join(to, filepath.ToSlash(below))
		info, err := found.Info()
		switch {
		case err != nil:
			return err
		case found.IsDir():
			l.entries = append(l.entries, entry{inImage + "/", "", 0o755, true})
		case found.Type().IsRegular():
			l.entries = append(l.entries, entry{inImage, file, fileMode(info.Mode()), true})
		default:
			return fmt.Errorf("%s is neither a file nor a folder", file)
		}
		return nil
	})
}

// fileMode drops what depends on the umask of whoever has checked the repository out.
func fileMode(mode fs.FileMode) fs.FileMode {
	if mode&0o100 != 0 {
		return 0o755
	}
	return 0o644
}

// make writes the layer to a file.
func (l *layer) make(to string) (_ v1.Layer, err error) {
	out, err := os.Create(to) //nolint:gosec // in our own work folder
	if err != nil {
		return nil, err
	}
	archive := tar.NewWriter(out)
	for _, e := range l.sorted() {
		if err := l.write(archive, e); err != nil {
			return nil, errors.Join(err, out.Close())
		}
	}
	if err := errors.Join(archive.Close(), out.Close()); err != nil {
		return nil, err
	}
	return tarball.LayerFromFile(to, tarball.WithMediaType(types.OCILayer))
}

// sorted returns the entries in order, with the folders that they are in.
func (l *layer) sorted() []entry {
	known := map[string]bool{}
	for _, e := range l.entries {
		known[e.name] = true
	}
	all := slices.Clone(l.entries)
	for _, e := range l.entries {
		for dir := path.Dir(strings.TrimSuffix(e.name, "/")); dir != "."; dir = path.Dir(dir) {
			if !known[dir+"/"] {
				known[dir+"/"] = true
				all = append(all, entry{name: dir + "/", mode: 0o755})
			}
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return all
}

func (l *layer) write(archive *tar.Writer, e entry) error {
	header := &tar.Header{Typeflag: tar.TypeDir, Name: e.name, Mode: int64(e.mode), ModTime: l.time, Format: tar.FormatPAX}
	if e.ours {
		header.Uid, header.Gid = l.uid, l.gid
	}
	if e.file == "" {
		return archive.WriteHeader(header)
	}
	contents, err := os.ReadFile(e.file)
	if err != nil {
		return err
	}
	header.Typeflag, header.Size = tar.TypeReg, int64(len(contents))
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = archive.Write(contents)
	return err
}

// copyFile copies a file, and makes the folders that it is in.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from) //nolint:gosec // a file of the repository
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read from
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm()) //nolint:gosec // in our own work folder
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
