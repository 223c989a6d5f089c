package kerberos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"
)

const (
	// lookEvery is how often the keytab is looked at.
	lookEvery = time.Second
	// maxKeytab bounds its size, in bytes.
	maxKeytab = 1 << 20
)

// keys are a keytab's current keys.
type keys struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex
	text   []byte
	parsed *keytab.Keytab
	looked time.Time
	failed bool // a change could not be read, and was logged
}

// load reads the keytab for the first time.
func (k *keys) load() error {
	text, parsed, err := readKeytab(k.path)
	if err != nil {
		return err
	}
	k.text, k.parsed, k.looked = text, parsed, time.Now()
	return nil
}

// current returns the keys, after reading the file again if it has changed. If it can't be read, the old keys stay in use.
func (k *keys) current(ctx context.Context) *keytab.Keytab {
	if !k.due() {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.parsed
	}
	text, parsed, err := readKeytab(k.path)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil:
		if !k.failed {
			k.log.ErrorContext(ctx, "keytab can't be read again; the old keys stay in use", "err", err)
		}
		k.failed = true
	case !bytes.Equal(text, k.text):
		k.log.InfoContext(ctx, "keytab has changed", "file", k.path)
		k.text, k.parsed, k.failed = text, parsed, false
	default:
		k.failed = false
	}
	return k.parsed
}

// due reports whether it is time for the caller to look at the file.
func (k *keys) due() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.looked) < lookEvery {
		return false
	}
	k.looked = time.Now()
	return true
}

// readKeytab reads a file, which must have keys in it.
func readKeytab(path string) (text []byte, parsed *keytab.Keytab, err error) {
	defer func() { // the library trusts the lengths in the file
		if p := recover(); p != nil {
			err = fmt.Errorf("keytab %s: it can't be read: %v", path, p)
		}
	}()
	f, err := os.Open(path) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return nil, nil, fmt.Errorf("keytab: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	if text, err = io.ReadAll(io.LimitReader(f, maxKeytab)); err != nil {
		return nil, nil, fmt.Errorf("keytab: %w", err)
	}
	parsed = keytab.New()
	if err := parsed.Unmarshal(text); err != nil {
		return nil, nil, fmt.Errorf("keytab %s: %w", path, err)
	}
	if len(parsed.Entries) == 0 {
		return nil, nil, fmt.Errorf("keytab %s: it has no keys", path)
	}
	return text, parsed, nil
}
