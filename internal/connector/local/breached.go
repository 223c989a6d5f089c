package local

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // G505: the published lists are of SHA-1
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
)

const (
	// maxPlainList bounds a list of passwords, all of which are held in memory, in bytes.
	maxPlainList = 64 << 20
	// longestEntry bounds a line of hashes: 40 digits, a colon, a count and the end of the line; in bytes.
	longestEntry = 64
	// samples is at how many places a list of hashes is looked at to see whether it is in order.
	samples = 64
)

var (
	hashLine = regexp.MustCompile(`^([0-9A-Fa-f]{40})(?::[0-9]+)?\r?$`)
	ntlmLine = regexp.MustCompile(`^[0-9A-Fa-f]{32}:[0-9]+\r?$`)

	byteOrderMark = []byte("\ufeff")
)

// openBreached opens a list of passwords: their SHA-1 hashes in order, as Have I Been Pwned publishes them, or the passwords
// themselves. The first line says which.
func openBreached(path string) (breachedList, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	first, err := bufio.NewReader(io.LimitReader(f, 1024)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	line := bytes.TrimSuffix([]byte(first), []byte("\n"))
	switch {
	case size == 0:
		return nil, fmt.Errorf("%s is empty", path)
	case ntlmLine.Match(line):
		return nil, fmt.Errorf("%s has hashes of NTLM; those of SHA-1 are needed", path)
	case hashLine.Match(line):
		return hashList{path}, checkOrder(f, size)
	case size > maxPlainList:
		return nil, fmt.Errorf("%s is larger than %d MiB; a list of that size must have SHA-1 hashes in order", path, maxPlainList>>20)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return readPlain(f)
}

func openRegular(path string) (*os.File, int64, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // to open a pipe may take for ever
		return nil, 0, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path) //nolint:gosec // G304: the operator names it
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// A plainList has the first eight bytes of the SHA-256 of each password, in order. That another password has the same is as
// good as impossible, and would harm nobody.
type plainList []uint64

// readPlain reads passwords, one in each line.
func readPlain(r io.Reader) (plainList, error) {
	var list plainList
	lines := bufio.NewScanner(io.LimitReader(r, maxPlainList))
	for lines.Scan() {
		line := bytes.TrimSuffix(lines.Bytes(), []byte("\r"))
		if len(list) == 0 {
			line = bytes.TrimPrefix(line, byteOrderMark)
		}
		if len(line) > 0 {
			list = append(list, shortHash(line))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read passwords: %w", err)
	}
	slices.Sort(list)
	return slices.Clip(slices.Compact(list)), nil
}

func shortHash(password []byte) uint64 {
	sum := sha256.Sum256(password)
	return binary.BigEndian.Uint64(sum[:])
}

func (l plainList) has(password string) (bool, error) {
	_, found := slices.BinarySearch(l, shortHash([]byte(password)))
	return found, nil
}

// A hashList is a file with SHA-1 hashes in order, which may be far larger than the memory. It is opened for each search, so that
// a newer one can take its place.
type hashList struct{ path string }

func (l hashList) has(password string) (bool, error) {
	f, size, err := openRegular(l.path)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // nothing was written

	if size == 0 { // it is just being written
		return false, fmt.Errorf("%s is empty", l.path)
	}
	wanted := sha1.Sum([]byte(password)) //nolint:gosec // G401: the published lists are of SHA-1
	for low, high := int64(0), size; low < high; {
		e, err := entryAt(f, low+(high-low)/2)
		if err != nil {
			return false, err
		}
		switch order := bytes.Compare(e.hash, wanted[:]); {
		case order == 0:
			return true, nil
		case order < 0:
			low = e.end
		default:
			high = e.start
		}
	}
	return false, nil
}

// An entry is a line of a hashList.
type entry struct {
	hash       []byte
	start, end int64 // in the file, with the end of the line
}

// entryAt reads the line that a place of a file is in.
func entryAt(f io.ReaderAt, at int64) (entry, error) {
	from := max(0, at-longestEntry)
	window := make([]byte, 2*longestEntry)
	n, err := f.ReadAt(window, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return entry{}, err
	}
	window, within := window[:n], int(at-from)
	if within >= n {
		return entry{}, fmt.Errorf("the file has become shorter than %d bytes", at)
	}
	begin := bytes.LastIndexByte(window[:within], '\n') + 1
	length := bytes.IndexByte(window[begin:], '\n') + 1
	if length == 0 { // the last line
		length = n - begin
	}
	m := hashLine.FindSubmatch(bytes.TrimSuffix(window[begin:begin+length], []byte("\n")))
	if m == nil {
		return entry{}, fmt.Errorf("there is no SHA-1 hash in the line at byte %d", at)
	}
	hash := make([]byte, sha1.Size)
	if _, err := hex.Decode(hash, m[1]); err != nil {
		return entry{}, err
	}
	return entry{hash, from + int64(begin), from + int64(begin+length)}, nil
}

// checkOrder looks at a few lines from the first to the last: in a list that isn't in order nothing would be found.
func checkOrder(f io.ReaderAt, size int64) error {
	var before entry
	for i := range int64(samples) {
		e, err := entryAt(f, i*(size-1)/(samples-1))
		if err != nil {
			return err
		}
		if before.hash != nil && e.start > before.start && bytes.Compare(before.hash, e.hash) >= 0 {
			return fmt.Errorf("the hashes at bytes %d and %d are not in order; use the list that is ordered by hash", before.start, e.start)
		}
		before = e
	}
	return nil
}
