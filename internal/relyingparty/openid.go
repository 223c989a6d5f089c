package relyingparty

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"dex/internal/connector"
	"dex/internal/oauth"
	"dex/internal/outbound"
)

// OpenID is what makes a SignIn one of OpenID Connect. The provider says itself where it is, so that the Flow needs no addresses;
// it says who the user is by an ID token, which is bound to the login by a nonce.
type OpenID struct {
	Discovery *Discovery
	Tokens    *IDTokens
	// KeepsSessions makes identities say from which session they are, for a connector with a Logout.
	KeepsSessions bool
}

// trip is what has to be known when the browser comes back.
type trip struct {
	Verifier string `json:"verifier,omitempty"`
	Nonce    string `json:"nonce"`
}

// flow returns the flow with the provider's addresses, and what else the provider says of itself; nil where it isn't asked.
func (s *SignIn) flow(ctx context.Context) (*Flow, *Metadata, error) {
	discovery := s.Discovery
	if s.OpenID != nil {
		discovery = s.OpenID.Discovery
	}
	if discovery == nil {
		return &s.Flow, nil, nil
	}
	m, err := discovery.Get(ctx)
	if err != nil {
		return nil, nil, err
	}
	if !outbound.IsURL(m.AuthURL) {
		return nil, nil, fmt.Errorf("the provider's authorization_endpoint is %q", m.AuthURL)
	}
	flow := s.Flow
	flow.AuthURL, flow.Tokens = m.AuthURL, m.TokenEndpoint()
	if m.AnswersWithIss {
		flow.Issuer = m.Issuer
	}
	return &flow, m, nil
}

func (s *SignIn) beginOpenID(ctx context.Context, r connector.LoginRequest, more url.Values) (connector.Redirect, error) {
	flow, _, err := s.flow(ctx)
	if err != nil {
		return connector.Redirect{}, err
	}
	t := trip{Nonce: rand.Text()}
	more.Set("nonce", t.Nonce)
	to, err := flow.Begin(r.State, s.Scopes(r.Scopes), more)
	if err != nil {
		return connector.Redirect{}, err
	}
	t.Verifier = string(to.Data)
	to.Data, err = json.Marshal(t)
	return to, err
}

func (s *SignIn) finishOpenID(ctx context.Context, r connector.Return) (*Tokens, error) {
	if err := s.Flow.Callback.Check(r); err != nil {
		return nil, err
	}
	var t trip
	if err := json.Unmarshal(r.Data, &t); err != nil {
		return nil, fmt.Errorf("decode login: %w", err)
	}
	flow, _, err := s.flow(ctx)
	if err != nil {
		return nil, err
	}
	r.Data = []byte(t.Verifier)
	given, err := flow.Finish(ctx, r)
	if err != nil {
		return nil, err
	}
	if given.ID == "" {
		return nil, errors.New("the provider gave no ID token")
	}
	if err := s.OpenID.verify(ctx, given); err != nil {
		return nil, err
	}
	return given, s.OpenID.Tokens.CheckLogin(given.Said, t.Nonce, given)
}

// verify verifies the ID token among tokens that were given to us.
func (o *OpenID) verify(ctx context.Context, given *Tokens) error {
	m, err := o.Discovery.Get(ctx)
	if err != nil {
		return err
	}
	if given.Said, err = o.Tokens.Verify(ctx, m, given.ID); err != nil {
		return fmt.Errorf("ID token: %w", err)
	}
	return nil
}

// HolderOfID returns about whom an ID token of the provider is that an application shows (RFC 8693). It must have been made for
// us. An application on a device gets tokens for us under a name of its own (azp).
func (s *SignIn) HolderOfID(ctx context.Context, scopes connector.Scopes, t connector.SubjectToken) (connector.Identity, error) {
	if !oauth.IsBearerToken(t.Token) {
		return connector.Identity{}, notBearer()
	}
	m, err := s.OpenID.Discovery.Get(ctx)
	if err != nil {
		return connector.Identity{}, err
	}
	said, err := s.OpenID.Tokens.SignedID(ctx, m, t.Token)
	if err != nil {
		return connector.Identity{}, AsBadToken(err)
	}
	us := s.OpenID.Tokens.ClientID
	isUs := func(client string) bool { return client == us }
	switch audience := said.Texts("aud"); {
	case !slices.Contains(audience, us):
		return connector.Identity{}, &connector.BadToken{Reason: fmt.Sprintf("it was made for %q, not for %q", audience, us)}
	case GivenAway(said, isUs):
		return connector.Identity{}, &connector.BadToken{Reason: fmt.Sprintf("it was given to %q, not to %q (azp)", said.Text("azp"), us)}
	}
	return s.identify(ctx, scopes, &Tokens{ID: t.Token, Said: said})
}

func notBearer() error {
	return &connector.BadToken{Reason: "it has characters that no token has (RFC 6750, section 2.1)"}
}
