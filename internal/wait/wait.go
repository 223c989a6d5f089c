// Package wait lets a goroutine wait for a while.
package wait

import (
	"context"
	"time"
)

// For waits for a while. The error is the cause of the context's end, if that came first.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
