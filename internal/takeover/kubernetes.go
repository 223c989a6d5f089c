package takeover

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/refresh"
	"dex/internal/session"
	"dex/internal/signing"
)

// The resources that are imported.
const (
	offlineSessionsResource = "offlinesessionses"
	refreshTokensResource   = "refreshtokens"
	identitiesResource      = "useridentities"
	sessionsResource        = "authsessions"
)

// An Objects function calls each for every object of upstream's in a resource, as JSON. It returns each's error at once.
type Objects func(ctx context.Context, plural string, each func(json.RawMessage) error) error

// shared has what needn't be imported: clients, connectors, passwords and keys are the same objects for upstream and for us.
type shared struct{}

func (shared) Keys(context.Context) (*signing.Keyset, error)                          { return nil, nil }
func (shared) Clients(context.Context, string, func(Item[client.Client]) error) error { return nil }
func (shared) Connectors(context.Context, string, func(Item[federation.Definition]) error) error {
	return nil
}
func (shared) Passwords(context.Context, string, func(Item[local.User]) error) error { return nil }

// kubernetes reads upstream's custom resources. Its items have no place, as the server promises no stable order of objects.
type kubernetes struct {
	shared
	objects Objects
}

// Kubernetes reads upstream's refresh tokens, its offline sessions, and the sessions of browsers and their users. All else is shared.
func Kubernetes(objects Objects) Source { return kubernetes{objects: objects} }

var errFound = errors.New("found one")

// Layout is part of Source.
func (k kubernetes) Layout(ctx context.Context) (string, error) {
	for _, resource := range []string{refreshTokensResource, offlineSessionsResource, identitiesResource, sessionsResource} {
		err := k.objects(ctx, resource, func(json.RawMessage) error { return errFound })
		switch {
		case errors.Is(err, errFound):
			return "kubernetes", nil
		case err != nil:
			return "", err
		}
	}
	return "", nil
}

type offlineSessionObject struct {
	UserID        string     `json:"userID"`
	ConnID        string     `json:"connID"`
	ConnectorData []byte     `json:"connectorData"`
	Refresh       references `json:"refresh"`
}

// OfflineSessions is part of Source.
func (k kubernetes) OfflineSessions(ctx context.Context, _ string, each func(Item[OfflineSession]) error) error {
	return eachObject(ctx, k, offlineSessionsResource, func(_ string, o offlineSessionObject) OfflineSession {
		return OfflineSession{UserID: o.UserID, ConnectorID: o.ConnID, Data: o.ConnectorData, Origins: o.Refresh.origins()}
	}, each)
}

type refreshTokenObject struct {
	CreatedAt     time.Time `json:"CreatedAt"`
	LastUsed      time.Time `json:"LastUsed"`
	ClientID      string    `json:"clientID"`
	Scopes        []string  `json:"scopes"`
	Token         string    `json:"token"`
	ObsoleteToken string    `json:"obsoleteToken"`
	Nonce         string    `json:"nonce"`
	Claims        claims    `json:"claims"`
	ConnectorID   string    `json:"connectorID"`
	ConnectorData []byte    `json:"connectorData"`
}

// RefreshTokens is part of Source. The name of an object is the id of the token.
func (k kubernetes) RefreshTokens(ctx context.Context, _ string, each func(Item[RefreshToken]) error) error {
	return eachObject(ctx, k, refreshTokensResource, func(name string, t refreshTokenObject) RefreshToken {
		return RefreshToken{
			Legacy: refresh.Legacy{
				ID: name, Token: t.Token, ObsoleteToken: t.ObsoleteToken, CreatedAt: t.CreatedAt, LastUsed: t.LastUsed,
				ClientID: t.ClientID, ConnectorID: t.ConnectorID, Nonce: t.Nonce, Scopes: t.Scopes,
				Identity: t.Claims.identity(),
			},
			Data: t.ConnectorData,
		}
	}, each)
}

