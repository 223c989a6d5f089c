package config

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

const (
	// maxNamed bounds what is looked at of a file that settings name, in bytes.
	maxNamed = 1 << 20
	// maxPath is longer than any path, and shorter than what some settings take instead of a path.
	maxPath = 1024
	// A folder is looked at down to a depth, and up to a number of entries.
	folderDepth   = 10
	folderEntries = 10_000
)

// Named remembers what the files are like that settings name with keys tagged `file:"opened"`: those that are read once, when what
// has the settings is opened. It returns their state.
func (f *Files) Named(settings any) State {
	if f.read == nil {
		return State{}
	}
	alone := NewFiles()
	alone.named(reflect.Indirect(reflect.ValueOf(settings)))
	for name, state := range alone.read {
		if _, ok := f.read[name]; !ok {
			f.read[name] = state
		}
	}
	return alone.State()
}

func (f *Files) named(v reflect.Value) {
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		switch value := v.Field(i); {
		case !field.IsExported():
		case field.Tag.Get("file") != "opened":
			f.named(reflect.Indirect(value))
		case value.Kind() == reflect.String:
			f.note(value.String())
		case value.Kind() == reflect.Slice:
			for j := range value.Len() {
				f.note(value.Index(j).String())
			}
		}
	}
}

// note remembers a file. A certificate that takes the place of its path is none.
func (f *Files) note(name string) {
	if name != "" && len(name) <= maxPath && !strings.Contains(name, "\n") {
		f.read[name] = fileState{name: name, limit: maxNamed}.at()
	}
}

// Folder remembers what a folder is like.
func (f *Files) Folder(name string) {
	if f.read != nil && name != "" {
		f.read[name] = fileState{name: name}.at()
	}
}

// digestFolder tells states of a folder apart by the names, sizes and times of what is in it, links followed.
func digestFolder(name string) [sha256.Size]byte {
	var all strings.Builder
	left := folderEntries
	var look func(name string, depth int)
	look = func(name string, depth int) {
		entries, err := os.ReadDir(name)
		if err != nil {
			fmt.Fprintln(&all, err)
		}
		for _, e := range entries {
			path := filepath.Join(name, e.Name())
			if left--; left < 0 {
				return
			}
			info, err := os.Stat(path)
			if err != nil {
				fmt.Fprintln(&all, err)
				continue
			}
			if !info.IsDir() {
				fmt.Fprintf(&all, "%q %d %d\n", path, info.Size(), info.ModTime().UnixNano())
				continue
			}
			fmt.Fprintf(&all, "%q\n", path)
			if depth < folderDepth {
				look(path, depth+1)
			}
		}
	}
	look(name, 0)
	return sha256.Sum256([]byte(all.String()))
}
