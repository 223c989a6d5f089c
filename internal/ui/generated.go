package ui

import (
	"bytes"
	"io/fs"
	"path"
	"time"
)

// generated are files that are made at the start, by their names in a web directory. They are laid over the built-in ones.
type generated map[string][]byte

// Open opens a file. There are no folders.
func (g generated) Open(name string) (fs.File, error) {
	content, ok := g[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &generatedFile{bytes.NewReader(content), path.Base(name)}, nil
}

type generatedFile struct {
	*bytes.Reader
	name string
}

// Stat returns the file itself, which describes itself as built-in files do: without a time.
func (f *generatedFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *generatedFile) Close() error               { return nil }
func (f *generatedFile) Name() string               { return f.name }
func (f *generatedFile) Mode() fs.FileMode          { return 0o444 }
func (f *generatedFile) ModTime() time.Time         { return time.Time{} }
func (f *generatedFile) IsDir() bool                { return false }
func (f *generatedFile) Sys() any                   { return nil }