type identityObject struct {
	UserID              string              `json:"userID"`
	ConnectorID         string              `json:"connectorID"`
	Claims              claims              `json:"claims"`
	Consents            map[string][]string `json:"consents"`
	MFASecrets          json.RawMessage     `json:"mfaSecrets"`
	WebAuthnCredentials json.RawMessage     `json:"webauthnCredentials"`
	CreatedAt           time.Time           `json:"createdAt"`
	LastLogin           time.Time           `json:"lastLogin"`
	BlockedUntil        time.Time           `json:"blockedUntil"`
}

// Identities is part of Source.
func (k kubernetes) Identities(ctx context.Context, _ string, each func(Item[identity.Legacy]) error) error {
	return eachObject(ctx, k, identitiesResource, func(_ string, i identityObject) identity.Legacy {
		return identity.Legacy{
			UserID: i.UserID, ConnectorID: i.ConnectorID, Claims: i.Claims.identity(), Consents: i.Consents,
			CreatedAt: i.CreatedAt, LastLogin: i.LastLogin, BlockedUntil: i.BlockedUntil,
			Factors: identity.UpstreamFactors{MFASecrets: i.MFASecrets, WebAuthnCredentials: i.WebAuthnCredentials},
		}
	}, each)
}

type sessionObject struct {
	UserID         string                          `json:"userID"`
	ConnectorID    string                          `json:"connectorID"`
	Secret         string                          `json:"secret"`
	ClientStates   map[string]session.LegacyClient `json:"clientStates"`
	CreatedAt      time.Time                       `json:"createdAt"`
	LastActivity   time.Time                       `json:"lastActivity"`
	IPAddress      string                          `json:"ipAddress"`
	UserAgent      string                          `json:"userAgent"`
	AbsoluteExpiry time.Time                       `json:"absoluteExpiry"`
	IdleExpiry     time.Time                       `json:"idleExpiry"`
	LogoutState    *struct{}                       `json:"logoutState"`
}

// Sessions is part of Source. The name of an object is the id of the session.
func (k kubernetes) Sessions(ctx context.Context, _ string, each func(Item[session.Legacy]) error) error {
	return eachObject(ctx, k, sessionsResource, func(name string, s sessionObject) session.Legacy {
		return session.Legacy{
			ID: name, Secret: s.Secret, UserID: s.UserID, ConnectorID: s.ConnectorID, Clients: s.ClientStates,
			CreatedAt: s.CreatedAt, LastActivity: s.LastActivity, AbsoluteExpiry: s.AbsoluteExpiry, IdleExpiry: s.IdleExpiry,
			Address: s.IPAddress, UserAgent: s.UserAgent, LoggingOut: s.LogoutState != nil,
		}
	}, each)
}

// eachObject reads all objects of a resource. Read makes an entity of one.
func eachObject[O, T any](
	ctx context.Context, k kubernetes, resource string, read func(name string, o O) T, each func(Item[T]) error,
) error {
	return k.objects(ctx, resource, func(object json.RawMessage) error {
		var named struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
		}
		var o O
		err := errors.Join(json.Unmarshal(object, &named), json.Unmarshal(object, &o))
		i := Item[T]{Table: resource, Key: named.Metadata.Name, Err: err}
		if err == nil {
			i.Value = read(i.Key, o)
		}
		return each(i)
	})
}

// claims are a user's claims in upstream's JSON.
type claims struct {
	UserID            string   `json:"userID"`
	Username          string   `json:"username"`
	PreferredUsername string   `json:"preferredUsername"`
	Email             string   `json:"email"`
	EmailVerified     bool     `json:"emailVerified"`
	Groups            []string `json:"groups"`
}

func (c claims) identity() connector.Identity {
	return connector.Identity{
		UserID: c.UserID, Username: c.Username, PreferredUsername: c.PreferredUsername,
		Email: c.Email, EmailVerified: c.EmailVerified, Groups: c.Groups,
	}
}
