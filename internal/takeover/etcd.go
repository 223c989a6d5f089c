package takeover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dex/internal/client"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/refresh"
	"dex/internal/session"
	"dex/internal/signing"
)

// The prefixes of upstream's keys, below the namespace, and the one key that is no prefix.
const (
	etcdClients         = "client/"
	etcdConnectors      = "connector/"
	etcdPasswords       = "password/"
	etcdOfflineSessions = "offline_session/"
	etcdRefreshTokens   = "refresh_token/"
	etcdIdentities      = "user_identity/"
	etcdSessions        = "auth_session/"
	etcdKeys            = "openid-connect-keys"
)

// etcdSource reads upstream's keys in etcd.
type etcdSource struct {
	client    *clientv3.Client
	namespace string
}

// Etcd reads what upstream keeps in etcd below a namespace, the literal prefix of every key.
func Etcd(client *clientv3.Client, namespace string) Source {
	return &etcdSource{client, namespace}
}

// Layout is part of Source.
func (e *etcdSource) Layout(ctx context.Context) (string, error) {
	for _, prefix := range []string{
		etcdKeys, etcdClients, etcdConnectors, etcdPasswords, etcdOfflineSessions, etcdRefreshTokens, etcdIdentities,
		etcdSessions,
	} {
		response, err := e.get(ctx, e.namespace+prefix, clientv3.WithPrefix(), clientv3.WithLimit(1), clientv3.WithKeysOnly())
		if err != nil {
			return "", fmt.Errorf("look for upstream's keys: %w", err)
		}
		if len(response.Kvs) > 0 {
			return "etcd", nil
		}
	}
	return "", nil
}

// Keys is part of Source.
func (e *etcdSource) Keys(ctx context.Context) (*signing.Keyset, error) {
	response, err := e.get(ctx, e.namespace+etcdKeys)
	if err != nil || len(response.Kvs) == 0 {
		return nil, err
	}
	var k storedKeys
	if err := json.Unmarshal(response.Kvs[0].Value, &k); err != nil {
		return nil, fmt.Errorf("key %s: %w", etcdKeys, err)
	}
	return k.keyset(time.Now())
}

// Clients is part of Source.
func (e *etcdSource) Clients(ctx context.Context, after string, each func(Item[client.Client]) error) error {
	return eachValue(ctx, e, etcdClients, after, func(key string, c client.Client) (client.Client, error) {
		return c, sameID(key, c.ID)
	}, each)
}

// etcdConnector is a connector as upstream writes it to etcd, with the settings as "email".
type etcdConnector struct {
	ID         string   `json:"id"`
	Type       string   `json:"type"`
	Name       string   `json:"name"`
	Config     []byte   `json:"email"`
	GrantTypes []string `json:"grantTypes"`
}

// Connectors is part of Source.
func (e *etcdSource) Connectors(ctx context.Context, after string, each func(Item[federation.Definition]) error) error {
	return eachValue(ctx, e, etcdConnectors, after, func(key string, c etcdConnector) (federation.Definition, error) {
		return federation.Definition{ID: c.ID, Type: c.Type, Name: c.Name, Settings: c.Config, GrantTypes: c.GrantTypes}, sameID(key, c.ID)
	}, each)
}

// Passwords is part of Source.
func (e *etcdSource) Passwords(ctx context.Context, after string, each func(Item[local.User]) error) error {
	return eachValue(ctx, e, etcdPasswords, after, func(key string, p local.User) (local.User, error) {
		return p, sameID(key, local.Key(p.Email))
	}, each)
}

type etcdOfflineSession struct {
	UserID        string     `json:"user_id"`
	ConnectorID   string     `json:"conn_id"`
	ConnectorData []byte     `json:"connectorData"`
	Refresh       references `json:"refresh"`
}

// OfflineSessions is part of Source. The keys, in lower case, don't tell whose session it is.
func (e *etcdSource) OfflineSessions(ctx context.Context, after string, each func(Item[OfflineSession]) error) error {
	return eachValue(ctx, e, etcdOfflineSessions, after, func(key string, o etcdOfflineSession) (OfflineSession, error) {
		s := OfflineSession{UserID: o.UserID, ConnectorID: o.ConnectorID, Data: o.ConnectorData, Origins: o.Refresh.origins()}
		return s, sameID(key, strings.ToLower(o.UserID+"|"+o.ConnectorID))
	}, each)
}

type etcdRefreshToken struct {
	ID            string    `json:"id"`
	Token         string    `json:"token"`
	ObsoleteToken string    `json:"obsolete_token"`
	CreatedAt     time.Time `json:"created_at"`
	LastUsed      time.Time `json:"last_used"`
	ClientID      string    `json:"client_id"`
	ConnectorID   string    `json:"connector_id"`
	ConnectorData []byte    `json:"connector_data"`
	Claims        claims    `json:"claims"`
	Scopes        []string  `json:"scopes"`
	Nonce         string    `json:"nonce"`
}

