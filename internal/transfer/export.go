package transfer

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"time"

	"dex/internal/store"
	"dex/internal/store/sealed"
)

// page is how many records are in memory at once; they may be as large as store.MaxData.
const page = 200

// Export writes all live records of some kinds to a file, each document sealed with the first of the keys, or in clear
// where keys is nil. Progress, which may be nil, is told after each page how many records of a kind were written. After
// an error the file is not whole, and Import refuses it.
func Export(
	ctx context.Context, s store.Store, kinds []string, w io.Writer, keys *sealed.Keys, progress func(kind string, n int),
) (Counts, error) {
	if progress == nil {
		progress = func(string, int) {}
	}
	out := newWriter(w)
	head := header{
		Format: formatName, Version: formatVersion, Created: time.Now().UTC().Truncate(time.Second), Sealed: keys != nil,
	}
	if err := out.line(head); err != nil {
		return nil, err
	}
	counts := Counts{}
	for _, kind := range kinds {
		n, err := out.kind(ctx, s, kind, keys, progress)
		if err != nil {
			return nil, fmt.Errorf("export %s: %w", kind, err)
		}
		counts[kind] = Count{Records: n}
	}
	return counts, out.end(counts)
}

// A writer writes lines and sums them up.
type writer struct {
	out *bufio.Writer
	sum hash.Hash
	// lines goes to both.
	lines *json.Encoder
}

func newWriter(w io.Writer) *writer {
	out := &writer{out: bufio.NewWriterSize(w, 64<<10), sum: sha256.New()}
	out.lines = json.NewEncoder(io.MultiWriter(out.out, out.sum))
	out.lines.SetEscapeHTML(false) // documents stay as they are
	return out
}

func (w *writer) line(v any) error {
	if err := w.lines.Encode(v); err != nil {
		return fmt.Errorf("write export file: %w", err)
	}
	return nil
}

func (w *writer) kind(
	ctx context.Context, s store.Store, kind string, keys *sealed.Keys, progress func(kind string, n int),
) (n int, err error) {
	for q := (store.Query{Limit: page}); ; {
		records, err := s.List(ctx, kind, q)
		if err != nil {
			return n, fmt.Errorf("list: %w", err)
		}
		for _, r := range records {
			l, err := newLine(r, keys)
			if err != nil {
				return n, fmt.Errorf("record %q: %w", r.Key, err)
			}
			if err := w.line(l); err != nil {
				return n, err
			}
			n++
		}
		progress(kind, n)
		if len(records) < page {
			return n, nil
		}
		q.After = records[len(records)-1].Key
	}
}

func (w *writer) end(counts Counts) error {
	e := end{Counts: map[string]int{}, SHA256: hex.EncodeToString(w.sum.Sum(nil))}
	for kind, n := range counts {
		if n.Records > 0 {
			e.Counts[kind] = n.Records
		}
	}
	if err := w.line(line{End: &e}); err != nil {
		return err
	}
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("write export file: %w", err)
	}
	return nil
}
