package app_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"dex/internal/faulttest"
	"dex/internal/store"
)

// Access tokens that upstream had issued were inactive until they expired. They can't be told from ID tokens but by what is
// not in them.
var _ = faulttest.Add("U1", func(t *testing.T) {
	finished := time.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		changed map[string]any
		keyID   string // that was taken over; empty means the one that signs
		active  bool
	}{
		"upstream's":             {nil, "", true},
		"issued afterwards":      {map[string]any{"iat": time.Now().Unix()}, "", false},
		"an ID token for a code": {map[string]any{"c_hash": "x"}, "", false},
		"an exchanged ID token":  {map[string]any{"at_hash": nil}, "", false},
		"by a key of ours":       {nil, "another", false},
	} {
		_, kept := startStored(t, configuration)
		key := keyset(t, kept).Current
		ids := []string{key.KeyID}
		if c.keyID != "" {
			ids = []string{c.keyID}
		}
		type marker struct {
			Finished time.Time `json:"finished"`
			KeyIDs   []string  `json:"keyIDs"`
		}
		document, err := json.Marshal(marker{finished, ids})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kept.Create(t.Context(), store.Record{Kind: "takeover", Key: "upstream", Data: document}); err != nil {
			t.Fatal(err)
		}
		s := startOn(t, configuration, func(store.Store) store.Store { return kept })
		claims := ownClaims()
		claims["iat"], claims["at_hash"] = finished.Add(-time.Minute).Unix(), "x"
		for member, value := range c.changed {
			claims[member] = value
			if value == nil {
				delete(claims, member)
			}
		}
		token := signWith(t, key, claims)
		if got := s.introspect(token).wantStatus(http.StatusOK).json()["active"]; got != c.active {
			t.Errorf("%s: active is %v", name, got)
		}
		s.bearer(token).wantStatus(http.StatusOK)
	}
})
