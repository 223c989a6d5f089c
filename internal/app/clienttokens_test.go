package app_test

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/client"
	"dex/internal/oauth"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// issued returns the tokens of an answer of either door.
func (a answer) issued() (access, id, expiresIn string) {
	a.t.Helper()
	if a.status == http.StatusOK {
		return a.text("access_token"), textOf(a.json()["id_token"]), fmt.Sprint(a.json()["expires_in"])
	}
	q := a.params()
	return q.Get("access_token"), q.Get("id_token"), q.Get("expires_in")
}

func textOf(v any) string {
	text, _ := v.(string)
	return text
}

// joseHeader returns a member of the header of a JWT.
func joseHeader(t testing.TB, token, member string) string {
	t.Helper()
	encoded, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	var header map[string]any
	if err != nil || json.Unmarshal(text, &header) != nil {
		t.Fatalf("no JWT: %q", token)
	}
	return textOf(header[member])
}

// Each kind of token that a client can have comes of each grant, and is good for what access and ID tokens are good for.
func TestTokensOfOneClientForEveryGrant(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"jwt", "jwt, profile: strict", "opaque"} {
		for algorithm, sum := range map[string]func(string) []byte{"": sha256Of, "EdDSA": sha512Of, "RS256": sha256Of} {
			for grant, use := range scenarios {
				t.Run(fmt.Sprintf("%s, %s, %s", grant, form, algorithm), func(t *testing.T) {
					w := openWorld()
					w.clientFactors = ", tokens: {idTokenLifetime: 10m, accessTokenLifetime: 5m, accessToken: " + form + "}"
					if algorithm != "" {
						w.clientFactors = strings.Replace(w.clientFactors, "{", "{idTokenSignedResponseAlg: "+algorithm+", ", 1)
					}
					s := w.in(t, memory.New())
					access, id, expires := use(s)(s).issued()
					if expires != "300" {
						t.Errorf("expires_in is %s", expires)
					}
					s.checkAccess(access, form, algorithm)
					s.checkID(id, access, grant, algorithm, sum)
				})
			}
		}
	}
}

func sha256Of(text string) []byte { sum := sha256.Sum256([]byte(text)); return sum[:] }
func sha512Of(text string) []byte { sum := sha512.Sum512([]byte(text)); return sum[:] }

func (s *server) checkAccess(access, form, algorithm string) {
	s.t.Helper()
	if algorithm == "" {
		algorithm = "ES256" // the server's
	}
	if form == "opaque" {
		if !strings.HasPrefix(access, "dexat_") || strings.Contains(access, ".") {
			s.t.Errorf("the access token is %s", access)
		}
	} else {
		s.verified(access, algorithm)
		if strict, typ := strings.Contains(form, "strict"), joseHeader(s.t, access, "typ"); strict != (typ == "at+jwt") {
			s.t.Errorf("the access token has the type %q", typ)
		}
	}
	s.bearer(access).wantStatus(http.StatusOK)
	asked := s.introspect(access, asApp).wantStatus(http.StatusOK).json()
	if asked["active"] != true || asked["client_id"] != "app" {
		s.t.Errorf("introspection answers %v", asked)
	}
	if left := time.Until(time.Unix(int64(asked["exp"].(float64)), 0)); left > 5*time.Minute || left < 4*time.Minute {
		s.t.Errorf("the access token lives %s", left)
	}
	s.revoke(access, asApp).wantStatus(http.StatusOK)
	if a := s.bearer(access); a.status != http.StatusUnauthorized {
		s.t.Errorf("once revoked, UserInfo answers %d", a.status)
	}
	if a := s.introspect(access, asApp); a.body != `{"active":false}` {
		s.t.Errorf("once revoked, introspection answers %s", a.body)
	}
}

