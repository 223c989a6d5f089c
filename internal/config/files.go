package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxText bounds a file that holds the text of one setting, in bytes.
const maxText = 64 << 10

// Files reads the files that one configuration is made of: the file itself, and those that hold texts of its settings. It
// remembers what they were like, so that somebody can see whether one has changed. It must not be
// used by two goroutines at the same time.
type Files struct {
	skip  bool
	read  map[string]fileState
	texts map[string]text
}

// text is the text in a file, or why it can't be read.
type text struct {
	text string
	err  error
}

// NewFiles returns a reader that has read nothing yet.
func NewFiles() *Files { return &Files{read: map[string]fileState{}, texts: map[string]text{}} }

// SkipFiles returns a reader for machines that don't have the files. Texts that would come from files are left out, and
// nothing is reported about the settings that they are for: such a configuration can be checked and must not be served.
func SkipFiles() *Files { return &Files{skip: true} }

// Read returns the content of a regular file of at most limit bytes.
func (f *Files) Read(name string, limit int64) ([]byte, error) {
	data, err := readRegular(name, limit)
	if f.read != nil {
		f.read[name] = fileState{name, limit, digest(data, err)}
	}
	return data, err
}

// text returns the text in a file without line breaks at its end, which editors add; false if files are to be skipped. A file that
// is named several times is read once.
func (f *Files) text(name string) (string, bool, error) {
	if f.skip {
		return "", false, nil
	}
	if f.texts == nil {
		return "", false, errors.New("files can't be read here")
	}
	found, ok := f.texts[name]
	if !ok {
		found.text, found.err = f.readText(name)
		f.texts[name] = found
	}
	return found.text, found.err == nil, found.err
}

func (f *Files) readText(name string) (string, error) {
	data, err := f.Read(name, maxText)
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("can't %s %s: %w", path.Op, path.Path, path.Err)
	}
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(data), "\r\n")
	switch {
	case text == "": // such as one that is just being written
		return "", fmt.Errorf("%s is empty", name)
	case !utf8.ValidString(text) || strings.Contains(text, "\x00"):
		return "", fmt.Errorf("%s is not a text in UTF-8", name)
	}
	return text, nil
}

func readRegular(name string, limit int64) ([]byte, error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() { // to open a pipe may take for ever
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	file, err := os.Open(name) //nolint:gosec // G304: the operator names it
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return data, nil
}

// A State is what files were like when they were read. It has no content, only digests.
type State struct{ files []fileState }

type fileState struct {
	name   string
	limit  int64 // 0 for a folder
	digest [sha256.Size]byte
}

// at returns what the same file, or folder, is like now.
func (f fileState) at() fileState {
	if f.limit == 0 {
		f.digest = digestFolder(f.name)
	} else {
		f.digest = digest(readRegular(f.name, f.limit))
	}
	return f
}

// State returns what the files that have been read were like.
func (f *Files) State() State {
	var s State
	for _, state := range f.read {
		s.files = append(s.files, state)
	}
	slices.SortFunc(s.files, func(a, b fileState) int { return strings.Compare(a.name, b.name) })
	return s
}

// Now returns what the same files are like now.
func (s State) Now() State {
	now := State{slices.Clone(s.files)}
	for i, f := range now.files {
		now.files[i] = f.at()
	}
	return now
}

// Equal reports whether two states have the same files, and these were alike.
func (s State) Equal(other State) bool { return slices.Equal(s.files, other.files) }

// Agrees reports whether the files that are in both states were alike.
func (s State) Agrees(other State) bool {
	return !slices.ContainsFunc(s.files, func(f fileState) bool {
		return slices.ContainsFunc(other.files, func(g fileState) bool { return f.name == g.name && f != g })
	})
}

func digest(data []byte, err error) [sha256.Size]byte {
	if err != nil {
		return sha256.Sum256([]byte("error: " + err.Error()))
	}
	return sha256.Sum256(data)
}
