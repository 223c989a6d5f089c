package config_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/config"
)

// everything touches every section of the file.
const everything = `
# env: DEX_SESSIONS_ENABLED=true
# env: DB_PASSWORD=pa$$word
# env: SHOP_SECRET=shop-secret
# env: ROOT_HASH=` + hash + `
issuer: https://id.example.net/sso
storage:
  type: postgres
  config: {host: db.internal, port: 5432, database: dex, user: dex, password: $DB_PASSWORD, ssl: {mode: verify-full, caFile: /pki/db-ca.pem}}
web:
  https: 0.0.0.0:8443
  tlsCert: /pki/tls.crt
  tlsKey: /pki/tls.key
  tlsMinVersion: "1.3"
  allowedOrigins: ["https://spa.example.net"]
  allowedHeaders: [Authorization, Content-Type]
  headers: {X-Frame-Options: DENY, Strict-Transport-Security: "max-age=63072000"}
  clientRemoteIP: {header: X-Forwarded-For, trustedProxies: ["10.20.0.0/16"]}
grpc: {addr: "127.0.0.1:5557", tlsCert: /pki/grpc.crt, tlsKey: /pki/grpc.key, tlsClientCA: /pki/clients.pem, reflection: false}
api: {adminTokens: true, access: [{name: terraform, roles: [clients], certificate: {commonName: terraform}}, {name: people, roles: [read], token: {client: console, groups: [admins]}}, {name: operator, roles: [all], serviceAccount: {namespace: dex, name: operator}}]}
telemetry: {http: "127.0.0.1:5558", enableProfiling: false}
expiry:
  idTokens: 15m
  authRequests: 1h
  deviceRequests: 10m
  refreshTokens: {reuseInterval: 5s, validIfNotUsedFor: 720h, absoluteLifetime: 2160h}
signer: {type: local, config: {keysRotationPeriod: 12h, algorithm: RS256}}
oauth2: {responseTypes: [code], skipApprovalScreen: true, pkce: {enforce: true, codeChallengeMethodsSupported: [S256]}}
logger: {level: info, format: json, excludeFields: [email, groups]}
frontend: {issuer: Example SSO, theme: dark, extra: {support: "mailto:help@example.net"}}
connectors:
- {type: ldap, id: corp, name: Corporate login, config: {host: "ldap.internal:636", userSearch: {baseDN: "dc=example,dc=net", username: uid}}}
staticClients:
- {id: shop, name: Shop, secretEnv: SHOP_SECRET, redirectURIs: ["https://shop.example.net/cb"]}
enablePasswordDB: true
staticPasswords:
- {email: root@example.net, username: root, userID: "1", hashFromEnv: ROOT_HASH}
sessions: {absoluteLifetime: 12h, validIfNotUsedFor: 1h}
mfa: {authenticators: [{id: otp, type: TOTP, config: {issuer: Example}}], defaultMFAChain: [otp]}
`

func TestEverything(t *testing.T) {
	cfg, problems := check(source(everything))
	if diff := cmp.Diff("", lines(problems)); diff != "" {
		t.Fatalf("problems (-want +got):\n%s", diff)
	}
	checked := true
	if diff := cmp.Diff(wholeConfig(&checked), cfg, ignoreSections); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func wholeConfig(checked *bool) *config.Config {
	return &config.Config{
		Issuer:  "https://id.example.net/sso",
		Storage: config.Storage{Type: "postgres"},
		Web: config.Web{
			HTTPS: "0.0.0.0:8443", TLSCert: "/pki/tls.crt", TLSKey: "/pki/tls.key", TLSMinVersion: "1.3",
			Headers:        config.ResponseHeaders{XFrameOptions: new("DENY"), StrictTransportSecurity: new("max-age=63072000")},
			AllowedOrigins: []string{"https://spa.example.net"},
			AllowedHeaders: []string{"Authorization", "Content-Type"},
			ClientRemoteIP: config.ClientRemoteIP{Header: "X-Forwarded-For", TrustedProxies: []string{"10.20.0.0/16"}},
		},
		GRPC: config.GRPC{
			Addr: "127.0.0.1:5557", TLSCert: "/pki/grpc.crt", TLSKey: "/pki/grpc.key", TLSClientCA: "/pki/clients.pem",
			TLSMinVersion: "1.2",
		},
		API: config.API{
			Access: []config.Access{
				{Name: "terraform", Roles: []string{"clients"}, Certificate: &config.AccessCertificate{CommonName: "terraform"}},
				{Name: "people", Roles: []string{"read"}, Token: &config.AccessToken{Client: "console", Groups: []string{"admins"}}},
				{Name: "operator", Roles: []string{"all"}, ServiceAccount: &config.AccessServiceAccount{Namespace: "dex", Name: "operator"}},
			},
			AdminTokens: true, ServiceAccountAudience: "dex", TLSMinVersion: "1.2",
		},
		Telemetry: config.Telemetry{HTTP: "127.0.0.1:5558", Traces: config.Traces{SampleOneIn: 10}},
		Expiry: config.Expiry{
			SigningKeys: 6 * time.Hour, IDTokens: 15 * time.Minute, AuthRequests: time.Hour, AuthCodes: time.Minute,
			DeviceRequests: 10 * time.Minute,
			RefreshTokens: config.RefreshTokens{
				ReuseInterval: 5 * time.Second, ValidIfNotUsedFor: 720 * time.Hour, AbsoluteLifetime: 2160 * time.Hour,
			},
		},
		OAuth2: config.OAuth2{
			GrantTypes: config.DefaultGrantTypes, ResponseTypes: []string{"code"}, SkipApprovalScreen: true,
			PKCE:   config.PKCE{Enforce: true, CodeChallengeMethodsSupported: []string{"S256"}},
			Tokens: config.Tokens{AccessToken: "jwt", WarnSize: 8192},
		},
		Logger: config.Logger{Level: "info", Format: "json", ExcludeFields: []string{"email", "groups"}},
		Frontend: config.Frontend{
			Issuer: "Example SSO", Theme: "dark", LogoURL: "theme/logo.png",
			Extra: map[string]string{"support": "mailto:help@example.net"}, RememberConnector: true, FormOnChoice: true,
		},
		Signer: &config.Signer{
			Type: "local", Local: config.LocalSigner{KeysRotationPeriod: 12 * time.Hour, Algorithm: "RS256"},
		},
		EnablePasswordDB: true,
		LocalUsers: config.LocalUsers{
			PasswordHash: "argon2id", Passwords: config.PasswordRules{MinLength: 8}, ResetLifetime: 30 * time.Minute, InvitationLifetime: 72 * time.Hour,
		},
		Sessions: &config.Sessions{
			CookieName: "dex_session", AbsoluteLifetime: 12 * time.Hour, ValidIfNotUsedFor: time.Hour,
			RememberMeCheckedByDefault: checked, SSOSharedWithDefault: "none", MaxAccounts: 5, RememberConsent: checked, NotifyExpired: checked,
		},
		MFA:   &config.MFA{Authenticators: []config.Authenticator{{ID: "otp", Type: "TOTP", TOTP: config.TOTPAuthenticator{Issuer: "Example"}}}, DefaultMFAChain: []string{"otp"}},
		Flags: config.Flags{ExpandEnv: true, ContinueOnConnectorFailure: true, Sessions: true},
	}
}
