package app

import (
	"slices"
	"strings"
	"time"

	"dex/internal/account"
	"dex/internal/authorize"
	"dex/internal/client"
	"dex/internal/code"
	"dex/internal/config"
	"dex/internal/device"
	"dex/internal/discovery"
	"dex/internal/factor"
	"dex/internal/grant"
	"dex/internal/identity"
	"dex/internal/introspection"
	"dex/internal/login"
	"dex/internal/logout"
	"dex/internal/oauth"
	"dex/internal/pkce"
	"dex/internal/policy"
	"dex/internal/refresh"
	"dex/internal/revocation"
	"dex/internal/selfservice"
	"dex/internal/session"
	"dex/internal/token"
	"dex/internal/userinfo"
)

// shared is what several rooms need.
type shared struct {
	clients  *client.Registry
	policy   policy.Decider
	minter   *token.Minter
	verifier *token.Verifier
	codes    *code.Codes
	devices  *device.Codes
	families *refresh.Families
	offline  *refresh.OfflineSessions

	identities *identity.Identities
	sessions   *session.Sessions // nil where they are off, as is the next
	logout     *logout.Logout
	bound      *session.Bound
	enrolled   *factor.Factors // what users have; nil where sessions are off
	factors    *login.Factors  // what logins ask for; nil where there is nothing
}

// share makes what several rooms need.
func (e *Edition) share() (shared, error) {
	core, expiry := e.core, e.cfg.Expiry
	clients := core.clients.With(e.plan.clients)
	var rules policy.Decider = policy.New(clients, e.plan.policyOptions())
	if core.traces != nil {
		rules = tracedPolicy{rules}
	}
	if wrap := core.opts.WrapPolicy; wrap != nil {
		rules = wrap(rules)
	}
	with := shared{
		clients: clients,
		policy:  rules,
		minter: &token.Minter{
			Issuer: e.cfg.Issuer, Signer: core.signer, Sealer: core.ring, Groups: core.groups, Events: core.events,
			UserInfo: core.issuer.JoinPath("userinfo").String(), WarnSize: e.cfg.OAuth2.Tokens.WarnSize,
		},
		verifier: &token.Verifier{
			Issuer: e.cfg.Issuer, Keys: core.signer, Revocations: core.revoked, Upstream: core.upstream,
			Opener: core.ring, Groups: core.groups,
		},
		codes:    core.codes.With(expiry.AuthCodes, expiry.AuthCodeReuseInterval),
		devices:  device.NewCodes(core.store, expiry.DeviceRequests, core.answers, time.Now),
		families: core.families.With(lifetimes(e.cfg), &refreshLimits{clients, e.plan.longestRefresh()}),
		offline:  refresh.NewOfflineSessions(core.store, e.plan.longestRefresh(), time.Now),
	}
	e.shareSessions(&with)
	return with, e.shareFactors(&with)
}

func lifetimes(c *config.Config) refresh.Lifetimes {
	r := c.Expiry.RefreshTokens
	return refresh.Lifetimes{
		Rotate:            !r.DisableRotation,
		ReuseInterval:     r.ReuseInterval,
		ValidIfNotUsedFor: r.ValidIfNotUsedFor,
		AbsoluteLifetime:  r.AbsoluteLifetime,
	}
}

func (e *Edition) compatible() config.Compatibility { return e.cfg.OAuth2.Compatibility }

// furnish makes the rooms that serve the routes.
func (e *Edition) furnish(with shared) rooms {
	r := rooms{
		token: e.tokenEndpoint(with),
		userinfo: userinfo.New(userinfo.Config{
			Verifier: with.verifier, Events: e.core.events, Strict: e.compatible().TokenProfile == config.Strict,
		}),
		revocation: revocation.New(revocation.Config{
			Clients: with.clients, Families: with.families, Revocations: e.core.revoked, Verifier: with.verifier.OfAll(), Events: e.core.events,
		}),
		introspection: introspection.New(introspection.Config{
			Issuer: e.cfg.Issuer, Clients: with.clients, Families: with.families, Verifier: with.verifier, Events: e.core.events,
			Terms: &refreshTerms{with.policy, e.connectors}, Open: e.compatible().Introspection == config.Upstream,
		}),
	}
	r.logout, r.sessions, r.factors = with.logout, with.sessions, with.factors != nil
	r.selfService = e.selfService(with)
	purposes := e.purposes(with, r.token)
	r.login = e.loginFlow(with, purposes, r.selfService)
	r.authorize = authorize.NewEndpoint(purposes.authorize, r.login)
	r.account = e.ownAccount(with, purposes.account, r.login, r.selfService)
	r.device = e.deviceEndpoints(with, purposes.device, r.login, r.token)
	r.discovery = discovery.New(discovery.Config{
		Issuer:           e.cfg.Issuer,
		IssuerURL:        e.core.issuer,
		NoIssuer:         e.compatible().IssuerParameter == config.Upstream,
		Keys:             e.core.signer,
		GrantTypes:       grantTypes(e.cfg, r.token),
		ResponseTypes:    r.authorize.ResponseTypes(),
		ChallengeMethods: e.cfg.OAuth2.PKCE.CodeChallengeMethodsSupported,
		Sessions:         e.cfg.SessionsOn(),
		ACRValues:        acrValues(e.cfg.MFA),
		SessionIframe:    e.cfg.SessionsOn() && e.cfg.Sessions.CheckSessionIframe,
	})
	return r
}

