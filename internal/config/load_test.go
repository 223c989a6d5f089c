package config_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dex/internal/config"
)

// load returns a configuration that must not have errors. What the input doesn't mention is added.
func load(t *testing.T, input string) *config.Config {
	t.Helper()
	cfg, problems := source(input).Load()
	if err := problems.Err(); err != nil {
		t.Fatalf("load: %v", err)
	}
	return cfg
}

var ignoreSections = cmpopts.IgnoreTypes(config.Section{})

func TestDefaults(t *testing.T) {
	got := load(t, "")
	want := &config.Config{
		Issuer:  "https://id.example.net",
		Storage: config.Storage{Type: "memory"},
		Web:     config.Web{HTTP: "127.0.0.1:5556", TLSMinVersion: "1.2", AllowedHeaders: []string{"Authorization"}},
		GRPC:    config.GRPC{TLSMinVersion: "1.2"},
		API:     config.API{ServiceAccountAudience: "dex", TLSMinVersion: "1.2"},
		Expiry: config.Expiry{
			SigningKeys: 6 * time.Hour, IDTokens: 24 * time.Hour, AuthRequests: 24 * time.Hour, AuthCodes: time.Minute,
			DeviceRequests: 5 * time.Minute, RefreshTokens: config.RefreshTokens{ReuseInterval: 5 * time.Second},
		},
		OAuth2: config.OAuth2{
			GrantTypes: []string{
				"authorization_code", "implicit", "password", "refresh_token",
				"urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange",
			},
			ResponseTypes: []string{"code"},
			PKCE:          config.PKCE{CodeChallengeMethodsSupported: []string{"S256", "plain"}},
			Tokens:        config.Tokens{AccessToken: "jwt", WarnSize: 8192},
		},
		Logger:           config.Logger{Level: "info", Format: "text"},
		Telemetry:        config.Telemetry{Traces: config.Traces{SampleOneIn: 10}},
		Frontend:         config.Frontend{LogoURL: "theme/logo.png", Issuer: "dex", RememberConnector: true, FormOnChoice: true},
		EnablePasswordDB: true,
		LocalUsers: config.LocalUsers{
			PasswordHash: "argon2id", Passwords: config.PasswordRules{MinLength: 8}, ResetLifetime: 30 * time.Minute, InvitationLifetime: 72 * time.Hour,
		},
		Flags: config.Flags{ExpandEnv: true, ContinueOnConnectorFailure: true},
	}
	if diff := cmp.Diff(want, got, ignoreSections); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(config.LocalSigner{KeysRotationPeriod: 6 * time.Hour, Algorithm: "RS256"}, got.LocalSigning()); diff != "" {
		t.Errorf("signing (-want +got):\n%s", diff)
	}
}

