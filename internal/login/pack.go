package login

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	// worthPacking is the length, in bytes, from which on a login is compressed: shorter ones fit anywhere.
	worthPacking = 512
	// maxPacked bounds a login before it is compressed, in bytes.
	maxPacked = 48 << 10
	// packed marks a compressed login; one that is not begins with a brace.
	packed = 'z'
)

// packers are kept, as each is larger than all else that a login needs.
var packers = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // fails for unknown levels only
	return w
}}

// pack encodes a login, compressed if it is long, as proxies have room for a few kilobytes of header only. Its length tells
// nobody who watches the encrypted traffic anything about the secrets in it, as these are new each time.
func pack(l *login) ([]byte, error) {
	plain, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encode login request: %w", err)
	}
	switch {
	case len(plain) > maxPacked:
		return nil, errTooLong
	case len(plain) < worthPacking:
		return plain, nil
	}
	out := bytes.NewBuffer(make([]byte, 0, len(plain)))
	out.WriteByte(packed)
	w := packers.Get().(*flate.Writer) // nothing else is in the pool
	defer packers.Put(w)
	w.Reset(out)
	_, err = w.Write(plain)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("compress login request: %w", err)
	}
	return out.Bytes(), nil
}

// unpack decodes what pack has made.
func unpack(data []byte) (*login, error) {
	if len(data) > 0 && data[0] == packed {
		var err error
		data, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data[1:])), maxPacked))
		if err != nil {
			return nil, fmt.Errorf("decompress login request: %w", err)
		}
	}
	var l login
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("decode login request: %w", err)
	}
	return &l, nil
}
