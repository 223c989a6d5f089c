package oidc_test

import (
	"context"
	"sync"
	"testing"

	"dex/internal/connector"
	"dex/internal/faulttest"
	"dex/internal/oauth"
)

// A provider that changed its key within ten seconds after its key set had been read let nobody in, and anybody's invented
// token opened that window again and again.
var _ = faulttest.Add("C-30", func(t *testing.T) {
	p := newProvider(t)
	c := p.open(nil)
	if _, err := p.signIn(c); err != nil {
		t.Fatal(err)
	}
	p.KeyID, p.Published = "2", "2"
	if _, err := p.signIn(c); err != nil {
		t.Errorf("right after the key has changed: %v", err)
	}
	if p.Asked["/keys"] != 2 {
		t.Errorf("the keys are asked for %d times, want 2", p.Asked["/keys"])
	}

	p.KeyID = "invented"
	forged := connector.SubjectToken{Type: oauth.TokenTypeID, Token: p.Sign(nil)}
	strangers, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for strangers.Err() == nil {
				if _, err := c.TokenIdentity(strangers, connector.Scopes{}, forged); err == nil {
					t.Error("a forged token signs somebody in")
				}
			}
		})
	}
	p.Mu.Lock()
	p.KeyID, p.Published = "3", "3"
	p.Mu.Unlock()
	_, err := p.signIn(c)
	leave()
	all.Wait()
	if err != nil {
		t.Errorf("while strangers show invented tokens: %v", err)
	}
	p.Mu.Lock()
	n := p.Asked["/keys"]
	p.Mu.Unlock()
	if n > 12 {
		t.Errorf("the keys are asked for %d times", n)
	}
})
