package kubeapi

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// credentials say who we are in the header Authorization. A client certificate comes with the connection instead.
type credentials interface {
	// header returns the value of the header; empty means none.
	header() string
	// refused says that the server did not take a header, and reports whether there is another one now.
	refused(header string) bool
}

// A fixedHeader is a header that does not change.
type fixedHeader string

func (f fixedHeader) header() string    { return string(f) }
func (fixedHeader) refused(string) bool { return false }

func bearer(token string) fixedHeader {
	if token == "" {
		return ""
	}
	return fixedHeader("Bearer " + token)
}

func basic(username, password string) fixedHeader {
	return fixedHeader("Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password)))
}

// tokenAge is how long a token is used before its file is read again. Kubernetes puts another token there long before
// the old one ends.
const tokenAge = 30 * time.Second

// A tokenFile is a token in a file that somebody renews. If the file can't be read, the last token stays in use.
type tokenFile struct {
	path string
	log  *slog.Logger

	mu    sync.Mutex
	token string
	read  time.Time
}

// newTokenFile reads the token for the first time.
func newTokenFile(path string, log *slog.Logger) (*tokenFile, error) {
	token, err := readToken(path)
	if err != nil {
		return nil, err
	}
	return &tokenFile{path: path, log: log, token: token, read: time.Now()}, nil
}

func readToken(path string) (string, error) {
	data, err := os.ReadFile(path) //nolint:gosec // G304: the operator's path
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", fmt.Errorf("read token: %w", errors.New(path+" is empty"))
	}
	return token, nil
}

func (f *tokenFile) header() string {
	f.mu.Lock()
	token, old := f.token, time.Since(f.read) > tokenAge
	if old {
		f.read = time.Now() // the others go on with the old one meanwhile
	}
	f.mu.Unlock()
	if old {
		token = f.renew(token)
	}
	return string(bearer(token))
}

func (f *tokenFile) refused(header string) bool {
	f.mu.Lock()
	token := f.token
	f.mu.Unlock()
	return string(bearer(f.renew(token))) != header
}

// renew reads the file and returns the token to use.
func (f *tokenFile) renew(last string) string {
	token, err := readToken(f.path)
	if err != nil {
		f.log.Warn("the token for the Kubernetes API can't be read again; the last one stays in use", "err", err)
		return last
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.token, f.read = token, time.Now()
	return token
}
