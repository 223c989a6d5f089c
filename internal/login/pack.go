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
	// worthPacking is the length, in bytes, from which on a request is compressed: shorter ones fit anywhere.
	worthPacking = 512
	// maxPacked bounds a request before it is compressed, in bytes.
	maxPacked = 48 << 10
	// packed marks a compressed request; one that is not begins with a brace.
	packed = 'z'
)

// packers are kept, as each is larger than all else that a login needs.
var packers = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // fails for unknown levels only
	return w
}}

// pack encodes a request, compressed if it is long: proxies have room for some kilobytes of header only. Its length tells
// who sees the encrypted traffic nothing new about the secrets in it, as these are other ones each time.
func pack(req *request) ([]byte, error) {
	plain, err := json.Marshal(req)
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
func unpack(data []byte) (*request, error) {
	if len(data) > 0 && data[0] == packed {
		var err error
		data, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data[1:])), maxPacked))
		if err != nil {
			return nil, fmt.Errorf("decompress login request: %w", err)
		}
	}
	var req request
	if err := json.Unmarshal(data, &req); err != nil {
		return nil, fmt.Errorf("decode login request: %w", err)
	}
	return &req, nil
}
