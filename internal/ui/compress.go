package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// compressible are the pages that are compressed. The length of a compressed page tells whether one part of it repeats another, so
// whoever makes a browser ask for it again and again, each time with other parameters that show on the page, may find out a secret
// on it bit by bit (the attack BREACH). These two come before anybody has logged in: all that is on them is the request itself, which
// whoever sends it knows, what everybody gets to see, and which connector was used last, which is no secret. The others are about people, or have codes on them, and most are small.
var compressible = map[string]bool{"login.html": true, "password.html": true}

const (
	// worthCompressing is the length, in bytes, from which on an answer is compressed: a shorter one fits into one packet.
	worthCompressing = 1400
	// largestCompressed bounds the files that are compressed, as the result is kept in memory, in bytes.
	largestCompressed = 1 << 20
)

// compressibleFiles are the types of files that get much shorter; images and fonts are compressed already.
var compressibleFiles = map[string]bool{
	".css": true, ".js": true, ".mjs": true, ".svg": true, ".json": true, ".map": true, ".txt": true, ".html": true, ".xml": true,
	".ttf": true, ".otf": true,
}

// canCompress reports whether it is worth the trouble to compress a file.
func canCompress(name string, size int64) bool {
	return compressibleFiles[strings.ToLower(path.Ext(name))] && size >= worthCompressing && size <= largestCompressed
}

// compressFile compresses a file as much as possible, since that is done once. It returns nil if that doesn't make it shorter.
func compressFile(content []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil
	}
	if _, err := w.Write(content); err != nil || w.Close() != nil || b.Len() >= len(content) {
		return nil
	}
	return b.Bytes()
}

// builtinCompressed remembers the built-in files, and those made of them, as they were compressed: most are the same for every
// configuration that the process reads, and compressing them is much of the work of a start.
var builtinCompressed = compressions{byHash: make(map[[sha256.Size]byte][]byte)}

// mostCompressions bounds what is remembered: each brand that a configuration describes makes files of its own.
const mostCompressions = 64

// compressions are contents as compressFile returned them. It is safe for concurrent use.
type compressions struct {
	mu     sync.Mutex
	byHash map[[sha256.Size]byte][]byte
}

// of returns a content compressed, as compressFile does.
func (c *compressions) of(hash [sha256.Size]byte, content []byte) []byte {
	c.mu.Lock()
	known, ok := c.byHash[hash]
	c.mu.Unlock()
	if ok {
		return known
	}
	compressed := compressFile(content)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byHash) < mostCompressions {
		c.byHash[hash] = compressed
	}
	return compressed
}

// A compressor is a writer of gzip. It takes most of a megabyte, so it is used again.
type compressor struct{ *gzip.Writer }

var compressors = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is one of gzip's own
	}
	return &compressor{w}
}}

// compressPage compresses a page quickly, since that is done each time.
func compressPage(page []byte) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(page) / 2)
	w := compressors.Get().(*compressor)
	defer compressors.Put(w)
	w.Reset(&b)
	if _, err := w.Write(page); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// acceptsGzip reports whether a browser takes answers compressed by gzip (RFC 9110, section 12.5.3).
func acceptsGzip(r *http.Request) bool {
	for _, header := range r.Header["Accept-Encoding"] {
		for item := range strings.SplitSeq(header, ",") {
			coding, parameters, _ := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				continue
			}
			quality, weighted := strings.CutPrefix(strings.ToLower(strings.TrimSpace(parameters)), "q=")
			q, err := strconv.ParseFloat(quality, 64)
			return !weighted || err == nil && q > 0
		}
	}
	return false
}
