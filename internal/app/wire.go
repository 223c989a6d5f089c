package app

import (
	"slices"
	"strings"
	"time"

	"dex/internal/authorize"
	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/device"
	"dex/internal/discovery"
	"dex/internal/grant"
	"dex/internal/introspection"
	"dex/internal/limit"
	"dex/internal/login"
	"dex/internal/oauth"
	"dex/internal/pkce"
	"dex/internal/policy"
	"dex/internal/revocation"
	"dex/internal/token"
	"dex/internal/userinfo"
)

// shared is what several rooms need.
type shared struct {
	clients     *client.Registry
	policy      *policy.Policy
	limits      *limit.Set
	minter      *token.Minter
	verifier    *token.Verifier
	codes       *token.Codes
	devices     *token.Devices
	revocations *token.Revocations
}

// share makes what several rooms need.
func (a *App) share(p *Plan) shared {
	limits := limit.NewSet(time.Now)
	clients := client.NewRegistry(p.clients, a.store, limits, a.log)
	a.caches = append(a.caches, clients.Forget)
	rules := policy.New(clients, policy.Options{
		RefuseUnknownScopes: a.compatible().UnknownScopes == config.Upstream, SecondFactors: factors(a.cfg),
	})
	revocations := token.NewRevocations(a.store, a.cfg.Expiry.IDTokens, time.Now)
	return shared{
		clients: clients,
		policy:  rules,
		limits:  limits,
		minter: &token.Minter{
			Issuer: a.cfg.Issuer, Lifetime: a.cfg.Expiry.IDTokens, Signer: a.signer, Policy: rules, Now: time.Now,
			Profile: a.compatible().TokenProfile == config.Strict,
		},
		verifier:    &token.Verifier{Issuer: a.cfg.Issuer, Keys: a.signer, Revocations: revocations, Now: time.Now, Upstream: a.upstream},
		codes:       token.NewCodes(a.store, a.cfg.Expiry.AuthCodes, a.cfg.Expiry.AuthCodeReuseInterval, a.answers, time.Now),
		devices:     token.NewDevices(a.store, a.cfg.Expiry.DeviceRequests, a.answers, time.Now),
		revocations: revocations,
	}
}

func (a *App) compatible() config.Compatibility { return a.cfg.OAuth2.Compatibility }

// furnish makes the rooms that serve the routes.
func (a *App) furnish(with shared) rooms {
	r := rooms{
		token: a.tokenEndpoint(with),
		userinfo: userinfo.New(userinfo.Config{
			Verifier: with.verifier, Log: a.log, Strict: a.compatible().TokenProfile == config.Strict,
		}),
		revocation: revocation.New(revocation.Config{
			Clients: with.clients, Families: a.families, Revocations: with.revocations, Verifier: with.verifier, Log: a.log,
		}),
		introspection: introspection.New(introspection.Config{
			Issuer: a.cfg.Issuer, Clients: with.clients, Families: a.families, Verifier: with.verifier, Log: a.log,
			Open: a.compatible().Introspection == config.Upstream,
		}),
	}
	purposes := a.purposes(with, r.token)
	r.login = a.loginFlow(with, purposes)
	r.authorize = authorize.NewEndpoint(purposes.authorize, r.login)
	r.device = a.deviceEndpoints(with, purposes.device, r.login, r.token)
	r.discovery = discovery.New(discovery.Config{
		Issuer:           a.cfg.Issuer,
		IssuerURL:        a.issuer,
		NoIssuer:         a.compatible().IssuerParameter == config.Upstream,
		Keys:             a.signer,
		GrantTypes:       grantTypes(a.cfg, r.token),
		ResponseTypes:    r.authorize.ResponseTypes(),
		ChallengeMethods: a.cfg.OAuth2.PKCE.CodeChallengeMethodsSupported,
	})
	return r
}

func (a *App) tokenEndpoint(with shared) *grant.Endpoint {
	compatible := a.compatible()
	return grant.NewEndpoint(grant.Config{
		Clients:     with.clients,
		Connectors:  a.connectors,
		Policy:      with.policy,
		Minter:      with.minter,
		Codes:       with.codes,
		Devices:     with.devices,
		Families:    a.families,
		Offline:     a.offline,
		Revocations: with.revocations,
		GrantTypes:  a.cfg.OAuth2.GrantTypes,
		Limits:      with.limits,
		Log:         a.log,

		PasswordConnector:   a.cfg.OAuth2.PasswordConnector,
		AnonymousDevices:    compatible.ClientChecks == config.Upstream,
		AnyExchangeAudience: compatible.ExchangeAudience == config.Upstream,
		BearerIDTokens:      compatible.TokenProfile == config.Upstream,
	})
}

// purposes are what people sign in for.
type purposes struct {
	authorize *authorize.Purpose
	device    *device.Purpose
}

