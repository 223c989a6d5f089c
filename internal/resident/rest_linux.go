package resident

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A process rests while it uses less than a hundredth of a processor.
const (
	interval = 2 * time.Second
	little   = interval / 100 // of processor time, in one interval
	growth   = 1 << 20        // bytes of the program's file that were used since the last release and make another one worthwhile
)

// Rest calls Release whenever the process has come to rest after work, until the context ends: a few logins use most of the
// pages that Release has given back, and the server may have nothing to do for the rest of the day.
func Rest(ctx context.Context) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var r rest
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now, err := measure()
		if err != nil {
			return err
		}
		if r.due(now) {
			if err := Release(); err != nil {
				return err
			}
		}
	}
}

// A usage is what the process has used.
type usage struct {
	processor time.Duration // since its start
	file      int64         // resident bytes that are backed by files
}

// A rest decides when to release memory.
type rest struct {
	last     usage
	floor    int64 // resident bytes of files that the process needs while it rests, 0 if not known
	released bool  // at the last look
}

// due says whether to release memory now.
func (r *rest) due(now usage) bool {
	resting := now.processor-r.last.processor < little
	if r.released && resting {
		r.floor = now.file
	}
	r.released = resting && now.file > r.floor+growth
	r.last = now
	return r.released
}

func measure() (usage, error) {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return usage{}, fmt.Errorf("measure processor time: %w", err)
	}
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return usage{}, fmt.Errorf("measure memory: %w", err)
	}
	var size, resident, shared int64 // in pages; see proc_pid_statm(5)
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared); err != nil {
		return usage{}, fmt.Errorf("measure memory: %w", err)
	}
	return usage{time.Duration(used.Utime.Nano() + used.Stime.Nano()), shared * int64(os.Getpagesize())}, nil
}
