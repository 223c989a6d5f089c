package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Etcd fills etcd below a namespace, which is put before each key unchanged.
func Etcd(ctx context.Context, client *clientv3.Client, namespace string, l Layout) error {
	for key, value := range etcdValues(l) {
		if _, err := client.Put(ctx, namespace+key, string(encode(value))); err != nil {
			return fmt.Errorf("fill etcd with upstream's data: %w", err)
		}
	}
	return nil
}

// object is one in JSON.
type object map[string]any

func etcdValues(l Layout) map[string]object {
	key := SigningKey()
	all := map[string]object{
		"client/" + ClientID: {
			"id": ClientID, "idEnv": "", "secret": ClientSecret, "secretEnv": "", "redirectURIs": []string{RedirectURI},
			"postLogoutRedirectURIs": nil, "backchannelLogoutURI": "", "refreshTokenLifetime": "",
			"trustedPeers": []string{PublicClientID}, "public": false, "name": "Gate",
			"logoURL": "https://gate.example/logo.png", "allowedConnectors": nil, "mfaChain": nil, "ssoSharedWith": []string{},
		},
		"client/" + PublicClientID: {
			"id": PublicClientID, "secret": "", "redirectURIs": nil, "trustedPeers": nil, "public": true, "name": "Tool",
			"logoURL": "",
		},
		"password/" + UserEmail: {
			"email": "Jane@Example.com", "hash": []byte(UserHash), "hashFromEnv": "", "username": UserName, "name": UserFullName,
			"preferredUsername": UserName, "userID": UserID, "groups": []string{"admins"},
		},
		"connector/" + ConnectorID: {
			"id": ConnectorID, "type": "mockCallback", "name": ConnectorName, "resourceVersion": "1", "email": []byte("{}"),
		},
		"openid-connect-keys": {
			"SigningKey": key, "SigningKeyPub": key.Public(), "VerificationKeys": verificationKeys(), "NextRotation": NextRotation,
		},
		"auth_req/something": {"id": "something", "expiry": time.Now().Add(time.Hour)},
		// What an update leaves of a session that was concurrently deleted.
		"offline_session/gone|local": {"refresh": object{}},
	}
	for _, o := range []struct {
		userID, connectorID string
		data                []byte
	}{{UserID, "local", nil}, {MockUserID, ConnectorID, []byte(ConnectorData)}} {
		all["offline_session/"+strings.ToLower(o.userID+"|"+o.connectorID)] = object{
			"user_id": o.userID, "conn_id": o.connectorID, "refresh": references(o.userID, o.connectorID, l), "connectorData": o.data,
		}
	}
	for _, s := range sessions() {
		all["refresh_token/"+s.id] = object{
			"id": s.id, "token": s.secret, "obsolete_token": s.obsolete, "created_at": CreatedAt, "last_used": LastUsed,
			"client_id": s.clientID, "connector_id": s.connectorID, "connector_data": nil, "claims": s.claims,
			"scopes": s.scopes, "nonce": "",
		}
	}
	if l == Release {
		return all
	}
	all["user_identity/"+strings.ToLower(UserID+"|local")] = object{
		"user_id": UserID, "connector_id": "local", "claims": janesClaims(), "consents": consents(),
		"mfa_secrets": json.RawMessage(MFASecrets), "created_at": CreatedAt, "last_login": LastLogin, "blocked_until": time.Time{},
	}
	for _, s := range browserSessions() {
		all["auth_session/"+s.id] = object{
			"id": s.id, "secret": s.secret, "user_id": UserID, "connector_id": "local", "client_states": s.clients,
			"created_at": s.begun, "last_activity": LastLogin, "ip_address": "192.0.2.1", "user_agent": UserAgent,
			"absolute_expiry": SessionEnds, "idle_expiry": s.idles,
		}
	}
	return all
}
