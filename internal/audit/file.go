package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxLine bounds lines when they are read, in bytes; those that are written are far shorter.
const maxLine = 1 << 20

// errTaken says that another process writes to a file.
var errTaken = errors.New("another process writes to it")

// A file is an output to a file, which is rotated by its size. It is synced once no record has come for a second, at least once a
// second while they come, and whenever it is let go.
type file struct {
	path     string
	maxSize  int64
	maxFiles int
	log      *slog.Logger

	f      *os.File
	size   int64
	torn   bool // the last line is incomplete
	synced time.Time
	stuck  bool // the log has told that it can't be rotated
}

// openFile opens a file, so that a path that can't be right is found at the start.
func openFile(o Output, log *slog.Logger) (*file, error) {
	f := &file{path: o.Path, maxSize: o.MaxSize, maxFiles: o.MaxFiles, log: log}
	if err := f.open(); err != nil && !errors.Is(err, errTaken) {
		return nil, err
	}
	return f, nil
}

func (f *file) open() error {
	if info, err := os.Stat(f.path); err == nil && (info.IsDir() || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0) {
		return fmt.Errorf("%s is not a file", f.path)
	}
	opened, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(opened.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = opened.Close() // nothing was written
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errTaken
		}
		return fmt.Errorf("lock %s: %w", f.path, err)
	}
	f.f, f.torn, f.synced = opened, false, time.Now()
	return f.measure()
}

// measure notes how long the file is, and mends its end: a crash may have cut the last line off.
func (f *file) measure() error {
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	if f.size = info.Size(); f.size == 0 || !info.Mode().IsRegular() {
		return nil
	}
	var last [1]byte
	if _, err := f.f.ReadAt(last[:], f.size-1); err != nil {
		return err
	}
	if last[0] != '\n' {
		f.torn = true
		f.mend()
	}
	return nil
}

// mend removes the beginning of a record from the end of the file, so that each line that others read is a record. A whole record that
// lacks its end of line gets one. Anything else isn't ours and stays, as does everything in a file that can only be appended to: the next
// record then begins on a line of its own.
func (f *file) mend() {
	tail := make([]byte, min(f.size, maxLine))
	if _, err := f.f.ReadAt(tail, f.size-int64(len(tail))); err != nil {
		return
	}
	begun := tail[bytes.LastIndexByte(tail, '\n')+1:]
	if len(begun) == maxLine || !beginsRecord(begun) {
		return
	}
	if _, _, ok := unhashed(begun); ok && json.Valid(begun) {
		n, err := f.f.WriteString("\n")
		f.size, f.torn = f.size+int64(n), err != nil
		return
	}
	kept := f.size - int64(len(begun))
	if err := f.f.Truncate(kept); err != nil {
		f.log.Warn("audit file ends with the beginning of a record that can't be removed", "file", f.path, "bytes", len(begun), "err", err)
		return
	}
	f.size, f.torn = kept, false
	f.log.Warn("audit file ended with the beginning of a record: a crash had cut it off, and it was removed", "file", f.path, "bytes", len(begun))
}

// begin returns the hash of the last line in the file, or in the one that was rotated last if there is none.
func (f *file) begin(context.Context) (string, error) {
	if err := f.follow(); err != nil {
		return "", err
	}
	if f.size > 0 {
		return lastHash(f.f, f.size)
	}
	rotated, err := os.Open(f.rotated(1))
	if errors.Is(err, os.ErrNotExist) {
		rotated, err = os.Open(f.lastDated())
	}
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = rotated.Close() }() // it was only read
	info, err := rotated.Stat()
	if err != nil {
		return "", err
	}
	return lastHash(rotated, info.Size())
}

// lastDated returns the file that logrotate has moved away last, if it names them by dates; empty if there is none.
func (f *file) lastDated() string {
	inFolder, _ := os.ReadDir(filepath.Dir(f.path)) // what can't be listed has none
	last := rotation{}
	for _, each := range inFolder {
		name := filepath.Join(filepath.Dir(f.path), each.Name())
		if r := rotationOf(name); !strings.HasSuffix(name, ".gz") && r.base == filepath.Clean(f.path) && r.date > last.date && r.isDated() {
			last = r
		}
	}
	if last.date == "" {
		return ""
	}
	return last.base + "-" + last.date
}

// lastHash returns the hash of the last line that has one.
func lastHash(r io.ReaderAt, size int64) (string, error) {
	tail := make([]byte, min(size, 2*maxLine))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	for len(tail) > 0 {
		end := bytes.LastIndexByte(tail, '\n')
		if end < 0 {
			return "", nil
		}
		tail = tail[:end]
		text := tail[bytes.LastIndexByte(tail, '\n')+1:]
		if _, sum, ok := unhashed(text); ok && json.Valid(text) {
			return sum, nil
		}
	}
	return "", nil
}

