package preview

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// Bounds of what is watched: a folder may have links that lead in circles, and files of any size.
const (
	maxEntries = 10_000
	maxDepth   = 16
	maxContent = 256 << 10 // bytes; of longer files only size and time count
)

// version answers which version of the files there is, for the script that asks again and again.
func (v *visit) version(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, v.current()) // fails only if the browser has left
}

// current returns the version of the watched files.
func (v *visit) current() string {
	s := summary{Hash: sha256.New()}
	for _, name := range v.Watched {
		s.add(name, 0)
	}
	return hex.EncodeToString(s.Sum(nil)[:8])
}

// A summary is a hash of files. It follows links, as the server does.
type summary struct {
	hash.Hash
	entries int
}

func (s *summary) add(name string, depth int) {
	if s.entries++; s.entries > maxEntries || depth > maxDepth {
		return
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		fmt.Fprintf(s, "%q missing\n", name)
	case info.IsDir():
		fmt.Fprintf(s, "%q folder\n", name)
		entries, err := os.ReadDir(name)
		if err != nil {
			fmt.Fprintf(s, "unreadable\n")
		}
		for _, e := range entries {
			s.add(filepath.Join(name, e.Name()), depth+1)
		}
	case !info.Mode().IsRegular() || info.Size() > maxContent:
		fmt.Fprintf(s, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
	default:
		s.addContent(name)
	}
}

func (s *summary) addContent(name string) {
	f, err := os.Open(name) //nolint:gosec // G304: the operator has named it, or its folder
	if err != nil {
		fmt.Fprintf(s, "%q unreadable\n", name)
		return
	}
	defer f.Close() //nolint:errcheck // nothing was written
	fmt.Fprintf(s, "%q\n", name)
	n, err := io.Copy(s, io.LimitReader(f, maxContent+1))
	fmt.Fprintf(s, "%d %t\n", n, err == nil)
}
