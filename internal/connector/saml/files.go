package saml

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// lookEvery is how often, at most, files are looked at, when their content is needed. Comparing the content catches every
	// way of replacing them, such as behind the symbolic links of Kubernetes' secrets.
	lookEvery = 30 * time.Second
	// maxFile bounds what is read of a file, in bytes.
	maxFile = 1 << 20
)

// A watched is a value that is read from files, and read again when they change. It is safe for concurrent use.
type watched[T any] struct {
	paths []string
	parse func(contents [][]byte) (T, error)
	log   *slog.Logger

	mu     sync.Mutex // never held over I/O
	looked time.Time
	seen   [sha256.Size]byte // of what was found then, valid or not
	value  T
}

// constant returns a value that comes from no file.
func constant[T any](value T) *watched[T] { return &watched[T]{value: value} }

// watch reads files. parse turns their contents into the value.
func watch[T any](log *slog.Logger, parse func(contents [][]byte) (T, error), paths ...string) (*watched[T], error) {
	w := &watched[T]{paths: paths, parse: parse, log: log, looked: time.Now()}
	contents, err := readFiles(paths)
	if err != nil {
		return nil, err
	}
	w.seen = fingerprint(contents, nil)
	if w.value, err = parse(contents); err != nil {
		return nil, fmt.Errorf("%s: %w", paths[0], err)
	}
	return w, nil
}

// current returns what the files say now. If they can't be used, the old value stays, and the log says so once.
func (w *watched[T]) current() T {
	value, due := w.due(time.Now())
	if !due {
		return value
	}
	contents, err := readFiles(w.paths)
	if !w.changed(fingerprint(contents, err)) {
		return value
	}
	var fresh T
	if err == nil {
		fresh, err = w.parse(contents)
	}
	if err != nil {
		w.log.Error("changed file can't be used; its old content stays in use", "file", w.paths[0], "err", err)
		return value
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.value = fresh
	w.log.Info("changed file is used from now on", "file", w.paths[0])
	return fresh
}

// renew looks at the files now, though at most once a second, and reports whether they have changed.
func (w *watched[T]) renew() bool {
	w.mu.Lock()
	before := w.seen
	if len(w.paths) == 0 || time.Since(w.looked) < time.Second {
		w.mu.Unlock()
		return false
	}
	w.looked = time.Time{}
	w.mu.Unlock()
	w.current()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen != before
}

// due returns the value, and whether the caller should look at the files.
func (w *watched[T]) due(now time.Time) (T, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.paths) == 0 || now.Sub(w.looked) < lookEvery {
		return w.value, false
	}
	w.looked = now
	return w.value, true
}

func (w *watched[T]) changed(found [sha256.Size]byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if found == w.seen {
		return false
	}
	w.seen = found
	return true
}

// fingerprint identifies contents without keeping them.
func fingerprint(contents [][]byte, err error) [sha256.Size]byte {
	hash := sha256.New()
	if err != nil {
		_, _ = fmt.Fprintf(hash, "error %v", err) // a hash never fails
	}
	for _, content := range contents {
		sum := sha256.Sum256(content)
		_, _ = hash.Write(sum[:])
	}
	return [sha256.Size]byte(hash.Sum(nil))
}

func readFiles(paths []string) ([][]byte, error) {
	contents := make([][]byte, 0, len(paths))
	for _, path := range paths {
		content, err := readFile(path)
		if err != nil {
			return nil, err
		}
		contents = append(contents, content)
	}
	return contents, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	err = errors.Join(err, file.Close())
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("is longer than %d bytes", maxFile)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return content, nil
}