func (e *Edition) tokenEndpoint(with shared) *grant.Endpoint {
	compatible := e.compatible()
	cfg := grant.Config{
		Clients:     with.clients,
		Connectors:  e.connectors,
		Policy:      with.policy,
		Minter:      with.minter,
		Codes:       with.codes,
		Devices:     with.devices,
		Families:    with.families,
		Offline:     with.offline,
		Turns:       &e.core.turns,
		Revocations: e.core.revoked,
		GrantTypes:  e.cfg.OAuth2.GrantTypes,
		Limits:      e.core.limits,
		Log:         e.core.log,
		Events:      e.core.events,

		PasswordConnector:   e.cfg.OAuth2.PasswordConnector,
		AnonymousDevices:    compatible.ClientChecks == config.Upstream,
		AnyExchangeAudience: compatible.ExchangeAudience == config.Upstream,
		BearerIDTokens:      compatible.TokenProfile == config.Upstream,

		Users: with.identities,
		Bound: with.bound,
	}
	if with.sessions != nil {
		cfg.SignOut = with.logout
	}
	return grant.NewEndpoint(cfg)
}

// purposes are what people sign in for.
type purposes struct {
	authorize *authorize.Purpose
	device    *device.Purpose
	account   *account.Purpose
}

func (e *Edition) purposes(with shared, tokens *grant.Endpoint) purposes {
	compatible := e.compatible()
	forDevices := device.NewPurpose(device.PurposeConfig{
		IssuerURL: e.core.issuer,
		Devices:   with.devices,
		Pages:     e.pages,
		Events:    e.core.events,
		Enabled:   slices.Contains(tokens.GrantTypes(), oauth.GrantDeviceCode),
	})
	forAccounts := account.NewPurpose(e.core.issuer, e.pages, e.core.events)
	return purposes{device: forDevices, account: forAccounts, authorize: authorize.New(authorize.Config{
		Issuer:         e.cfg.Issuer,
		IssuerURL:      e.core.issuer,
		Clients:        with.clients,
		Policy:         with.policy,
		Codes:          with.codes,
		Minter:         with.minter,
		Hints:          with.verifier,
		Pages:          e.pages,
		Log:            e.core.log,
		Events:         e.core.events,
		ResponseTypes:  e.cfg.OAuth2.ResponseTypes,
		PKCE:           e.challengeRules(),
		DeviceRedirect: forDevices.Redirect,
		Sessions:       with.sessions != nil,

		Redirects: client.RedirectRules{
			FixedLocalhost: compatible.ClientChecks == config.Upstream,
			NoOutOfBand:    compatible.OutOfBand == config.Strict,
		},
		AnyForm:         compatible.ClientChecks == config.Upstream,
		OptionalNonce:   compatible.ClientChecks == config.Upstream,
		SilentLoginAsks: compatible.SilentLogin == config.Upstream,
		NoIssuer:        compatible.IssuerParameter == config.Upstream,
		OnlyGrants:      onlyGrants(e.cfg),
	})}
}

func (e *Edition) loginFlow(with shared, p purposes, self *selfservice.SelfService) *login.Flow {
	compatible, oauth2 := e.compatible(), e.cfg.OAuth2
	return login.New(login.Config{
		IssuerURL:        e.core.issuer,
		Clients:          with.clients,
		Connectors:       e.connectors,
		Policy:           with.policy,
		Limits:           e.core.limits,
		Ring:             e.core.ring,
		Store:            e.core.store,
		Pages:            e.pages,
		Log:              e.core.log,
		Events:           e.core.events,
		Identities:       with.identities,
		RequestLifetime:  e.cfg.Expiry.AuthRequests,
		SkipApproval:     oauth2.SkipApprovalScreen,
		AlwaysShowChoice: oauth2.AlwaysShowLoginScreen,

		Sessions: e.loginSessions(with),
		Factors:  with.factors,

		ResetURL:          self.ResetURL,
		FormOnChoice:      e.cfg.Frontend.FormOnChoice,
		RememberConnector: e.cfg.Frontend.RememberConnector,

		ShowFailures: compatible.ErrorRedirects == config.Upstream,
		KeepHints:    compatible.Reauthentication == config.Upstream,
		AnyBrowser:   compatible.BrowserBinding == config.Upstream,
	}, p.authorize, p.device, p.account)
}

func (e *Edition) deviceEndpoints(with shared, p *device.Purpose, flow *login.Flow, tokens *grant.Endpoint) *device.Endpoints {
	compatible := e.compatible()
	return device.New(device.Config{
		IssuerURL: e.core.issuer,
		Clients:   with.clients,
		Policy:    with.policy,
		Devices:   with.devices,
		Purpose:   p,
		Login:     flow,
		Token:     tokens,
		Limits:    e.core.limits,
		Pages:     e.pages,
		Events:    e.core.events,

		Enabled:          slices.Contains(tokens.GrantTypes(), oauth.GrantDeviceCode),
		PKCE:             e.challengeRules(),
		SecretLater:      compatible.ClientChecks != config.Strict,
		SkipConfirmation: compatible.DeviceConfirm == config.Upstream,
	})
}

// challengeRules returns the code challenges that clients must send.
func (e *Edition) challengeRules() pkce.Rules {
	checks := e.compatible().ClientChecks
	return pkce.Rules{
		Enforce:       e.cfg.OAuth2.PKCE.Enforce,
		EnforcePublic: checks == config.Strict,
		Methods:       e.cfg.OAuth2.PKCE.CodeChallengeMethodsSupported,
		AnyForm:       checks == config.Upstream,
	}
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
