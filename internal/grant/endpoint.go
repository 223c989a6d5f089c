// Package grant is the token endpoint: a registry of grants, and the one pipeline around them that authenticates the
// client, asks the policy, makes the tokens and writes the log, so that no grant can forget one of these.
package grant

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"dex/internal/client"
	"dex/internal/code"
	"dex/internal/connector"
	"dex/internal/device"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/policy"
	"dex/internal/refresh"
	"dex/internal/token"
)

// A request is a token request whose client has been authenticated.
type request struct {
	form   oauth.Form
	client *client.Client
	// scopes are those that the client asks for and may have; none where it redeems what a login gave.
	scopes []string
	login  event.Login // what is known so far of the login that the request is about
}

// A grant is one way to tokens (RFC 6749, section 1.3). Verify finds out what a request is good for, without asking the source;
// nothing that it returns reaches the client before the pipeline has checked it. Its error is an *oauth.Error, or any other for
// a failure of our own.
type grant interface {
	verify(ctx context.Context, r *request) (*granted, error)
}

// granted is what a grant has found out.
type granted struct {
	token.Authorization
	generation uint64             // of the refresh token that was presented
	source     *federation.Opened // where the user signed in; nil only for the client's own tokens
	// proved says that the user has just proved who they are, instead of at an earlier login.
	proved bool
	// inSession says that what was presented is worthless once its session has been ended.
	inSession bool
	// bySource is how the user has just signed in, as the source says (RFC 8176); nil where it wasn't asked, or doesn't say.
	bySource []string
	wanted   token.Wanted
	// ask asks the source who the user is, and notes it here; nil where that is known already, or where there is no user.
	ask func(ctx context.Context) error
	// needsGroups says that the policy needs the user's groups, whatever the scopes are.
	needsGroups bool
	// issued is the token type of the one token of a token exchange; empty for all other grants.
	issued string
	// abandon ends what was presented, if the session that it depends on has ended; nil if there is nothing to end.
	abandon func(ctx context.Context) error
	// commit uses up what was presented, and returns the refresh token that goes with the tokens, if one is due. It is called
	// last, when nothing else can fail. Nil means that there is nothing to store.
	commit func(ctx context.Context, refreshDue bool) (refreshToken string, err error)
}

// sourceScopes returns what a source is asked for.
func (found *granted) sourceScopes(scopes []string) connector.Scopes {
	wanted := connector.ScopesOf(scopes)
	wanted.Groups = wanted.Groups || found.needsGroups
	return wanted
}

// Endpoint is the token endpoint.
type Endpoint struct {
	grants  map[string]grant
	clients *client.Registry
	policy  policy.Decider
	minter  *token.Minter
	users   *identity.Identities
	bound   Bound
	log     *slog.Logger
	events  event.Sink

	bearerIDTokens bool
}

// A SignOut ends the sessions of users whom their source no longer vouches for.
type SignOut interface {
	EndUser(ctx context.Context, userID, connectorID string, why event.SessionEnd) error
}

// Bound says which tokens live only as long as a browser's session.
type Bound interface {
	// Use reports whether a token of a client that names a session is good as far as that goes, and says that it is in use.
	Use(ctx context.Context, clientID, sessionID string) (bool, error)
	// Exists reports whether a session has not been ended.
	Exists(ctx context.Context, sessionID string) (bool, error)
}

// Config is what the token endpoint is made of.
type Config struct {
	Clients     *client.Registry
	Connectors  *federation.Registry
	Policy      policy.Decider
	Minter      *token.Minter
	Codes       *code.Codes
	Devices     *device.Codes
	Families    *refresh.Families
	Offline     *refresh.OfflineSessions
	Turns       *Turns // of the users whose sources are asked at a refresh
	Revocations *token.Revocations
	GrantTypes  []string // the grants to serve; those that are not known are left out
	Limits      *limit.Set
	Log         *slog.Logger
	Events      event.Sink
	Users       *identity.Identities

	SignOut SignOut // nil where nobody has a session
	Bound   Bound   // nil where no token depends on a session

	PasswordConnector   string // id; empty means that there is no password grant
	AnonymousDevices    bool   // devices needn't name or authenticate their clients
	AnyExchangeAudience bool   // as exchangeGrant says
	BearerIDTokens      bool   // an exchanged ID token is said to be a bearer token
}

// NewEndpoint returns the token endpoint.
func NewEndpoint(cfg Config) *Endpoint {
	logins := beginner{families: cfg.Families, offline: cfg.Offline}
	devices := &deviceGrant{beginner: logins, devices: cfg.Devices, connectors: cfg.Connectors, limits: cfg.Limits}
	all := map[string]grant{
		oauth.GrantAuthorizationCode: &codeGrant{
			beginner: logins, codes: cfg.Codes, connectors: cfg.Connectors, revoked: cfg.Revocations, events: cfg.Events,
		},
		oauth.GrantRefreshToken: &refreshGrant{
			families: cfg.Families, offline: cfg.Offline, connectors: cfg.Connectors, revoked: cfg.Revocations,
			turns: cfg.Turns, signOut: cfg.SignOut, log: cfg.Log, events: cfg.Events,
		},
		oauth.GrantDeviceCode:        devices,
		oauth.GrantClientCredentials: clientCredentialsGrant{},
		oauth.GrantTokenExchange:     &exchangeGrant{connectors: cfg.Connectors, anyAudience: cfg.AnyExchangeAudience},
	}
	if cfg.AnonymousDevices {
		all[oauth.GrantDeviceCode] = anonymousDeviceGrant{devices}
	}
	if cfg.PasswordConnector != "" {
		all[oauth.GrantPassword] = &passwordGrant{
			beginner: logins, connectorID: cfg.PasswordConnector, connectors: cfg.Connectors,
			limits: cfg.Limits,
		}
	}
	maps.DeleteFunc(all, func(name string, _ grant) bool { return !slices.Contains(cfg.GrantTypes, name) })
	return &Endpoint{
		grants: all, clients: cfg.Clients, policy: cfg.Policy, minter: cfg.Minter, users: cfg.Users, bound: cfg.Bound, log: cfg.Log, events: cfg.Events,
		bearerIDTokens: cfg.BearerIDTokens,
	}
}

