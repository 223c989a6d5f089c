package app_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"dex/internal/store/memory"
)

// However many wrong passwords come to three replicas at once, no more of them are checked than the limit says.
func TestReplicasLetInNoMoreGuesses(t *testing.T) {
	t.Parallel()
	kept := memory.New()
	t.Cleanup(func() { _ = kept.Close() })
	var replicas []*crowded
	for range 3 {
		replicas = append(replicas, startCrowd(t, "otp", "", kept))
	}
	for range 2 { // the first ones see the others the second time
		for _, s := range replicas {
			if err := s.core.CountReplicas(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := replicas[0].browser()
	form := b.visit(to("till", "connector_id", "crowd")).wantStatus(http.StatusFound).path()
	var checked, refused atomic.Int32
	var all sync.WaitGroup
	for i := range 1000 {
		one := b.copyOf().over(replicas[i%3])
		all.Go(func() {
			switch a := one.guess(form, "ann", "wrong"); a.status {
			case http.StatusUnauthorized:
				checked.Add(1)
			case http.StatusTooManyRequests:
				refused.Add(1)
			default:
				t.Errorf("status %d", a.status)
			}
		})
	}
	all.Wait()
	// One more after 10 s, should the machine be that slow.
	if n := checked.Load(); n < 10 || n > 11 || n+refused.Load() != 1000 {
		t.Errorf("%d passwords were checked, want 10; %d were refused", n, refused.Load())
	}
	b.over(replicas[1]).guess(form, "bob", "p").wantStatus(http.StatusSeeOther)
}
