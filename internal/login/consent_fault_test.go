package login_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"dex/internal/faulttest"
	"dex/internal/login"
	"dex/internal/store"
)

// swapping is a storage in which somebody else signs in to a login just before an answer to its consent page is stored.
type swapping struct {
	store.Store
	t    *testing.T
	done bool
}

func (s *swapping) Replace(ctx context.Context, r store.Record) (string, error) {
	if r.Kind == "login" && !s.done {
		s.done = true
		there, err := s.Get(ctx, r.Kind, r.Key)
		if err != nil {
			s.t.Fatal(err)
		}
		var document map[string]any
		if err := json.Unmarshal(there.Data, &document); err != nil {
			s.t.Fatal(err)
		}
		document["key"] = "b3RoZXI="
		if there.Data, err = json.Marshal(document); err != nil {
			s.t.Fatal(err)
		}
		if _, err := s.Store.Replace(ctx, there); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.Store.Replace(ctx, r)
}

// A user's consent is theirs: it does not count for somebody who has signed in to the same login meanwhile.
var _ = faulttest.Add("T-finish-250", func(t *testing.T) {
	for _, answer := range []string{"approve", "rejected"} {
		v := &visitor{t: t, cookies: map[string]string{}, handler: newFlow(t, &source{}, func(c *login.Config) {
			c.SkipApproval, c.Store = false, &swapping{Store: c.Store, t: t}
		})}
		consent := v.do(http.MethodGet, v.begin(nil).Header().Get("Location"), nil, nil).Header().Get("Location")
		w := v.do(http.MethodPost, consent, url.Values{"approval": {answer}}, nil)
		if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
			t.Errorf("%s: status %d, Location %s", answer, w.Code, w.Header().Get("Location"))
		}
	}
})