// GrantTypes returns the grants that are served, sorted.
func (e *Endpoint) GrantTypes() []string { return slices.Sorted(maps.Keys(e.grants)) }

// ServeHTTP answers a token request (RFC 6749, section 3.2).
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !oauth.PostOnly(w, r) {
		return
	}
	answer, err := e.serve(r)
	if err != nil {
		oauth.Refuse(w, r, e.events, event.Token, err)
		return
	}
	oauth.WriteJSON(w, http.StatusOK, answer)
}

// serve is the pipeline that every grant goes through.
func (e *Endpoint) serve(r *http.Request) ([]byte, error) {
	ctx := r.Context()
	f, err := oauth.ReadForm(r)
	if err != nil {
		return nil, err
	}
	g, err := e.grant(f)
	if err != nil {
		return nil, err
	}
	c, err := e.client(r, f, g)
	if err != nil {
		return nil, err
	}
	if f.Has("resource") && f.Get("grant_type") != oauth.GrantTokenExchange {
		e.log.DebugContext(ctx, "parameter resource is ignored, as it has no meaning in this grant", "client_id", c.ID,
			"grant_type", f.Get("grant_type"), "resource", f["resource"])
	}
	asked := &request{form: f, client: c}
	answer, err := e.answer(ctx, g, asked)
	return answer, oauth.About(asked.login, err)
}

// answer gives the tokens that a client's request is good for.
func (e *Endpoint) answer(ctx context.Context, g grant, asked *request) ([]byte, error) {
	found, terms, err := e.decide(ctx, g, asked)
	if err != nil {
		return nil, err
	}
	t, err := e.minter.Mint(ctx, &found.Authorization, terms, found.wanted)
	if err != nil {
		return nil, err
	}
	refresh, err := found.end(ctx)
	if err != nil {
		return nil, err
	}
	e.events.Emit(ctx, event.TokensIssued{
		Login: found.Login(found.GrantID), GrantType: asked.form.Get("grant_type"), Scopes: found.Scopes, SessionID: found.SessionID,
		TokenID: t.TokenID, Generation: found.generation,
		AccessTokenSize: len(t.Access), IDTokenSize: len(t.ID),
	})
	return e.encode(found, t, refresh)
}

// An anonymous grant finds the client of a request that shows no secret; empty if the request must show one.
type anonymous interface {
	clientID(ctx context.Context, f oauth.Form) (string, error)
}

// client finds out whose request it is.
func (e *Endpoint) client(r *http.Request, f oauth.Form, g grant) (*client.Client, error) {
	known, ok := g.(anonymous)
	if !ok || f.Has("client_secret") || r.Header.Get("Authorization") != "" {
		return e.clients.Authenticate(r, e.events)
	}
	id, err := known.clientID(r.Context(), f)
	if err != nil {
		return nil, err
	}
	if id == "" {
		return e.clients.Authenticate(r, e.events)
	}
	c, err := e.clients.Get(r.Context(), id)
	if errors.Is(err, client.ErrUnknown) {
		return nil, oauth.Errorf(oauth.InvalidClient, "Invalid client credentials.").Because(err)
	}
	return c, err
}

// grant finds the grant that a request asks for.
func (e *Endpoint) grant(f oauth.Form) (grant, error) {
	name := f.Get("grant_type")
	if name == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "The parameter grant_type is missing.")
	}
	g, ok := e.grants[name]
	if !ok {
		return nil, oauth.Errorf(oauth.UnsupportedGrantType, "This grant type is not served here.")
	}
	return g, nil
}

// encode writes the answer of RFC 6749 (5.1), or of RFC 8693 (2.2.1) for a token exchange.
func (e *Endpoint) encode(found *granted, t token.Tokens, refreshToken string) ([]byte, error) {
	kind := "bearer"
	if found.issued != "" && t.Access == "" {
		// The one token of an exchange is always called the access token (RFC 8693, section 2.2.1).
		t.Access, t.ID = t.ID, ""
		if !e.bearerIDTokens {
			kind = "N_A"
		}
	}
	answer := struct {
		AccessToken  string `json:"access_token"`
		Issued       string `json:"issued_token_type,omitempty"`
		TokenType    string `json:"token_type"`
		ExpiresIn    int64  `json:"expires_in"`
		RefreshToken string `json:"refresh_token,omitempty"`
		IDToken      string `json:"id_token,omitempty"`
		Scope        string `json:"scope,omitempty"`
	}{t.Access, found.issued, kind, t.ExpiresIn, refreshToken, t.ID, strings.Join(found.Scopes, " ")}
	return json.Marshal(answer)
}
