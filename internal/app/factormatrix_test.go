package app_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"dex/internal/client"
	"dex/internal/oauth"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// A factorWorld says who needs which factors. Chains are YAML; empty leaves the key out.
type factorWorld struct {
	bare              bool     // there is no section mfa
	chain             string   // mfa.defaultMFAChain
	client, connector string   // mfaChain
	lost              bool     // the client is stored, and names a factor that there isn't
	otpOf             string   // connectorTypes of the codes of apps
	trusted           string   // trustedMFA of the connectors
	source            []string // how these say that their users sign in
}

func (w factorWorld) yaml() string {
	key := func(name, value string) string {
		if value == "" {
			return ""
		}
		return ", " + name + ": " + value
	}
	mfa := ""
	if !w.bare {
		mfa = fmt.Sprintf(`
mfa:
  recoveryCodes: 50
  authenticators:
  - {id: otp, type: TOTP, config: {issuer: Example}%s}
  - {id: key, type: WebAuthn, config: {}}
  - {id: either, type: AnyOf, config: {authenticators: [otp, key]}}
  defaultMFAChain: [%s]
`, key("connectorTypes", w.otpOf), w.chain)
	}
	clients := fmt.Sprintf(`staticClients: [{id: app, secret: app-secret, name: App, redirectURIs: ["https://app.test/callback"]%s}]`, key("mfaChain", w.client))
	if w.lost {
		clients = ""
	}
	return fmt.Sprintf(`
issuer: http://dex.test/dex
storage: {type: memory}
web: {http: 127.0.0.1:0}
sessions: {}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2: {skipApprovalScreen: true, grantTypes: ["%s"], responseTypes: [code, id_token], passwordConnector: crowd}
connectors:
- {type: mockPassword, id: crowd, name: Crowd, config: {username: u, password: p}%s%s}
- {type: mockCallback, id: abroad, name: Abroad, hidden: true%s%s}
%s
%s`, strings.Join(everyGrant, `", "`), key("mfaChain", w.connector), key("trustedMFA", w.trusted), key("mfaChain", w.connector),
		key("trustedMFA", w.trusted), clients, mfa)
}

func (w factorWorld) on(t *testing.T, kept store.Store) *crowded {
	t.Helper()
	return openCrowd(t, w.yaml(), kept, &crowd{methods: w.source}, &crowd{trips: true, methods: w.source})
}

// passedBy are the worlds in which users pass by something, by its name.
var passedBy = map[string]factorWorld{
	"nothing":             {},
	"a code":              {chain: "otp"},
	"a recovery code":     {chain: "otp"},
	"a key":               {chain: "key"},
	"the source":          {chain: "otp", trusted: "[mfa]", source: []string{"pwd", "mfa"}},
	"an untrusted source": {source: []string{"pwd", "mfa"}},
}

var everybody = slices.Collect(maps.Keys(passedBy))

// factorRows say who gets tokens in a world: those who have passed by one of these.
var factorRows = map[string]struct {
	world factorWorld
	by    []string
}{
	"nothing is asked for":                   {factorWorld{}, everybody},
	"by default":                             {factorWorld{chain: "otp", trusted: "[mfa]"}, []string{"a code", "a recovery code", "the source"}},
	"no source is trusted":                   {factorWorld{chain: "otp"}, []string{"a code", "a recovery code"}},
	"something else of sources is trusted":   {factorWorld{chain: "otp", trusted: "[hwk]"}, []string{"a code", "a recovery code"}},
	"either":                                 {factorWorld{chain: "either"}, []string{"a code", "a recovery code", "a key"}},
	"both":                                   {factorWorld{chain: "otp, key"}, nil},
	"for other connectors":                   {factorWorld{chain: "otp", otpOf: "[ldap]"}, everybody},
	"either, one of it for others":           {factorWorld{chain: "either", otpOf: "[ldap]"}, []string{"a key"}},
	"by the connector":                       {factorWorld{connector: "[key]"}, []string{"a key"}},
	"not for the connector":                  {factorWorld{chain: "otp", connector: "[]"}, everybody},
	"by the client":                          {factorWorld{connector: "[otp]", client: "[key]"}, []string{"a key"}},
	"not for the client":                     {factorWorld{chain: "otp", connector: "[key]", client: "[]"}, everybody},
	"a factor that there isn't":              {factorWorld{lost: true, trusted: "[mfa]"}, nil},
	"there are no factors any more":          {factorWorld{bare: true}, everybody},
	"there are none, and one is still named": {factorWorld{bare: true, lost: true}, nil},
}