func TestDefaultsBeyondTheFile(t *testing.T) {
	tests := []struct {
		name, input string
		got         func(*config.Config) any
		want        any
	}{
		{
			"reuse may be switched off", "expiry: {refreshTokens: {reuseInterval: 0}}\n",
			func(c *config.Config) any { return c.Expiry.RefreshTokens.ReuseInterval }, time.Duration(0),
		},
		{
			"other refresh settings leave the reuse", "expiry: {refreshTokens: {disableRotation: on}}\n",
			func(c *config.Config) any { return c.Expiry.RefreshTokens },
			config.RefreshTokens{DisableRotation: true, ReuseInterval: 5 * time.Second},
		},
		{
			"zero means the default", "expiry: {authRequests: 0, deviceRequests: 0s}\n",
			func(c *config.Config) any { return []time.Duration{c.Expiry.AuthRequests, c.Expiry.DeviceRequests} },
			[]time.Duration{24 * time.Hour, 5 * time.Minute},
		},
		{
			"a flag adds a grant to the default", "# env: DEX_CLIENT_CREDENTIAL_GRANT_ENABLED_BY_DEFAULT=true\noauth2: {grantTypes: []}\n",
			func(c *config.Config) any { return c.OAuth2.GrantTypes },
			append(append([]string{}, config.DefaultGrantTypes...), "client_credentials"),
		},
		{
			"a flag adds no grant to a list", "# env: DEX_CLIENT_CREDENTIAL_GRANT_ENABLED_BY_DEFAULT=true\noauth2: {grantTypes: [implicit]}\n",
			func(c *config.Config) any { return c.OAuth2.GrantTypes }, []string{"implicit"},
		},
		{
			"no headers are no absent headers", "web: {http: ':80', allowedHeaders: []}\n",
			func(c *config.Config) any { return c.Web.AllowedHeaders }, []string{},
		},
		{
			"the frontend of the environment", "# env: DEX_FRONTEND_DIR=/web\n",
			func(c *config.Config) any { return c.Frontend.Dir }, "/web",
		},
		{
			"the frontend of the file", "# env: DEX_FRONTEND_DIR=/web\nfrontend: {dir: /mine}\n",
			func(c *config.Config) any { return c.Frontend.Dir }, "/mine",
		},
		{
			"keys of the storage rotate as the file says", "expiry: {signingKeys: 2h}\n",
			func(c *config.Config) any { return c.LocalSigning() },
			config.LocalSigner{KeysRotationPeriod: 2 * time.Hour, Algorithm: "RS256"},
		},
		{
			"the signer section wins, even without a period", "expiry: {signingKeys: 2h}\nsigner: {type: local, config: {algorithm: ES256}}\n",
			func(c *config.Config) any { return c.LocalSigning() },
			config.LocalSigner{KeysRotationPeriod: 6 * time.Hour, Algorithm: "ES256"},
		},
		{
			"the addresses of the command line win", "# flag: --web-http-addr=:1\n# flag: --web-https-addr=:2\n# flag: --telemetry-addr=:3\n" +
				"# flag: --grpc-addr=127.0.0.1:4\nweb: {http: ':11', https: ':12', tlsCert: c, tlsKey: k}\ntelemetry: {http: ':13'}\n",
			func(c *config.Config) any {
				return []string{c.Web.HTTP, c.Web.HTTPS, c.Telemetry.HTTP, c.GRPC.Addr}
			}, []string{":1", ":2", ":3", "127.0.0.1:4"},
		},
		{
			"where nothing keeps strangers out, the management API listens on this machine only", "grpc: {addr: '0.0.0.0:5557'}\n",
			func(c *config.Config) any { return c.GRPC.Addr }, "127.0.0.1:5557",
		},
		{
			"unless something does", "grpc: {addr: ':5557', insecureAnonymous: true}\n",
			func(c *config.Config) any { return c.GRPC.Addr }, ":5557",
		},
		{
			"over HTTP too, and not beside metrics that strangers reach",
			"api: {addr: ':5559', telemetry: true}\ntelemetry: {http: ':5558'}\n",
			func(c *config.Config) any { return []any{c.API.Addr, c.API.Telemetry} }, []any{"127.0.0.1:5559", false},
		},
		{
			"with tokens it is", "api: {addr: ':5559', telemetry: true, adminTokens: true}\ntelemetry: {http: ':5558'}\n",
			func(c *config.Config) any { return []any{c.API.Addr, c.API.Telemetry} }, []any{":5559", true},
		},
		{
			"scalars stand for text as they are written", "frontend: {issuer: yes, theme: 1.30, extra: {a: 010, n: off, c: ~, d: 2001-01-01, e: !!binary aGk=}}\n",
			func(c *config.Config) any { return c.Frontend },
			config.Frontend{Issuer: "yes", Theme: "1.30", LogoURL: "theme/logo.png", Extra: map[string]string{
				"a": "010", "false": "off", "c": "", "d": "2001-01-01", "e": "hi",
			}, RememberConnector: true, FormOnChoice: true},
		},
		{
			"a byte order mark", "\ufeffoauth2: {skipApprovalScreen: y}\n",
			func(c *config.Config) any { return c.OAuth2.SkipApprovalScreen }, true,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.got(load(t, test.input))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

const hash = "$2y$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"

func TestSlogLevel(t *testing.T) {
	for level, want := range map[string]slog.Level{
		"": slog.LevelInfo, "debug": slog.LevelDebug, "INFO": slog.LevelInfo, "Warn": slog.LevelWarn, "error": slog.LevelError,
		"info+1": slog.LevelInfo + 1, "warn-2": slog.LevelWarn - 2,
	} {
		if got := (config.Logger{Level: level}).SlogLevel(); got != want {
			t.Errorf("level of %q: got %v, want %v", level, got, want)
		}
	}
}

func TestProblemString(t *testing.T) {
	for _, test := range []struct {
		problem config.Problem
		want    string
	}{
		{config.Problem{File: "f", Line: 1, Column: 2, Key: "k", Message: "m"}, "f:1:2: k: m"},
		{config.Problem{File: "f", Line: 1, Column: 2, Message: "m"}, "f:1:2: m"},
		{config.Problem{File: "f", Key: "k", Message: "m"}, "f: k: m"},
		{config.Problem{Message: "m"}, "m"},
	} {
		if got := test.problem.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestErrLeavesOutWarnings(t *testing.T) {
	problems := config.Problems{{Message: "a", Warning: true}, {Message: "b"}, {Message: "c"}}
	if got, want := problems.Err().Error(), "b\nc"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := problems[:1].Err(); err != nil || problems[:1].HasErrors() {
		t.Errorf("a warning is an error: %v", err)
	}
}
