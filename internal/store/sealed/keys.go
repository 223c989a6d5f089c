package sealed

import (
	"bufio"
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/chacha20poly1305"
)

// Where keys come from.
const (
	// KeyVariable is the environment variable that holds one key, or several with commas between them.
	KeyVariable = "DEX_STORAGE_KEY"
	// FileVariable is the environment variable that names a file of keys.
	FileVariable = "DEX_STORAGE_KEY_FILE"
	// FileSetting is the key of the configuration that names a file of keys.
	FileSetting = "storage.keyFile"
)

const (
	minKey     = 32       // characters
	maxKeyFile = 64 << 10 // bytes

	keyIDLen = 8 // characters of base64

	// looseMode are the permissions that a file of keys should not give: to write to its group, anything to others.
	looseMode fs.FileMode = 0o037
)

// Keys are the operator's: the first one seals, all of them open. The zero value has none. They print as nothing that
// is secret.
type Keys struct {
	keys     []*key // without the same one twice
	warnings []string
}

type key struct {
	id   string // told to everybody, beside what the key has sealed
	aead cipher.AEAD
}

// Any reports whether there is a key.
func (k Keys) Any() bool { return len(k.keys) > 0 }

// Warnings says what is risky about where the keys come from.
func (k Keys) Warnings() []string { return slices.Clone(k.warnings) }

// Format is part of fmt.Formatter; without it, fmt would find the keys by reflection.
func (k Keys) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "storage keys (%d)", len(k.keys)) }

// ReadKeys returns the keys that the environment or a file gives. File is what the configuration names, or empty. No
// source means no keys; more than one is an error, as is one without a key, because data that was meant to be sealed
// must not be stored in clear. Errors name the source and never what it holds.
func ReadKeys(env func(string) (string, bool), file string) (Keys, error) {
	text, inVariable := env(KeyVariable)
	named, byVariable := env(FileVariable)
	var sources []string
	for source, given := range map[string]bool{KeyVariable: inVariable, FileVariable: byVariable, FileSetting: file != ""} {
		if given {
			sources = append(sources, source)
		}
	}
	slices.Sort(sources)
	switch {
	case len(sources) > 1:
		return Keys{}, fmt.Errorf("storage key: given by %s; keep one of them", strings.Join(sources, " and "))
	case inVariable:
		return parseKeys(strings.Split(text, ","), "environment variable "+KeyVariable)
	case byVariable && named == "":
		return Keys{}, fmt.Errorf("storage key: environment variable %s is empty; it must name a file", FileVariable)
	case byVariable:
		return readFile(named, FileVariable)
	case file != "":
		return readFile(file, FileSetting)
	}
	return Keys{}, nil
}

// readFile reads keys from a file, one a line; a line that begins with # is a comment.
func readFile(name, setting string) (Keys, error) {
	f, err := os.Open(name) //nolint:gosec // the operator names it
	if err != nil {
		return Keys{}, fmt.Errorf("storage key: file named by %s: %w", setting, err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil {
		return Keys{}, fmt.Errorf("storage key: file named by %s: %w", setting, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return Keys{}, fmt.Errorf("storage key: file named by %s: %w", setting, err)
	}
	source := fmt.Sprintf("file %s, named by %s,", name, setting)
	if len(data) > maxKeyFile {
		return Keys{}, fmt.Errorf("storage key: %s is larger than %d bytes", source, maxKeyFile)
	}
	keys, err := parseKeys(keyLines(data), source)
	if err != nil {
		return Keys{}, err
	}
	if mode := info.Mode().Perm(); mode&looseMode != 0 {
		keys.warnings = append(keys.warnings, fmt.Sprintf(
			"storage key: %s has the permissions %#o; 0640 or less keeps others from it", source, mode))
	}
	return keys, nil
}

func keyLines(data []byte) []string {
	var lines []string
	// No line is longer than the data, so the scanner can't fail.
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, maxKeyFile+1)
	for scanner.Scan() {
		line := strings.TrimSpace(scanner.Text())
		if strings.HasPrefix(line, "#") {
			line = "" // still counted, for errors
		}
		lines = append(lines, line)
	}
	return lines
}

// parseKeys makes keys of texts. Empty ones don't count, so that a comma or a line too many is no mistake.
func parseKeys(texts []string, source string) (Keys, error) {
	var keys Keys
	for i, text := range texts {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		if n := utf8.RuneCountInString(text); n < minKey {
			return Keys{}, fmt.Errorf("storage key: entry %d of %s has %d characters; at least %d are needed, such as "+
				"`openssl rand -base64 32` prints", i+1, source, n, minKey)
		}
		k, err := newKey(text)
		if err != nil {
			return Keys{}, fmt.Errorf("storage key: %s: %w", source, err)
		}
		if keys.find(k.id) == nil {
			keys.keys = append(keys.keys, k)
		}
	}
	if !keys.Any() {
		return Keys{}, fmt.Errorf("storage key: %s holds no key; give one of at least %d characters, such as "+
			"`openssl rand -base64 32` prints, or none of the settings", source, minKey)
	}
	return keys, nil
}

// newKey derives a key and its name. The text is meant to be random, so there is nothing to slow down a guesser.
func newKey(text string) (*key, error) {
	secret, err := hkdf.Key(sha256.New, []byte(text), nil, "dex storage key", chacha20poly1305.KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	id, err := hkdf.Key(sha256.New, []byte(text), nil, "dex storage key id", base64.RawURLEncoding.DecodedLen(keyIDLen))
	if err != nil {
		return nil, fmt.Errorf("derive key id: %w", err)
	}
	aead, err := chacha20poly1305.NewX(secret)
	if err != nil {
		return nil, fmt.Errorf("use key: %w", err)
	}
	return &key{id: base64.RawURLEncoding.EncodeToString(id), aead: aead}, nil
}

// find returns the key of an id, or nil.
func (k Keys) find(id string) *key {
	for _, candidate := range k.keys {
		if candidate.id == id {
			return candidate
		}
	}
	return nil
}

// missing explains that a document needs a key that is not among these.
func (k Keys) missing(id string) error {
	if !k.Any() {
		return fmt.Errorf("%w with the key %s, and no key is given: set %s, %s or %s",
			ErrSealed, id, KeyVariable, FileVariable, FileSetting)
	}
	return fmt.Errorf("%w with the key %s, which is not among those given: add it after the first in %s, or in the "+
		"file that %s or %s names", ErrSealed, id, KeyVariable, FileVariable, FileSetting)
}

var errNoKey = errors.New("no storage key is given: set " + KeyVariable + ", " + FileVariable + " or " + FileSetting)