func (a *App) purposes(with shared, tokens *grant.Endpoint) purposes {
	compatible := a.compatible()
	forDevices := device.NewPurpose(device.PurposeConfig{
		IssuerURL: a.issuer,
		Policy:    with.policy,
		Devices:   with.devices,
		Pages:     a.pages,
		Log:       a.log,
		Enabled:   slices.Contains(tokens.GrantTypes(), oauth.GrantDeviceCode),
	})
	return purposes{device: forDevices, authorize: authorize.New(authorize.Config{
		Issuer:         a.cfg.Issuer,
		IssuerURL:      a.issuer,
		Clients:        with.clients,
		Policy:         with.policy,
		Codes:          with.codes,
		Minter:         with.minter,
		Hints:          with.verifier,
		Pages:          a.pages,
		Log:            a.log,
		ResponseTypes:  a.cfg.OAuth2.ResponseTypes,
		PKCE:           a.challengeRules(),
		DeviceRedirect: forDevices.Redirect,

		Redirects: client.RedirectRules{
			FixedLocalhost: compatible.ClientChecks == config.Upstream,
			NoOutOfBand:    compatible.OutOfBand == config.Strict,
		},
		AnyForm:         compatible.ClientChecks == config.Upstream,
		OptionalNonce:   compatible.ClientChecks == config.Upstream,
		SilentLoginAsks: compatible.SilentLogin == config.Upstream,
		NoIssuer:        compatible.IssuerParameter == config.Upstream,
		OnlyGrants:      onlyGrants(a.cfg),
	})}
}

func (a *App) loginFlow(with shared, p purposes) *login.Flow {
	compatible, oauth2 := a.compatible(), a.cfg.OAuth2
	return login.New(login.Config{
		IssuerURL:        a.issuer,
		Clients:          with.clients,
		Connectors:       a.connectors,
		Policy:           with.policy,
		Limits:           with.limits,
		Ring:             a.ring,
		Store:            a.store,
		Pages:            a.pages,
		Log:              a.log,
		Now:              time.Now,
		RequestLifetime:  a.cfg.Expiry.AuthRequests,
		SkipApproval:     oauth2.SkipApprovalScreen,
		AlwaysShowChoice: oauth2.AlwaysShowLoginScreen,

		ShowFailures: compatible.ErrorRedirects == config.Upstream,
		KeepHints:    compatible.Reauthentication == config.Upstream,
		AnyBrowser:   compatible.BrowserBinding == config.Upstream,
	}, p.authorize, p.device)
}

func (a *App) deviceEndpoints(with shared, p *device.Purpose, flow *login.Flow, tokens *grant.Endpoint) *device.Endpoints {
	compatible := a.compatible()
	return device.New(device.Config{
		IssuerURL: a.issuer,
		Clients:   with.clients,
		Policy:    with.policy,
		Devices:   with.devices,
		Purpose:   p,
		Login:     flow,
		Token:     tokens,
		Limits:    with.limits,
		Pages:     a.pages,
		Log:       a.log,

		Enabled:          slices.Contains(tokens.GrantTypes(), oauth.GrantDeviceCode),
		PKCE:             a.challengeRules(),
		SecretLater:      compatible.ClientChecks != config.Strict,
		SkipConfirmation: compatible.DeviceConfirm == config.Upstream,
	})
}

// challengeRules returns the code challenges that clients must send.
func (a *App) challengeRules() pkce.Rules {
	checks := a.compatible().ClientChecks
	return pkce.Rules{
		Enforce:       a.cfg.OAuth2.PKCE.Enforce,
		EnforcePublic: checks == config.Strict,
		Methods:       a.cfg.OAuth2.PKCE.CodeChallengeMethodsSupported,
		AnyForm:       checks == config.Upstream,
	}
}

// factors returns the second factors that everybody needs unless their client says otherwise.
func factors(c *config.Config) []string {
	if c.MFA == nil {
		return nil
	}
	return c.MFA.DefaultMFAChain
}

// onlyGrants returns the grants that the authorization endpoint is held to; nil for none, as upstream has it.
func onlyGrants(c *config.Config) []string {
	if c.OAuth2.Compatibility.EndpointGrants != config.Strict {
		return nil
	}
	return c.OAuth2.GrantTypes
}

// grantTypes returns the grants that are served anywhere. Tokens come from the authorization endpoint where a response type
// has the word token.
func grantTypes(c *config.Config, tokens *grant.Endpoint) []string {
	served := tokens.GrantTypes()
	hasToken := func(responseType string) bool {
		return slices.Contains(strings.Fields(responseType), oauth.ResponseToken)
	}
	if slices.Contains(c.OAuth2.GrantTypes, oauth.GrantImplicit) && slices.ContainsFunc(c.OAuth2.ResponseTypes, hasToken) {
		served = append(served, oauth.GrantImplicit)
		slices.Sort(served)
	}
	return served
}
