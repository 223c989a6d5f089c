package audit

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
)

// MinKey is how long a key must be, in bytes.
const MinKey = 32

// derive returns a key for one purpose, so that neither can be used in place of the other.
func derive(key []byte, purpose string) ([]byte, error) {
	if len(key) == 0 {
		return nil, nil
	}
	derived, err := hkdf.Key(sha256.New, key, nil, "dex audit "+purpose, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("audit key: %w", err)
	}
	return derived, nil
}

func chainKey(key []byte) ([]byte, error) { return derive(key, "chain") }

// A chain is where an output's stream of records is: each line names the hash of the line before. Outputs have chains of their own,
// so that what one of them has lost breaks no other.
type chain struct {
	stream string
	seq    uint64 // of the last line
	prev   string // its hash
}

// newStream returns the name of a stream: one process's records in one output.
func newStream() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// seal returns the line of a record, which is JSON, and the chain after it. The hash is that of the line without the member hash.
func (c chain) seal(record, key []byte) (line []byte, after chain) {
	c.seq++
	line = make([]byte, 0, len(record)+256)
	line = append(line, lineStart...)
	line = strconv.AppendUint(line, c.seq, 10)
	line = append(line, `,"stream":"`...)
	line = append(line, c.stream...)
	line = append(line, `",`...)
	line = append(line, record[1:len(record)-1]...)
	line = append(line, `,"prev":"`...)
	line = append(line, c.prev...)
	line = append(line, `"}`...)
	c.prev = digest(line, key)
	line = append(line[:len(line)-1], hashMember...)
	line = append(line, c.prev...)
	return append(line, "\"}\n"...), c
}

// lineStart is how each line begins.
var lineStart = `{"v":` + strconv.Itoa(Version) + `,"seq":`

// beginsRecord reports whether a text can be the beginning of a line.
func beginsRecord(text []byte) bool {
	n := min(len(text), len(lineStart))
	return n > 0 && string(text[:n]) == lineStart[:n]
}

// hashMember is what comes before the hash at the end of a line.
const hashMember = `,"hash":"`

// digest returns the hash of a line without its own: by SHA-256, or by HMAC if there is a key.
func digest(line, key []byte) string {
	var h hash.Hash
	if len(key) > 0 {
		h = hmac.New(sha256.New, key)
	} else {
		h = sha256.New()
	}
	h.Write(line)
	return hex.EncodeToString(h.Sum(nil))
}

// unhashed takes the hash off a line without its end of line; false if it has none where one must be.
func unhashed(line []byte) (rest []byte, sum string, ok bool) {
	const tail = sha256.Size*2 + len(`"}`)
	at := len(line) - tail - len(hashMember)
	if at <= 0 || string(line[at:at+len(hashMember)]) != hashMember || string(line[len(line)-2:]) != `"}` {
		return nil, "", false
	}
	rest = append(append(make([]byte, 0, at+1), line[:at]...), '}')
	return rest, string(line[at+len(hashMember) : len(line)-2]), true
}
