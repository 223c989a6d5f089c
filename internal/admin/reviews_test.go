package admin_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"dex/internal/admin"
)

// Tokens that strangers make up don't have the cluster asked again about those of callers.
func TestMadeUpTokensPushOutNoAnswer(t *testing.T) {
	var asked, status atomic.Int32
	status.Store(http.StatusCreated)
	reviews := admin.NewReviews(startCluster(t, &asked, &status), "dex")
	defer reviews.Close()
	const good = `{"authenticated":true,"user":{"username":"system:serviceaccount:dex:operator"},"audiences":["dex"]}`
	review := func(bearer string) error {
		_, err := reviews.Review(t.Context(), bearer)
		return err
	}
	if err := review(good); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := review(fmt.Sprintf(`{"authenticated":false,"user":{"username":"%d"}}`, i)); !errors.Is(err, admin.ErrNotReviewed) {
			t.Fatal(err)
		}
	}
	before := asked.Load()
	if err := review(good); err != nil || asked.Load() != before {
		t.Errorf("the cluster was asked again: %v", err)
	}
}
