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
