package connector_test

import (
	"testing"
	"time"

	"dex/internal/connector"
)

// A logout at the source ends the sessions that it names, and no others.
func TestSourceLogoutMeans(t *testing.T) {
	began := time.Now()
	session := connector.SourceSession{ID: "s1", Subject: "jane"}
	for name, tt := range map[string]struct {
		said    connector.SourceLogout
		session connector.SourceSession
		want    bool
	}{
		"everything":                     {connector.SourceLogout{}, session, true},
		"the session":                    {connector.SourceLogout{Sessions: []string{"s0", "s1"}}, session, true},
		"another session":                {connector.SourceLogout{Sessions: []string{"s2"}}, session, false},
		"a session without an id":        {connector.SourceLogout{Sessions: []string{""}}, connector.SourceSession{}, false},
		"the user":                       {connector.SourceLogout{Subject: "jane"}, session, true},
		"another user":                   {connector.SourceLogout{Subject: "joe"}, session, false},
		"a user of whom nothing is kept": {connector.SourceLogout{Subject: "jane"}, connector.SourceSession{}, false},
		"session and user":               {connector.SourceLogout{Subject: "jane", Sessions: []string{"s1"}}, session, true},
		"another user's session":         {connector.SourceLogout{Subject: "joe", Sessions: []string{"s1"}}, session, false},
		"another session of the user":    {connector.SourceLogout{Subject: "jane", Sessions: []string{"s2"}}, session, false},
		"before a later time":            {connector.SourceLogout{Subject: "jane", Before: began.Add(time.Second)}, session, true},
		"before an earlier time":         {connector.SourceLogout{Subject: "jane", Before: began.Add(-time.Second)}, session, false},
	} {
		if got := tt.said.Means(tt.session, began); got != tt.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
