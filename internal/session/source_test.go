package session_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"dex/internal/connector"
	"dex/internal/session"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// A source that signs a user out ends all of their sessions, more than a page of them too.
func TestAtSourceManySessions(t *testing.T) {
	t.Parallel()
	s := session.New(session.Config{
		Store: memory.New(), IssuerURL: &url.URL{Scheme: "https", Host: "dex.test"}, Idle: time.Hour, Lifetime: time.Hour, Now: time.Now,
	})
	now := time.Now()
	who := session.Session{
		ConnectorID: "sso", Identity: connector.Identity{UserID: "jane"}, Source: connector.SourceSession{Subject: "jane"},
		Secrets: []session.Secret{{Issued: now}}, LastUsed: now, Ends: now.Add(time.Hour), Idle: now.Add(time.Hour),
	}
	const many = store.MaxLimit + 5
	for n := range many {
		if _, err := s.Table().Create(t.Context(), fmt.Sprintf("s%d", n), who); err != nil {
			t.Fatal(err)
		}
	}
	found, err := s.AtSource(t.Context(), "sso", connector.SourceLogout{Subject: "jane"})
	if err != nil || len(found) != many {
		t.Errorf("%d sessions, %v", len(found), err)
	}
}