// follow opens the file again if somebody has moved or removed it, as logrotate does.
func (f *file) follow() error {
	if f.f != nil {
		there, err := os.Stat(f.path)
		mine, mineErr := f.f.Stat()
		if err == nil && mineErr == nil && os.SameFile(there, mine) {
			f.size = mine.Size() // somebody may have cut it
			return nil
		}
		if err := f.letGo(); err != nil {
			return err
		}
	}
	return f.open()
}

// letGo syncs and closes the file.
func (f *file) letGo() error {
	if f.f == nil {
		return nil
	}
	err := errors.Join(f.sync(), f.f.Close())
	f.f = nil
	return err
}

func (f *file) write(_ context.Context, lines []line) (taken int, err error) {
	if err := f.follow(); err != nil {
		return 0, err
	}
	bounded := true
	for taken < len(lines) {
		if bounded && f.size > 0 && f.size+int64(len(lines[taken].text)) > f.maxSize {
			bounded = f.rotate()
			if err := f.follow(); err != nil {
				return taken, err
			}
		}
		n, err := f.append(lines[taken:], bounded)
		if taken += n; err != nil {
			return taken, err
		}
	}
	if time.Since(f.synced) >= settleAfter {
		return taken, f.sync()
	}
	return taken, nil
}

// append writes lines, with a bound as many as fit into the file, and returns how many.
func (f *file) append(lines []line, bounded bool) (n int, err error) {
	var chunk []byte
	if f.torn {
		chunk = append(chunk, '\n')
	}
	before := f.size
	ends := []int{len(chunk)}
	for _, l := range lines {
		if bounded && len(ends) > 1 && before+int64(len(chunk)+len(l.text)) > f.maxSize {
			break
		}
		chunk = append(chunk, l.text...)
		ends = append(ends, len(chunk))
	}
	written, err := f.f.Write(chunk)
	for n+1 < len(ends) && ends[n+1] <= written {
		n++
	}
	f.size = before + int64(written)
	if err == nil {
		f.torn = false
		return n, nil
	}
	whole := ends[n]
	if n == 0 && f.torn {
		whole = 0
	}
	switch {
	case written > whole: // take back the beginning of a line, or end it at the next try
		f.torn = f.f.Truncate(before+int64(whole)) != nil || n == 0 && f.torn
	case n > 0:
		f.torn = false
	}
	return n, err
}

func (f *file) rotated(n int) string { return f.path + "." + strconv.Itoa(n) }

// rotate moves the file to the name with .1, and those before to the next number. If that fails, the file grows.
func (f *file) rotate() bool {
	err := f.shift()
	if err != nil && !f.stuck {
		f.log.Warn("audit file can't be rotated: it grows beyond its size", "file", f.path, "err", err)
	}
	f.stuck = err != nil
	return err == nil
}

// shift renames no file behind the first gap in the numbers, such as a crash between two renames leaves: they have moved on already.
func (f *file) shift() error {
	free := 1
	for ; free < f.maxFiles; free++ {
		if _, err := os.Lstat(f.rotated(free)); errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	for n := free; n > 0; n-- {
		from := f.path
		if n > 1 {
			from = f.rotated(n - 1)
		}
		if err := os.Rename(from, f.rotated(n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (f *file) sync() error {
	f.synced = time.Now()
	if err := f.f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) { // a device can't
		return err
	}
	return nil
}

func (f *file) settle() error {
	if f.f == nil {
		return nil
	}
	return f.sync()
}

func (f *file) close() error { return f.letGo() }

// A stream is an output to a file descriptor that is open already.
type stream struct {
	w    io.WriteCloser
	rest []byte // of a line that was written in part
}

// duplicate returns a descriptor of its own for a file: to write to a pipe that nobody reads would end a process if it is its standard
// output.
func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func (s *stream) begin(context.Context) (string, error) { return "", nil }

func (s *stream) write(_ context.Context, lines []line) (taken int, err error) {
	if len(s.rest) > 0 {
		n, err := s.w.Write(s.rest)
		if s.rest = s.rest[n:]; err != nil {
			return 0, err
		}
	}
	for _, l := range lines {
		n, err := s.w.Write(l.text)
		switch {
		case err == nil:
			taken++
		case n > 0: // the rest comes before anything else
			s.rest = l.text[n:]
			return taken + 1, err
		default:
			return taken, err
		}
	}
	return taken, nil
}

func (s *stream) settle() error { return nil }
func (s *stream) close() error  { return s.w.Close() }
