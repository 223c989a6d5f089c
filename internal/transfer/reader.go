package transfer

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
)

// A reader reads a file line by line. It may be believed when it has come to the end.
type reader struct {
	in     *bufio.Reader
	sum    hash.Hash
	number int // of the line that was read last, from 1
	head   header
	counts map[string]int
}

// newReader reads the header.
func newReader(in io.Reader) (*reader, error) {
	r := &reader{in: bufio.NewReaderSize(in, 64<<10), sum: sha256.New(), counts: map[string]int{}}
	text, err := r.text()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &r.head); err != nil || r.head.Format != formatName {
		return nil, errors.New("the file is not an export: it has another first line")
	}
	if r.head.Version != formatVersion {
		return nil, fmt.Errorf("the export file has version %d of the format, and this program reads version %d",
			r.head.Version, formatVersion)
	}
	r.sum.Write(text)
	return r, nil
}

// next returns the next record's line, and io.EOF after the last one when the whole file is as it was written.
func (r *reader) next() (line, error) {
	text, err := r.text()
	if err != nil {
		return line{}, err
	}
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		// What the decoder says might quote a secret.
		return line{}, r.damaged("it is not JSON")
	}
	if l.End != nil {
		return line{}, r.finish(*l.End)
	}
	r.sum.Write(text)
	r.counts[l.Kind]++
	return l, nil
}

func (r *reader) finish(e end) error {
	if e.SHA256 != hex.EncodeToString(r.sum.Sum(nil)) {
		return fmt.Errorf("%w: a line before the last was changed, moved, added or removed", ErrDamaged)
	}
	if !maps.Equal(e.Counts, r.counts) {
		return fmt.Errorf("%w: the number of records is not the one that its last line gives", ErrDamaged)
	}
	switch _, err := r.in.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%w: something follows its end", ErrDamaged)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("read export file: %w", err)
	}
	return io.EOF
}

// text returns the next line with its end, as long as it is not overly long.
func (r *reader) text() ([]byte, error) {
	r.number++
	var text []byte
	for {
		part, err := r.in.ReadSlice('\n')
		text = append(text, part...)
		switch {
		case len(text) > maxLine:
			return nil, r.damaged(fmt.Sprintf("it is longer than %d bytes", maxLine))
		case err == nil:
			return text, nil
		case errors.Is(err, io.EOF) && len(bytes.TrimSpace(text)) == 0:
			return nil, fmt.Errorf("%w: it has no end, so it was cut short", ErrDamaged)
		case errors.Is(err, io.EOF):
			return nil, r.damaged("it is cut short")
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("read export file: %w", err)
		}
	}
}

func (r *reader) damaged(why string) error {
	return fmt.Errorf("%w: line %d: %s", ErrDamaged, r.number, why)
}