func (s *server) checkID(id, access, grant, algorithm string, sum func(string) []byte) {
	s.t.Helper()
	if id == "" {
		if hasUser(grant) && !strings.Contains(grant, "exchange") {
			s.t.Error("there is no ID token")
		}
		return
	}
	if algorithm == "" {
		algorithm = "ES256"
	}
	s.verified(id, algorithm)
	said := claims(s.t, id)
	if said["at_hash"] != half(sum(access)) {
		s.t.Errorf("at_hash is %v", said["at_hash"])
	}
	if lives := said["exp"].(float64) - said["iat"].(float64); lives != 600 {
		s.t.Errorf("the ID token lives %v s", lives)
	}
	offered := s.get("/dex/.well-known/openid-configuration").json()["id_token_signing_alg_values_supported"]
	if !strings.Contains(fmt.Sprint(offered), algorithm) {
		s.t.Errorf("discovery offers %v", offered)
	}
}

// manyGroups are as many as a large company's directory has, and hard to compress.
var manyGroups = func() []string {
	groups := make([]string, 10_000)
	for i := range groups {
		b := make([]byte, 50)
		_, _ = rand.Read(b)
		groups[i] = hex.EncodeToString(b)
	}
	return groups
}()

// withGroups is a configuration with a user who has groups, and a client with tokens of its own kind.
func withGroups(groups []string, tokens string) string {
	list, _ := json.Marshal(groups) // can't fail
	y := strings.Replace(configuration, "groups: [team-a]", "groups: "+string(list), 1)
	y = strings.Replace(y, "name: App,", "name: App, tokens: {"+tokens+"},", 1)
	return y + "oauth2: {passwordConnector: local, skipApprovalScreen: true, responseTypes: [code, token, id_token]}\n"
}

func passwordGrant() url.Values {
	return form("grant_type", "password", "username", "admin@example.com", "password", "password",
		"scope", "openid email groups offline_access")
}

// signedIn goes through a login with a password and returns the answer to the application.
func (s *server) signedIn(pairs ...string) answer {
	s.t.Helper()
	b := s.browser()
	return b.post(b.passwordForm(pairs...), credentials())
}

// Tokens of users with too many groups refer to UserInfo, which has them all, and introspection too.
func TestGroupsByReference(t *testing.T) {
	t.Parallel()
	for _, tokens := range []string{"maxGroups: 200", "maxSize: 8192", "maxGroups: 200, accessToken: opaque", "maxSize: 4096, accessToken: opaque, idTokenSignedResponseAlg: ES384"} {
		t.Run(tokens, func(t *testing.T) {
			s := startWith(t, withGroups(manyGroups, tokens))
			byPassword := s.token(passwordGrant()).wantStatus(http.StatusOK)
			byCode := s.token(codeForm(s.signedIn().params().Get("code"))).wantStatus(http.StatusOK)
			for name, a := range map[string]answer{
				"password": byPassword,
				"code":     byCode,
				"refresh":  s.token(refreshForm(byCode.text("refresh_token"))),
				"implicit": s.signedIn("response_type", "id_token token", "scope", "openid groups"),
			} {
				access, id, _ := a.issued()
				if len(id) > 4096 || len(access) > 4096 {
					t.Errorf("%s: tokens have %d and %d bytes", name, len(access), len(id))
				}
				said := claims(t, id)
				if said["groups"] != nil || fmt.Sprint(said["_claim_names"]) != "map[groups:dex]" ||
					fmt.Sprint(said["_claim_sources"]) != "map[dex:map[endpoint:http://dex.test/dex/userinfo]]" {
					t.Errorf("%s: the ID token says %v", name, said)
				}
				told := s.bearer(access).wantStatus(http.StatusOK).json()
				if !sameGroups(told["groups"]) || told["_claim_names"] != nil || told["sub"] != said["sub"] {
					t.Errorf("%s: UserInfo doesn't tell all groups", name)
				}
				ext, _ := s.introspect(access).wantStatus(http.StatusOK).json()["ext"].(map[string]any)
				if !sameGroups(ext["groups"]) {
					t.Errorf("%s: introspection doesn't tell all groups", name)
				}
			}
			access, _, _ := byCode.issued()
			s.revoke(access).wantStatus(http.StatusOK)
			if a := s.bearer(access); a.status != http.StatusUnauthorized {
				t.Errorf("a revoked token is answered with %d", a.status)
			}
		})
	}
}

