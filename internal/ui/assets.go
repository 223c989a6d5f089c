package ui

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// versionParam is the query parameter with the version of an asset.
	versionParam = "v"

	cacheVersion    = "public, max-age=31536000, immutable" // a year: the content of a version never changes
	cacheRevalidate = "no-cache"
)

// assets serves the files of a folder, without listings. It implements [http.Handler].
type assets struct {
	prefix string // of URL paths, without a slash at the end
	files  fs.FS
	log    *slog.Logger

	mu     sync.Mutex
	hashes map[string]hashed // by name; only of files that exist
}

// hashed is what is known of a file as it was.
type hashed struct {
	modified   time.Time // zero for a built-in file
	size       int64
	hash       string
	compressed []byte // by gzip; nil if that isn't worth it
}

func newAssets(prefix string, files fs.FS, log *slog.Logger) *assets {
	return &assets{prefix: prefix, files: files, log: log, hashes: make(map[string]hashed)}
}

// ServeHTTP serves the file that the path names after the prefix, which the caller may have stripped already.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, whole := strings.CutPrefix(r.URL.Path, a.prefix+"/")
	if !whole {
		name = strings.TrimPrefix(r.URL.Path, "/")
	}
	a.serve(w, r, name)
}

func (a *assets) serve(w http.ResponseWriter, r *http.Request, name string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	f, info, err := a.open(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			// Debug only: impossible file names come from strangers, and unreadable files in the operator's directory
			// were an error at start.
			a.log.DebugContext(r.Context(), "cannot read asset", "err", err)
		}
		http.NotFound(w, r)
		return
	}
	defer func() { _ = f.Close() }() // nothing was written
	known, err := a.hash(name, f, info)
	if err != nil {
		a.log.ErrorContext(r.Context(), "cannot read asset", "err", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}

	h := w.Header()
	h.Set("Cache-Control", cacheRevalidate)
	if r.URL.Query().Get(versionParam) == known.hash {
		h.Set("Cache-Control", cacheVersion)
	}
	if known.compressed != nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			h.Set("ETag", `"`+known.hash+`-gzip"`)
			h.Set("Content-Encoding", "gzip")
			h.Set("Content-Length", strconv.Itoa(len(known.compressed))) // which ServeContent leaves out here
			http.ServeContent(w, r, name, info.ModTime(), bytes.NewReader(known.compressed))
			return
		}
	}
	h.Set("ETag", `"`+known.hash+`"`)
	http.ServeContent(w, r, name, info.ModTime(), f)
}

// version is the hash of a file's content; empty when the file does not exist.
func (a *assets) version(name string) string {
	f, info, err := a.open(name)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // nothing was written
	known, err := a.hash(name, f, info)
	if err != nil {
		return ""
	}
	return known.hash
}

func (a *assets) exists(name string) bool { return a.version(name) != "" }

// open opens a regular file; everything else does not exist. Names that are not plain, with dots or empty segments, are
// refused rather than cleaned, so that each file has one URL.
func (a *assets) open(name string) (seekableFile, fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, nil, fs.ErrNotExist
	}
	f, err := a.files.Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	file, ok := f.(seekableFile)
	if !ok || !info.Mode().IsRegular() {
		return nil, nil, errors.Join(fs.ErrNotExist, f.Close())
	}
	return file, info, nil
}

// A seekableFile is what a directory on disk and the built-in files both return for a regular file.
type seekableFile interface {
	fs.File
	io.Seeker
}

// hash returns what is known of the file's content, and leaves the file at its start. It reads the content only when the file
// changed since the last time.
func (a *assets) hash(name string, f seekableFile, info fs.FileInfo) (hashed, error) {
	a.mu.Lock()
	known, ok := a.hashes[name]
	a.mu.Unlock()
	if ok && known.size == info.Size() && known.modified.Equal(info.ModTime()) {
		return known, nil
	}

	sum := sha256.New()
	var content bytes.Buffer
	to := io.Writer(sum)
	worthwhile := canCompress(name, info.Size())
	if worthwhile {
		to = io.MultiWriter(sum, &content)
	}
	if _, err := io.Copy(to, f); err != nil {
		return hashed{}, fmt.Errorf("hash %s: %w", name, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return hashed{}, fmt.Errorf("hash %s: %w", name, err)
	}
	now := hashed{modified: info.ModTime(), size: info.Size(), hash: versionOf(sum)}
	switch {
	case worthwhile && now.modified.IsZero():
		now.compressed = builtinCompressed.of([sha256.Size]byte(sum.Sum(nil)), content.Bytes())
	case worthwhile:
		now.compressed = compressFile(content.Bytes())
	}
	a.mu.Lock()
	a.hashes[name] = now
	a.mu.Unlock()
	return now, nil
}

// versionOf returns the version of a file from the hash of its content.
func versionOf(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil)[:8]) }

// versionOfBytes returns the version of a file from its content.
func versionOfBytes(content []byte) string {
	sum := sha256.New()
	sum.Write(content)
	return versionOf(sum)
}
