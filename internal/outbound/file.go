package outbound

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// maxFile bounds a file that settings name, in bytes.
const maxFile = 1 << 20

// ReadFile returns what is in a file that a connector's settings name. It must be a regular one of at most 1 MiB, as whoever may write
// connectors names it: a device may have no end, and a pipe nobody who writes to it.
func ReadFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // G304: see above
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, err
}