func sameGroups(v any) bool {
	list, _ := v.([]any)
	return slices.EqualFunc(list, manyGroups, func(a any, b string) bool { return a == b })
}

// Few groups stay in the tokens, and what is no group and too large is refused.
func TestBudgetOfTokens(t *testing.T) {
	t.Parallel()
	few := []string{"a", "b"}
	a := startWith(t, withGroups(few, "maxGroups: 2, maxSize: 8192")).token(passwordGrant()).wantStatus(http.StatusOK)
	if _, id, _ := a.issued(); fmt.Sprint(claims(t, id)["groups"]) != "[a b]" || claims(t, id)["_claim_names"] != nil {
		t.Errorf("the ID token says %v", claims(t, id))
	}
	long := strings.Replace(withGroups(few, "maxSize: 1024"), "username: admin", "username: "+strings.Repeat("a", 2000), 1)
	long = strings.Replace(long, "name: Admin User", "name: "+strings.Repeat("n", 2000), 1)
	f := passwordGrant()
	f.Set("scope", "openid profile groups")
	refused := startWith(t, long).token(f)
	refused.wantError(http.StatusInternalServerError, oauth.ServerError)
	if !strings.Contains(refused.body, "trying again won't help") {
		t.Errorf("an application may try again for ever: %s", refused.body)
	}
	// The implicit flow's ID token has no access token that could fetch groups.
	alone := startWith(t, withGroups(few, "maxGroups: 1")).signedIn("response_type", "id_token", "scope", "openid groups").params()
	if said := claims(t, alone.Get("id_token")); fmt.Sprint(said["groups"]) != "[a b]" {
		t.Errorf("an ID token alone says %v", said)
	}
}

// A storage that fails while groups are stored or read gives nobody a token, or an answer without groups.
func TestFaultsOfGroupsByReference(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		for n := 1; ; n++ {
			var f *faulty
			s := startOn(t, withGroups(manyGroups[:300], "maxGroups: 200"), func(inner store.Store) store.Store {
				f = &faulty{Store: inner, late: late}
				return f
			})
			good := s.token(passwordGrant()).wantStatus(http.StatusOK).text("access_token")
			f.failAt = n
			a := s.token(passwordGrant())
			issuing := f.failed
			if a.hasToken() && f.failed && !f.maybeSettled() || a.status != http.StatusOK && a.status < http.StatusInternalServerError {
				t.Errorf("late=%t: operation %d failed, and the answer is %d %s", late, n, a.status, a.body)
			}
			f.failAt, f.failed = n, false
			a = s.bearer(good)
			if f.failed && a.status < http.StatusInternalServerError || !f.failed && a.status != http.StatusOK {
				t.Errorf("late=%t: operation %d failed=%t, and UserInfo answers %d", late, n, f.failed, a.status)
			}
			if !issuing && !f.failed {
				break
			}
		}
	}
}

// An opaque token that was changed in any place, cut, made by another server, or sealed for another purpose is refused.
func TestForgedOpaqueTokens(t *testing.T) {
	t.Parallel()
	s := startWith(t, withGroups(nil, "accessToken: opaque"))
	access := s.token(passwordGrant()).wantStatus(http.StatusOK).text("access_token")
	s.wantAlive(access)
	forged := []string{"dexat_", "dexat_x", strings.TrimPrefix(access, "dexat_"), "dexat_" + access, access[:len(access)-1], access + "A",
		startWith(t, withGroups(nil, "accessToken: opaque")).token(passwordGrant()).text("access_token")}
	for i := len("dexat_"); i < len(access)-1; i += 7 {
		other := "A"
		if access[i] == 'A' {
			other = "B"
		}
		forged = append(forged, access[:i]+other+access[i+1:])
	}
	b := s.browser()
	b.visit(authPath("connector_id", "local"))
	for _, c := range b.jar.Cookies(&url.URL{Scheme: "http", Host: "dex.test", Path: "/dex/"}) {
		forged = append(forged, "dexat_"+c.Value)
	}
	s.wantDead(forged...)
	// An ID token leads to its user's connector at once.
	id := s.token(passwordGrant()).text("id_token")
	if a, b := s.get(authPath("id_token_hint", access)), s.get(authPath("id_token_hint", id)); a.status != http.StatusOK || b.status != http.StatusFound {
		t.Errorf("as hints, an opaque token is answered with %d, an ID token with %d", a.status, b.status)
	}
}

