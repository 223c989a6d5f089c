//go:build !linux

package resident

import "context"

// Release does nothing here.
func Release() error { return nil }

// Rest waits for the end of its context, and does nothing here.
func Rest(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