// pass goes on until the login ends, by setting up what it asks for.
func (b *browser) pass(a answer, recovery func() string) answer {
	b.t.Helper()
	for range 6 {
		where := a.header.Get("Location")
		switch {
		case strings.HasPrefix(where, "/dex/mfa/totp?") && recovery != nil:
			a = b.post(strings.Replace(a.path(), "/totp?", "/recovery?", 1), url.Values{"code": {recovery()}})
		case strings.HasPrefix(where, "/dex/mfa/totp?"):
			a = b.enterCode(a.path(), b.appKey(a.path()), 0)
		case strings.HasPrefix(where, "/dex/mfa/webauthn?"):
			a = b.visit(b.register(a.path(), newKey()).text("redirect"))
		case strings.HasPrefix(where, "/dex/mfa/codes?"):
			b.visit(a.path()).wantStatus(http.StatusOK)
			a = b.post(a.path(), nil)
		default:
			return a
		}
	}
	return a
}

// get has somebody new pass, and returns what they hold for a grant.
func (s *crowded) get(grant, name string, recovery func() string) url.Values {
	s.t.Helper()
	b := s.browser()
	password := url.Values{"login": {name}, "password": {"p"}}
	if grant == oauth.GrantDeviceCode {
		begun := s.device()
		form := b.typeCode(begun.text("user_code"), "continue").wantStatus(http.StatusFound).path()
		b.pass(b.post(form, password), recovery).at("/device/callback?")
		return pollForm(begun.text("device_code"))
	}
	form := b.visit(authPath("connector_id", "crowd")).wantStatus(http.StatusFound).path()
	code := b.pass(b.post(form, password), recovery).appCode()
	if grant == oauth.GrantAuthorizationCode {
		return codeForm(code)
	}
	return refreshForm(s.token(codeForm(code)).wantStatus(http.StatusOK).text("refresh_token"))
}

// What was given out is good for tokens only while its user has passed what is asked for when it is redeemed.
func TestFactorsOfWhatWasGivenOut(t *testing.T) {
	t.Parallel()
	kept := memory.New()
	t.Cleanup(func() { _ = kept.Close() })
	put(t, kept, client.Kind, "app", client.Client{
		ID: "app", Secret: "app-secret", Name: "App", RedirectURIs: []string{callback}, MFAChain: []string{"lost"},
	})
	there := map[string]*crowded{}
	for name, row := range factorRows {
		there[name] = row.world.on(t, kept)
	}
	users := 0
	for by, world := range passedBy {
		ready := world.on(t, kept)
		var left []string
		var recovery func() string
		if by == "a recovery code" {
			left = ready.recoveryCodes("rita")
			recovery = func() string {
				code := left[0]
				left = left[1:]
				return code
			}
		}
		for _, grant := range []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken, oauth.GrantDeviceCode} {
			for name, row := range factorRows {
				users++
				user := fmt.Sprintf("user-%d", users)
				if recovery != nil {
					user = "rita"
				}
				a := there[name].token(ready.get(grant, user, recovery))
				want := slices.Contains(row.by, by)
				told := map[bool]string{true: "access_denied", false: "invalid_grant"}[grant == oauth.GrantDeviceCode]
				if a.hasToken() != want || !want && a.text("error") != told {
					t.Errorf("%s, %s, passed by %s: %d %s", name, grant, by, a.status, a.body)
				}
			}
		}
	}
}

