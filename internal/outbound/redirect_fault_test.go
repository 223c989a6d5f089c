package outbound_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dex/internal/faulttest"
	"dex/internal/outbound"
)

// moved is a source that sends everybody on to another address, and what arrives there.
func moved(t *testing.T, status int) (address string, arrived *http.Header) {
	t.Helper()
	arrived = new(http.Header)
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { *arrived = r.Header.Clone() }))
	t.Cleanup(target.Close)
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target.URL, status)
	}))
	t.Cleanup(source.Close)
	return source.URL, arrived
}

// A request with an access token followed redirects to other ports and subdomains, with the token.
var _ = faulttest.Add("R16", func(t *testing.T) {
	client, err := outbound.NewClient(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	address, arrived := moved(t, http.StatusFound)
	status, _, err := outbound.Get(t.Context(), client, address, http.Header{"Authorization": {"Bearer secret"}})
	if err != nil || status != http.StatusFound || *arrived != nil {
		t.Errorf("with a token: %d, %v; what arrives is %v", status, err, *arrived)
	}
	if status, _, err := outbound.Get(t.Context(), client, address, nil); err != nil || status != http.StatusOK || *arrived == nil {
		t.Errorf("without credentials: %d, %v", status, err)
	}
	loop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/", http.StatusFound)
	}))
	defer loop.Close()
	if _, _, err := outbound.Get(t.Context(), client, loop.URL, nil); err == nil || !strings.Contains(err.Error(), "leads on") {
		t.Errorf("a loop: %v", err)
	}
})

// Nothing noticed when the form of a token request, with our secret in it, followed a redirect.
var _ = faulttest.Add("T-tokens-68", func(t *testing.T) {
	client, err := outbound.NewClient(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	address, arrived := moved(t, http.StatusTemporaryRedirect)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader("client_secret=s"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := outbound.Do(client, r)
	if err != nil || answer.Status != http.StatusTemporaryRedirect || *arrived != nil {
		t.Errorf("%+v, %v; what arrives is %v", answer, err, *arrived)
	}
})
