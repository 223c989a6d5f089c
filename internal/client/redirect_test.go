package client_test

import (
	"testing"

	"dex/internal/client"
)

func TestAllowsRedirect(t *testing.T) {
	unregistered := &client.Client{Public: true}
	public := &client.Client{Public: true, RedirectURIs: []string{
		"http://localhost:8000/cb", "http://127.0.0.1/cb?x=1", "com.example.app:/cb",
	}}
	confidential := &client.Client{RedirectURIs: []string{
		"https://app.example.com/cb", "http://localhost:8000/cb", "http://127.0.0.1:9/cb", "http://[::1]/cb",
	}}
	none := &client.Client{}

	for _, test := range []struct {
		name    string
		client  *client.Client
		uri     string
		allowed bool
	}{
		{"exact", confidential, "https://app.example.com/cb", true},
		{"another path", confidential, "https://app.example.com/cb/", false},
		{"another query", confidential, "https://app.example.com/cb?x", false},
		{"another case", confidential, "https://APP.example.com/cb", false},
		{"another port of https", confidential, "https://app.example.com:8443/cb", false},
		{"a longer host", confidential, "https://app.example.com.evil/cb", false},
		{"user info", confidential, "https://x@app.example.com/cb", false},
		{"no registration", none, "http://127.0.0.1/cb", false},
		{"empty", none, "", false},
		{"empty, public", unregistered, "", false},

		{"RFC 8252: registered address, any port", confidential, "http://127.0.0.1:51234/cb", true},
		{"RFC 8252: registered v6 address, any port", confidential, "http://[::1]:51234/cb", true},
		{"RFC 8252: another loopback address", confidential, "http://127.0.0.2:9/cb", false},
		{"RFC 8252: another path", confidential, "http://127.0.0.1:9/other", false},
		{"RFC 8252: localhost of a confidential client", confidential, "http://localhost:8001/cb", false},
		{"RFC 8252: localhost of a public client", public, "http://localhost:51234/cb", true},
		{"RFC 8252: query must match", public, "http://127.0.0.1:1/cb?x=2", false},
		{"RFC 8252: query matches", public, "http://127.0.0.1:1/cb?x=1", true},
		{"RFC 8252: fragment", public, "http://127.0.0.1:1/cb?x=1#f", false},
		{"a private scheme", public, "com.example.app:/cb", true},
		{"out of band with registrations", public, "urn:ietf:wg:oauth:2.0:oob", false},

		{"unregistered: localhost", unregistered, "http://localhost", true},
		{"unregistered: localhost and port", unregistered, "http://localhost:1/x", true},
		{"unregistered: address", unregistered, "http://127.1.2.3:9/x", true},
		{"unregistered: v6 and port", unregistered, "http://[::1]:8000/cb", true},
		{"unregistered: v6 (B-29)", unregistered, "http://[::1]/cb", true},
		{"unregistered: query", unregistered, "http://localhost:8000/x?y=1", true},
		{"unregistered: fragment (D-103)", unregistered, "http://localhost:8000/x#frag", false},
		{"unregistered: empty fragment (D-103)", unregistered, "http://localhost:8000/x#", false},
		{"unregistered: user info (D-141)", unregistered, "http://user@localhost:80/", false},
		{"unregistered: https", unregistered, "https://localhost/x", false},
		{"unregistered: localhost as a label", unregistered, "http://localhost.evil/", false},
		{"unregistered: localhost twice", unregistered, "http://localhost.localhost:8080/", false},
		{"unregistered: zone", unregistered, "http://[::1%25lo]/cb", false},
		{"unregistered: public address", unregistered, "http://8.8.8.8/cb", false},
		{"unregistered: opaque", unregistered, "http:localhost", false},
		{"unregistered: backslash", unregistered, `http://localhost\@evil/`, false},
		{"unregistered: out of band (D-142)", unregistered, "urn:ietf:wg:oauth:2.0:oob", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.client.AllowsRedirect(test.uri, client.RedirectRules{}); got != test.allowed {
				t.Errorf("AllowsRedirect(%q) = %t, want %t", test.uri, got, test.allowed)
			}
		})
	}
}

// What is let through without a registration must stay on the user's machine, as a browser reads it.
func FuzzAllowsRedirect(f *testing.F) {
	f.Add("http://localhost:8000/x")
	f.Add("http://[::1]/cb")
	f.Add(`http://localhost\@evil/`)
	unregistered := &client.Client{Public: true}
	f.Fuzz(func(t *testing.T, uri string) {
		if unregistered.AllowsRedirect(uri, client.RedirectRules{}) && !staysLocal(uri) {
			t.Errorf("%q is allowed", uri)
		}
	})
}
