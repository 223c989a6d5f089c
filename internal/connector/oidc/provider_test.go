package oidc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/oidc"
)

const (
	callbackURL    = "https://dex.test/callback"
	ownCallbackURL = callbackURL + "/oidc"
)

// object is a JSON object.
type object = connectortest.Object

// A provider is what the connectors under test sign in at, and their log.
type provider struct {
	*connectortest.Provider
	t    *testing.T
	log  bytes.Buffer
	seen map[string]bool // what counts once
	lost error           // why nobody can tell what does
}

// once is that of connector.Env. It is not safe for concurrent use.
func (p *provider) once(_ context.Context, key string, until time.Time) (bool, error) {
	if !until.After(time.Now()) {
		p.t.Errorf("%q is to be remembered until %v", key, until)
	}
	if p.lost != nil {
		return false, p.lost
	}
	first := !p.seen[key]
	p.seen[key] = true
	return first, nil
}

func newProvider(t *testing.T) *provider {
	return &provider{Provider: connectortest.NewTLS(t), t: t, seen: map[string]bool{}}
}

func merged(base, more object) object { return connectortest.Merged(base, more) }

// A connection is an opened connector.
type connection interface {
	connector.Callback
	connector.Refresher
	connector.TokenIdentity
	connector.Logout
	connector.LogoutReceiver
	connector.Prober
	Close() error
}

// open opens a connector to the provider, with settings over the usual ones.
func (p *provider) open(more object) connection {
	p.t.Helper()
	settings, problems := decode(p.t, merged(object{
		"issuer": p.URL, "clientID": "dex", "clientSecret": "secret", "redirectURI": callbackURL, "rootCAs": []string{p.CA()},
	}, more))
	if err := problems.Err(); err != nil {
		p.t.Fatal(err)
	}
	instance, err := settings.Open(p.t.Context(), connector.Env{
		ID: "oidc", CallbackURL: callbackURL, OwnCallbackURL: ownCallbackURL, Log: slog.New(slog.NewTextHandler(&p.log, nil)),
		Once: p.once,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	c := instance.(connection)
	p.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			p.t.Error(err)
		}
	})
	return c
}

func decode(t *testing.T, settings object) (*oidc.Config, config.Problems) {
	t.Helper()
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	section, err := config.SectionFromJSON("connector", text)
	if err != nil {
		t.Fatal(err)
	}
	var c oidc.Config
	return &c, section.Decode(&c)
}

// begin begins a login and returns the parameters that the provider gets.
func (p *provider) begin(c connection, r connector.LoginRequest) (url.Values, []byte) {
	p.t.Helper()
	r.CallbackURL, r.State = callbackURL, "the state"
	to, err := c.Begin(p.t.Context(), r)
	if err != nil {
		p.t.Fatal(err)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Nonce = u.Query().Get("nonce")
	return u.Query(), to.Data
}

// signIn goes to the provider and back.
func (p *provider) signIn(c connection) (connector.Identity, error) {
	p.t.Helper()
	_, data := p.begin(c, connector.LoginRequest{})
	return p.back(c, data, url.Values{"code": {"the code"}})
}

func (p *provider) back(c connection, data []byte, answer url.Values) (connector.Identity, error) {
	p.t.Helper()
	return c.HandleCallback(p.t.Context(), connector.Return{
		CallbackURL: callbackURL, State: "the state", Data: data, Request: httptest.NewRequest(http.MethodGet, callbackURL+"?"+answer.Encode(), nil),
	})
}