// RefreshTokens is part of Source.
func (e *etcdSource) RefreshTokens(ctx context.Context, after string, each func(Item[RefreshToken]) error) error {
	return eachValue(ctx, e, etcdRefreshTokens, after, func(key string, t etcdRefreshToken) (RefreshToken, error) {
		return RefreshToken{
			Legacy: refresh.Legacy{
				ID: t.ID, Token: t.Token, ObsoleteToken: t.ObsoleteToken, CreatedAt: t.CreatedAt, LastUsed: t.LastUsed,
				ClientID: t.ClientID, ConnectorID: t.ConnectorID, Nonce: t.Nonce, Scopes: t.Scopes,
				Identity: t.Claims.identity(),
			},
			Data: t.ConnectorData,
		}, sameID(key, t.ID)
	}, each)
}

type etcdIdentity struct {
	UserID              string              `json:"user_id"`
	ConnectorID         string              `json:"connector_id"`
	Claims              claims              `json:"claims"`
	Consents            map[string][]string `json:"consents"`
	MFASecrets          json.RawMessage     `json:"mfa_secrets"`
	WebAuthnCredentials json.RawMessage     `json:"webauthn_credentials"`
	CreatedAt           time.Time           `json:"created_at"`
	LastLogin           time.Time           `json:"last_login"`
	BlockedUntil        time.Time           `json:"blocked_until"`
}

// Identities is part of Source. The keys are in lower case, as those of offline sessions.
func (e *etcdSource) Identities(ctx context.Context, after string, each func(Item[identity.Legacy]) error) error {
	return eachValue(ctx, e, etcdIdentities, after, func(key string, i etcdIdentity) (identity.Legacy, error) {
		return identity.Legacy{
			UserID: i.UserID, ConnectorID: i.ConnectorID, Claims: i.Claims.identity(), Consents: i.Consents,
			CreatedAt: i.CreatedAt, LastLogin: i.LastLogin, BlockedUntil: i.BlockedUntil,
			Factors: identity.UpstreamFactors{MFASecrets: i.MFASecrets, WebAuthnCredentials: i.WebAuthnCredentials},
		}, sameID(key, strings.ToLower(i.UserID+"|"+i.ConnectorID))
	}, each)
}

type etcdSession struct {
	ID             string                          `json:"id"`
	Secret         string                          `json:"secret"`
	UserID         string                          `json:"user_id"`
	ConnectorID    string                          `json:"connector_id"`
	ClientStates   map[string]session.LegacyClient `json:"client_states"`
	CreatedAt      time.Time                       `json:"created_at"`
	LastActivity   time.Time                       `json:"last_activity"`
	IPAddress      string                          `json:"ip_address"`
	UserAgent      string                          `json:"user_agent"`
	AbsoluteExpiry time.Time                       `json:"absolute_expiry"`
	IdleExpiry     time.Time                       `json:"idle_expiry"`
	LogoutState    *struct{}                       `json:"logout_state"`
}

// Sessions is part of Source.
func (e *etcdSource) Sessions(ctx context.Context, after string, each func(Item[session.Legacy]) error) error {
	return eachValue(ctx, e, etcdSessions, after, func(key string, s etcdSession) (session.Legacy, error) {
		return session.Legacy{
			ID: s.ID, Secret: s.Secret, UserID: s.UserID, ConnectorID: s.ConnectorID, Clients: s.ClientStates,
			CreatedAt: s.CreatedAt, LastActivity: s.LastActivity, AbsoluteExpiry: s.AbsoluteExpiry, IdleExpiry: s.IdleExpiry,
			Address: s.IPAddress, UserAgent: s.UserAgent, LoggingOut: s.LogoutState != nil,
		}, sameID(key, s.ID)
	}, each)
}

// sameID refuses an entity whose id isn't the one in its key: upstream leaves those when it updates what was deleted.
func sameID(key, id string) error {
	if key != id {
		return errors.New("it has another id than its key says")
	}
	return nil
}

// get reads with a time-out.
func (e *etcdSource) get(ctx context.Context, key string, options ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	return e.client.Get(ctx, key, options...)
}

// eachValue reads the values below a prefix that follow a key, in the order of the keys. Read makes an entity of a value; its
// key is what follows the prefix.
func eachValue[V, T any](
	ctx context.Context, e *etcdSource, prefix, after string, read func(key string, v V) (T, error),
	each func(Item[T]) error,
) error {
	first, end := e.namespace+prefix, clientv3.GetPrefixRangeEnd(e.namespace+prefix)
	from := first
	if after != "" {
		from += after + "\x00"
	}
	for {
		response, err := e.get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(pageSize))
		if err != nil {
			return fmt.Errorf("read keys %s: %w", prefix, err)
		}
		for _, kv := range response.Kvs {
			i := Item[T]{Table: strings.TrimSuffix(prefix, "/"), Key: strings.TrimPrefix(string(kv.Key), first)}
			i.Place = i.Key
			var v V
			if i.Err = json.Unmarshal(kv.Value, &v); i.Err == nil {
				i.Value, i.Err = read(i.Key, v)
			}
			if err := each(i); err != nil {
				return err
			}
		}
		if !response.More {
			return nil
		}
		from = string(response.Kvs[len(response.Kvs)-1].Key) + "\x00"
	}
}
