package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
)

// crowdSize is how many clients come at once.
const crowdSize = 24

// crowd does something n times, by crowdSize clients at once, until one fails.
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

// TestManyLoginsOfOneUserAtOnce shows that devices of one user, however many, don't get into each other's way.
func TestManyLoginsOfOneUserAtOnce(t *testing.T) {
	t.Parallel()
	const logins = 200
	d := startDex(t, newConfiguration(t).withoutConsent())
	var mu sync.Mutex
	seen := map[string]bool{}
	err := crowd(t.Context(), logins, func(ctx context.Context, i int) error {
		tokens, err := d.login(ctx, "mock")
		if err != nil {
			return fmt.Errorf("login %d: %w", i, err)
		}
		next, err := d.refresh(ctx, tokens.RefreshToken)
		if err != nil {
			return fmt.Errorf("refresh %d: %w", i, err)
		}
		if next.status != http.StatusOK {
			return fmt.Errorf("refresh %d: status %d, error %q", i, next.status, next.Error)
		}
		mu.Lock()
		defer mu.Unlock()
		seen[tokens.RefreshToken], seen[next.RefreshToken] = true, true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 2*logins {
		t.Errorf("%d logins and refreshes gave %d different refresh tokens, want %d", logins, len(seen), 2*logins)
	}
}
