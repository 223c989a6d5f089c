package upstream

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"time"
)

// alphabet is used for the names of objects.
var alphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// name returns the name of an object whose id may not be a valid name.
func name(id string) string {
	return alphabet.EncodeToString([]byte(id + "\xcb\xf2\x9c\xe4\x84\x22\x23\x25"))
}

// hashedName returns the name of an object with two ids.
func hashedName(first, second string) string {
	sum := fnv.New64()
	_, _ = sum.Write([]byte(first + second)) // never fails
	return alphabet.EncodeToString(sum.Sum(nil))
}

// Kubernetes creates upstream's objects in a namespace with a function that posts one to a resource, such as "passwords".
// The resource definitions must exist.
func Kubernetes(ctx context.Context, l Layout, post func(ctx context.Context, plural string, object json.RawMessage) error) error {
	for plural, objects := range kubernetesObjects(l) {
		for name, o := range objects {
			o["apiVersion"] = "dex.coreos.com/v1"
			o["kind"] = kubernetesKinds[plural]
			o["metadata"] = object{"name": name}
			if err := post(ctx, plural, encode(o)); err != nil {
				return fmt.Errorf("fill Kubernetes with upstream's data: %s %s: %w", plural, name, err)
			}
		}
	}
	return nil
}

var kubernetesKinds = map[string]string{
	"oauth2clients": "OAuth2Client", "passwords": "Password", "connectors": "Connector", "signingkeies": "SigningKey",
	"refreshtokens": "RefreshToken", "offlinesessionses": "OfflineSessions",
	"useridentities": "UserIdentity", "authsessions": "AuthSession",
}

// kubernetesObjects returns the objects by resource and name.
func kubernetesObjects(l Layout) map[string]map[string]object {
	key := SigningKey()
	all := map[string]map[string]object{
		"oauth2clients": {
			name(ClientID): {
				"id": ClientID, "secret": ClientSecret, "redirectURIs": []string{RedirectURI},
				"trustedPeers": []string{PublicClientID}, "public": false, "name": "Gate",
				"logoURL": "https://gate.example/logo.png", "ssoSharedWith": []string{},
			},
			name(PublicClientID): {"id": PublicClientID, "public": true, "name": "Tool", "ssoSharedWith": nil},
		},
		"passwords": {name(strings.ToLower(UserEmail)): {
			"email": UserEmail, "hash": []byte(UserHash), "username": UserName, "name": UserFullName,
			"preferredUsername": UserName, "userID": UserID, "groups": []string{"admins"},
		}},
		"connectors": {ConnectorID: {
			"id": ConnectorID, "type": "mockCallback", "name": ConnectorName, "config": []byte("{}"),
		}},
		"signingkeies": {"openid-connect-keys": {
			"signingKey": key, "signingKeyPub": key.Public(), "verificationKeys": verificationKeys(), "nextRotation": NextRotation,
		}},
		"offlinesessionses": {
			hashedName(UserID, "local"): {
				"userID": UserID, "connID": "local", "refresh": references(UserID, "local", l),
			},
			hashedName(MockUserID, ConnectorID): {
				"userID": MockUserID, "connID": ConnectorID, "refresh": references(MockUserID, ConnectorID, l),
				"connectorData": []byte(ConnectorData),
			},
		},
		"refreshtokens": {},
	}
	for _, s := range sessions() {
		all["refreshtokens"][s.id] = object{
			"CreatedAt": CreatedAt, "LastUsed": LastUsed, "clientID": s.clientID, "scopes": s.scopes, "token": s.secret,
			"obsoleteToken": s.obsolete, "claims": s.claims, "connectorID": s.connectorID,
		}
	}
	if l == Release {
		return all
	}
	all["useridentities"] = map[string]object{hashedName(UserID, "local"): {
		"userID": UserID, "connectorID": "local", "claims": janesClaims(), "consents": consents(),
		"mfaSecrets": json.RawMessage(MFASecrets), "createdAt": CreatedAt, "lastLogin": LastLogin, "blockedUntil": time.Time{},
	}}
	all["authsessions"] = map[string]object{}
	for _, s := range browserSessions() {
		all["authsessions"][s.id] = object{
			"userID": UserID, "connectorID": "local", "secret": s.secret, "clientStates": s.clients, "createdAt": s.begun,
			"lastActivity": LastLogin, "ipAddress": "192.0.2.1", "userAgent": UserAgent, "absoluteExpiry": SessionEnds,
			"idleExpiry": s.idles,
		}
	}
	return all
}
