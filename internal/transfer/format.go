package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"dex/internal/store"
	"dex/internal/store/sealed"
)

// A file is lines of JSON: a header, a line for each record, and an end with the sum of all lines before it.

const (
	formatName    = "dex-export"
	formatVersion = 1

	// maxLine bounds a line, in bytes: a document in base64 is a third larger, and everything else is small.
	maxLine = 2 * store.MaxData
)

type header struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Created time.Time `json:"created"`
	Sealed  bool      `json:"sealed"` // all documents are encrypted with the storage key
}

// A line is a record, or the end. What is not UTF-8 is base64, in a member with 64 in its name.
type line struct {
	Kind    string    `json:"kind,omitempty"`
	Key     string    `json:"key,omitempty"`
	Key64   []byte    `json:"key64,omitempty"`
	Owner   string    `json:"owner,omitempty"`
	Owner64 []byte    `json:"owner64,omitempty"`
	Expires time.Time `json:"expires,omitzero"`

	// One of these, or none where the document is empty.
	Data   json.RawMessage `json:"data,omitempty"`
	Data64 []byte          `json:"data64,omitempty"`
	Sealed string          `json:"sealed,omitempty"`

	End *end `json:"end,omitempty"`
}

type end struct {
	Counts map[string]int `json:"counts"`
	SHA256 string         `json:"sha256"` // of all lines before this one, in hex
}

// newLine returns the line of a record, sealed where there are keys.
func newLine(r store.Record, keys *sealed.Keys) (line, error) {
	l := line{Kind: r.Kind, Expires: r.Expires.UTC()}
	l.Key, l.Key64 = asText(r.Key)
	l.Owner, l.Owner64 = asText(r.Owner)
	var err error
	switch {
	case keys != nil:
		l.Sealed, err = keys.SealText(r.Kind, r.Key, r.Data)
	case isCompact(r.Data):
		l.Data = r.Data
	default:
		l.Data64 = r.Data
	}
	return l, err
}

func asText(s string) (text string, raw []byte) {
	if utf8.ValidString(s) {
		return s, nil
	}
	return "", []byte(s)
}

// isCompact reports whether a document is JSON that stays byte for byte as it is within a line.
func isCompact(data []byte) bool {
	var compact bytes.Buffer
	return utf8.Valid(data) && json.Compact(&compact, data) == nil && bytes.Equal(compact.Bytes(), data)
}

// record returns the record of a line, still sealed where it is.
func (l *line) record() store.Record {
	r := store.Record{Kind: l.Kind, Key: l.Key, Owner: l.Owner, Expires: l.Expires, Data: l.Data}
	if l.Key64 != nil {
		r.Key = string(l.Key64)
	}
	if l.Owner64 != nil {
		r.Owner = string(l.Owner64)
	}
	if l.Data64 != nil {
		r.Data = l.Data64
	}
	return r
}

// open returns the record of a line in clear. Nothing in clear is taken from a sealed file: without the key nobody can
// add to it.
func (l *line) open(h header, keys sealed.Keys) (store.Record, error) {
	r := l.record()
	if !h.Sealed && l.Sealed == "" {
		return r, nil
	}
	if l.Sealed == "" || len(r.Data) > 0 {
		return r, errors.New("it is in clear, and the file is sealed")
	}
	var err error
	r.Data, err = keys.OpenText(r.Kind, r.Key, l.Sealed)
	return r, err
}
