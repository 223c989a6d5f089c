package discovery_test

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"dex/internal/discovery"
	"dex/internal/signing"
)

// keys are a signer whose algorithms change.
type keys struct{ algorithms []string }

func (k *keys) JWKS() signing.Document { return signing.Document{} }
func (k *keys) Algorithms() []string   { return k.algorithms }
func (k *keys) MaxAge() time.Duration  { return time.Minute }

func TestDepartureMetadata(t *testing.T) {
	t.Run("B-06 the metadata follows the signer", func(t *testing.T) {
		at := &url.URL{Scheme: "https", Host: "id.example.net"}
		signer := &keys{}
		handler := discovery.New(discovery.Config{Issuer: at.String(), IssuerURL: at, Keys: signer}).Metadata()
		tags := map[string]bool{}
		for _, algorithms := range [][]string{{"RS256"}, {"ES256", "RS256"}, {"ES256"}} {
			signer.algorithms = algorithms
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			var document struct {
				Algorithms []string `json:"id_token_signing_alg_values_supported"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(document.Algorithms, algorithms) {
				t.Errorf("published are %v, want %v", document.Algorithms, algorithms)
			}
			tags[w.Header().Get("ETag")] = true
		}
		if len(tags) != 3 {
			t.Errorf("three documents have the tags %v", tags)
		}
	})
}

func TestSessions(t *testing.T) {
	at := &url.URL{Scheme: "https", Host: "id.example.net", Path: "/dex"}
	read := func(cfg discovery.Config) map[string]any {
		t.Helper()
		cfg.Issuer, cfg.IssuerURL, cfg.Keys = at.String(), at, &keys{}
		text, err := discovery.New(cfg).Document()
		if err != nil {
			t.Fatal(err)
		}
		var document map[string]any
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		return document
	}
	want := map[string]any{
		"end_session_endpoint": "https://id.example.net/dex/logout", "check_session_iframe": "https://id.example.net/dex/session/check",
		"backchannel_logout_supported": true, "backchannel_logout_session_supported": true,
		"frontchannel_logout_supported": true, "frontchannel_logout_session_supported": true,
	}
	hasSID := func(document map[string]any) bool {
		return slices.Contains(document["claims_supported"].([]any), any("sid"))
	}
	off := read(discovery.Config{})
	for member := range want {
		if off[member] != nil {
			t.Errorf("without sessions, %s is %v", member, off[member])
		}
	}
	on := read(discovery.Config{Sessions: true, SessionIframe: true})
	for member, value := range want {
		if on[member] != value {
			t.Errorf("%s is %v, want %v", member, on[member], value)
		}
	}
	if hasSID(off) || !hasSID(on) {
		t.Errorf("claims without sessions: %v; with: %v", off["claims_supported"], on["claims_supported"])
	}
	if noIframe := read(discovery.Config{Sessions: true}); noIframe["check_session_iframe"] != nil {
		t.Error("an iframe is promised that isn't served")
	}
}
