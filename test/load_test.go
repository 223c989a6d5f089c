package e2e

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// crowdSize is the number of concurrent clients.
const crowdSize = 24

// crowd does something n times with crowdSize concurrent clients, until one fails.
func crowd(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	clients, ctx := errgroup.WithContext(ctx)
	clients.SetLimit(crowdSize)
	for i := range n {
		clients.Go(func() error {
			select {
			case <-ctx.Done():
				return nil // another one failed first, and says why
			default:
				return do(ctx, i)
			}
		})
	}
	return clients.Wait()
}