// recoveryCodes are those of somebody who sets up an app.
func (s *crowded) recoveryCodes(name string) []string {
	s.t.Helper()
	b := s.browser()
	form := b.visit(authPath("connector_id", "crowd")).wantStatus(http.StatusFound).path()
	at := b.post(form, url.Values{"login": {name}, "password": {"p"}}).at("/mfa/totp?")
	page := b.visit(b.enterCode(at, b.appKey(at), 0).at("/mfa/codes?")).wantStatus(http.StatusOK)
	var codes []string
	for _, code := range recoveryCode.FindAllStringSubmatch(page.body, -1) {
		codes = append(codes, code[1])
	}
	return codes
}

// Where nobody can be asked for a factor, a user gets tokens only if the source has asked for one, as is trusted.
func TestFactorsOfGrantsWithoutPages(t *testing.T) {
	t.Parallel()
	grants := map[string]func(s *crowded) answer{
		oauth.GrantPassword: func(s *crowded) answer {
			return s.token(form("grant_type", oauth.GrantPassword, "username", "ann", "password", "p", "scope", "openid"))
		},
		oauth.GrantTokenExchange: func(s *crowded) answer {
			return s.token(form("grant_type", oauth.GrantTokenExchange, "scope", "openid", "connector_id", "abroad", "subject_token", "ann",
				"subject_token_type", oauth.TokenTypeID))
		},
		"silent": func(s *crowded) answer {
			b := s.browser()
			if trip := b.visit(authPath("connector_id", "abroad", "response_type", "id_token")); trip.status == http.StatusFound {
				b.visit(trip.path())
			}
			return b.visit(authPath("prompt", "none", "response_type", "id_token"))
		},
		oauth.GrantImplicit: func(s *crowded) answer {
			b := s.browser()
			trip := b.visit(authPath("connector_id", "abroad", "response_type", "id_token"))
			if trip.status != http.StatusFound {
				return trip
			}
			return b.visit(trip.path())
		},
	}
	for name, row := range factorRows {
		for by, ready := range map[string][]string{"nothing": nil, "the source": {"pwd", "mfa"}} {
			world := row.world
			world.source = ready
			kept := memory.New()
			if world.lost {
				put(t, kept, client.Kind, "app", client.Client{
					ID: "app", Secret: "app-secret", Name: "App", RedirectURIs: []string{callback}, MFAChain: []string{"lost"},
				})
			}
			s := world.on(t, kept)
			for grant, use := range grants {
				if a := use(s); a.hasToken() != slices.Contains(row.by, by) {
					t.Errorf("%s, %s, passed by %s: %d %s %s", name, grant, by, a.status, a.body, a.header.Get("Location"))
				}
			}
		}
	}
}

// Refresh tokens that were taken over from upstream, which has asked for its own factors, go on; nothing else is good by that.
func TestFactorsOfUpstreamsRefreshTokens(t *testing.T) {
	t.Parallel()
	kept := memory.New()
	t.Cleanup(func() { _ = kept.Close() })
	ready, s := passedBy["nothing"].on(t, kept), factorWorld{chain: "otp"}.on(t, kept)
	for _, grant := range []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken, oauth.GrantDeviceCode} {
		presented := ready.get(grant, "ann", nil)
		for _, kind := range []string{"refresh", "code", "device"} {
			markAsUpstreams(t, kept, kind)
		}
		a := s.token(presented)
		if want := grant == oauth.GrantRefreshToken; a.hasToken() != want {
			t.Errorf("%s: %d %s", grant, a.status, a.body)
		}
		if grant == oauth.GrantRefreshToken {
			s.token(refreshForm(a.text("refresh_token"))).wantStatus(http.StatusOK)
		}
	}
}

// markAsUpstreams changes stored authorizations of a kind as if upstream had asked for the factors.
func markAsUpstreams(t *testing.T, s store.Store, kind string) {
	t.Helper()
	records, err := s.List(t.Context(), kind, store.Query{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		marked := strings.Replace(string(r.Data), `"clientID":"app"`, `"clientID":"app","factors":["@upstream"]`, 1)
		if marked == string(r.Data) {
			t.Fatalf("%s %s", kind, r.Data)
		}
		r.Data = []byte(marked)
		if _, err := s.Replace(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}
