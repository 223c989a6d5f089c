package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessType    = "urn:ietf:params:oauth:token-type:access_token"
	idType        = "urn:ietf:params:oauth:token-type:id_token"
)

// An exchanged is the answer to a token exchange.
type exchanged struct {
	status      int
	Access      string `json:"access_token"`
	Issued      string `json:"issued_token_type"`
	Type        string `json:"token_type"`
	Expires     int    `json:"expires_in"`
	Refresh     string `json:"refresh_token"`
	ID          string `json:"id_token"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// exchange exchanges a token: an ID token from my-upstream for an access token, unless the additional parameters say
// otherwise. An empty one leaves its parameter out.
func (d *dex) exchange(t *testing.T, token string, more ...string) *exchanged {
	t.Helper()
	return d.exchangeAs(t, "my-app", "my-secret", token, more...)
}

func (d *dex) exchangeAs(t *testing.T, id, secret, token string, more ...string) *exchanged {
	t.Helper()
	form := url.Values{
		"grant_type": {exchangeGrant}, "connector_id": {"my-upstream"}, "scope": {"openid groups federated:id"},
		"subject_token": {token}, "subject_token_type": {idType},
	}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
		if more[i+1] == "" {
			form.Del(more[i])
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.endpoint("/token"), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret != "" {
		r.SetBasicAuth(id, secret)
	}
	p, err := newVisitor(d.transport).visit(r)
	if err != nil {
		t.Fatal(err)
	}
	return readExchanged(t, p.status, p.body)
}

func readExchanged(t *testing.T, status int, body string) *exchanged {
	t.Helper()
	answer := &exchanged{status: status}
	if err := json.Unmarshal([]byte(body), answer); err != nil {
		t.Fatalf("status %d, body %q: %v", status, body, err)
	}
	return answer
}

// want expects a token, and returns its claims.
func (a *exchanged) want(t *testing.T) map[string]any {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d, error %q %q", a.status, a.Error, a.Description)
	}
	return payloadOf(t, a.Access)
}

// wantError expects a refusal with some words in it.
func (a *exchanged) wantError(t *testing.T, status int, code, words string) {
	t.Helper()
	if a.status != status || a.Error != code || !strings.Contains(a.Description, words) || a.Access != "" {
		t.Errorf("status %d, error %q %q; want %d, %q and %q", a.status, a.Error, a.Description, status, code, words)
	}
}

// payloadOf reads the claims of a token without checking its signature.
func payloadOf(t *testing.T, token string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// wantPart expects these claims among others.
func wantPart(t *testing.T, claims, want map[string]any) {
	t.Helper()
	got := map[string]any{}
	for name := range want {
		if value, ok := claims[name]; ok {
			got[name] = value
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}
