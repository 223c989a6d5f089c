package resident

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Release returns the free heap to the kernel, and the pages of the program's code and constants. Those that are needed
// again are read back from the file, which takes some microseconds each. Half of the pages are only needed at start: for
// package initialization, and for the storages, connectors and formats that are not configured.
func Release() error {
	debug.FreeOSMemory()
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("release memory: %w", err)
	}
	defer maps.Close() //nolint:errcheck // nothing was written
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("release memory: %w", err)
	}
	for _, r := range readOnly(maps, program) {
		// The mapping is private, read-only and backed by a file, so nothing is lost.
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, r.start, r.end-r.start, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("release memory: %w", errno)
		}
	}
	return nil
}

// A region is part of the address space.
type region struct{ start, end uintptr }

// readOnly returns the read-only mappings of a file; see proc_pid_maps(5).
func readOnly(maps io.Reader, file string) []region {
	var found []region
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var r region
		var mode string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &r.start, &r.end, &mode); err != nil {
			continue
		}
		if (mode == "r-xp" || mode == "r--p") && strings.HasSuffix(lines.Text(), " "+file) {
			found = append(found, r)
		}
	}
	return found
}