// Two replicas on one storage: the second knows at once what the first one signs with an algorithm that it has just made keys for.
func TestFurtherAlgorithmsOnReplicas(t *testing.T) {
	t.Parallel()
	kept := memory.New()
	on := func(store.Store) store.Store { return kept }
	yaml := strings.Replace(withGroups(nil, ""), ", tokens: {}", "", 1)
	yaml = strings.Replace(yaml, "issuer:", "signer: {type: local, config: {algorithm: ES256}}\nissuer:", 1)
	a, b := startOn(t, yaml, on), startOn(t, yaml, on)
	stored := client.Client{
		ID: "stored", Secret: "secret", Name: "Stored", RedirectURIs: []string{callback},
		Tokens: &client.Tokens{IDTokenSignedResponseAlg: "EdDSA", IDTokenLifetime: "48h", AccessTokenLifetime: "1h"},
	}
	if _, err := client.NewCatalog(kept, slog.New(slog.DiscardHandler)).Create(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	as := func(r *http.Request) { r.SetBasicAuth("stored", "secret") }
	access, id, expires := a.token(passwordGrant(), as).wantStatus(http.StatusOK).issued()
	if said := claims(t, id); expires != "3600" || said["exp"].(float64)-said["iat"].(float64) != 86400 {
		t.Errorf("the lifetimes are %s and %v", expires, said) // the longest is that of expiry.idTokens
	}
	b.bearer(access).wantStatus(http.StatusOK)
	a.verified(id, "EdDSA")
	b.verified(id, "EdDSA")
	startOn(t, yaml, on).verified(id, "EdDSA") // one that starts later
}

// A reload brings a client with another algorithm, and old tokens stay good.
func TestReloadWithAnotherAlgorithm(t *testing.T) {
	t.Parallel()
	r := startReloaded(t, planOf(t, withGroups(nil, "accessTokenLifetime: 48h")))
	before := r.token(passwordGrant()).wantStatus(http.StatusOK).text("access_token")
	r.apply(planOf(t, withGroups(nil, "accessToken: opaque, idTokenSignedResponseAlg: ES384")))
	access, id, _ := r.token(passwordGrant()).wantStatus(http.StatusOK).issued()
	r.verified(id, "ES384")
	r.wantAlive(before, access)
	r.apply(planOf(t, withGroups(nil, "accessToken: jwt")))
	r.wantAlive(before, access)
	r.verified(id, "ES384")
}

// A shorter lifetime of refresh tokens counts at once, for one client and no other.
func TestRefreshLifetimesOfOneClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startReloaded(t, planOf(t, withGroups(nil, "accessToken: jwt")))
		login := func() string { return r.token(passwordGrant()).wantStatus(http.StatusOK).text("refresh_token") }

		theirs := r.token(passwordGrant(), func(req *http.Request) {
			req.SetBasicAuth(url.QueryEscape("other"), url.QueryEscape("o+%ther secret"))
		}).wantStatus(http.StatusOK).text("refresh_token")
		for _, limit := range []string{"validIfNotUsedFor: 1h", "absoluteLifetime: 1h"} {
			token := login()
			r.apply(planOf(t, withGroups(nil, "refreshTokens: {"+limit+"}")))
			time.Sleep(time.Hour + time.Second)
			if a := r.introspect(token); a.body != `{"active":false}` {
				t.Errorf("%s: introspection answers %s", limit, a.body)
			}
			r.token(refreshForm(token)).wantError(http.StatusBadRequest, oauth.InvalidGrant)
			r.apply(planOf(t, withGroups(nil, "accessToken: jwt")))
		}
		r.token(refreshForm(theirs), func(req *http.Request) {
			req.SetBasicAuth(url.QueryEscape("other"), url.QueryEscape("o+%ther secret"))
		}).wantStatus(http.StatusOK)
	})
}
