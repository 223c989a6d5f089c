package connectortest

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A Google is a fake of Google: accounts, the APIs that know groups, and those that give access tokens to service accounts. Its
// users are known by their ids.
type Google struct {
	*Hosted
	Users map[string]GoogleUser
	// Says is told in ID tokens and by userinfo over what they usually say; nil values remove some.
	Says Object
	// NoIDToken leaves ID tokens out of the answers to refreshes.
	NoIDToken bool

	// Parents are the groups that an address is itself a member of.
	Parents map[string][]string
	// Admins are the domains that an administrator, or a service account, may read the groups of. Service accounts act for all
	// administrators.
	Admins map[string][]string
	// Premium says that the edition has searchTransitiveGroups.
	Premium bool
	// MaxLookups is how many calls the Directory takes before it says that there were too many; 0 for any number.
	MaxLookups int
	// OwnLife is how long access tokens of service accounts live.
	OwnLife time.Duration
	// Delegates are the service accounts that have to stand between GoogleAccount and whoever acts for it.
	Delegates []string

	consented map[string]bool
	offline   bool // the login under way gets a refresh token
	lookups   int
	own       map[string]ownToken
}

// A GoogleUser is somebody who has an account. Personal accounts have no Domain.
type GoogleUser struct {
	Name, Email, Domain string
	Unverified          bool
}

// An ownToken is an access token of a service account, or of an administrator for whom it acts.
type ownToken struct {
	holder string
	scope  string
}

// GoogleAccount is the service account of the fake.
const GoogleAccount = "dex@project.iam.example"

// NewGoogle starts a Google at which ada signs in.
func NewGoogle(t testing.TB) *Google {
	g := &Google{
		Hosted:    newHosted(t, "/o/oauth2/v2/auth", "/token", false),
		Users:     map[string]GoogleUser{"1001": {Name: "Ada L", Email: "ada@corp.example", Domain: "corp.example"}},
		Parents:   map[string][]string{"ada@corp.example": {"ops@corp.example", "dev@corp.example"}},
		Admins:    map[string][]string{"admin@corp.example": {"corp.example"}, GoogleAccount: {"corp.example"}},
		Premium:   true,
		OwnLife:   time.Hour,
		consented: map[string]bool{}, own: map[string]ownToken{},
	}
	g.User = "1001"
	g.Claims = g.claims
	g.Refuse = g.refuseRequest
	g.Refreshes = func([]string) bool { return g.offline }
	g.Extra = func(string) Object {
		if g.NoIDToken {
			return Object{"id_token": nil}
		}
		return nil
	}
	g.Grants = map[string]http.HandlerFunc{"urn:ietf:params:oauth:grant-type:jwt-bearer": g.serveAssertion}
	g.mux.HandleFunc("GET /.well-known/openid-configuration", g.serveMetadata)
	g.mux.HandleFunc("GET /oauth2/v3/certs", serveKeys)
	g.mux.HandleFunc("POST /tokeninfo", g.serveTokenInfo)
	g.API("GET /v1/userinfo", "openid", func(w http.ResponseWriter, _ *http.Request, user string) {
		said := g.claims(user)
		for _, name := range []string{"iss", "aud", "azp"} {
			delete(said, name)
		}
		Reply(w, http.StatusOK, said)
	})
	g.serveOwn()
	return g
}

// refuseRequest refuses scopes that Google doesn't have. It gives refresh tokens for offline access, to users who are asked for
// consent, or who have never been.
func (g *Google) refuseRequest(r *http.Request) string {
	if query := r.URL.Query(); query.Has("scope") {
		prompt := strings.Fields(query.Get("prompt"))
		g.offline = query.Get("access_type") == "offline" && (slices.Contains(prompt, "consent") || !g.consented[g.User])
		g.consented[g.User] = true
		if slices.Contains(strings.Fields(query.Get("scope")), "groups") {
			return "invalid_scope"
		}
	}
	if r.PostFormValue("grant_type") == "refresh_token" {
		g.offline = g.Rotates
	}
	return ""
}

func (g *Google) claims(id string) Object {
	u := g.Users[id]
	said := Object{"iss": g.URL, "azp": g.ClientID, "aud": g.ClientID, "sub": id, "email": u.Email, "email_verified": !u.Unverified, "name": u.Name}
	if u.Domain != "" {
		said["hd"] = u.Domain
	}
	return Merged(said, g.Says)
}

func (g *Google) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	Reply(w, http.StatusOK, Object{
		"issuer": g.URL, "authorization_endpoint": g.URL + "/o/oauth2/v2/auth", "token_endpoint": g.URL + "/token",
		"jwks_uri": g.URL + "/oauth2/v3/certs", "userinfo_endpoint": g.URL + "/v1/userinfo",
		"id_token_signing_alg_values_supported": []string{"RS256"}, "code_challenge_methods_supported": []string{"plain", "S256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic"},
	})
}

func (g *Google) serveTokenInfo(w http.ResponseWriter, r *http.Request) {
	given, ok := g.access[r.PostFormValue("access_token")]
	if !ok || isOver(given) {
		Reply(w, http.StatusBadRequest, Object{"error": "invalid_token", "error_description": "Invalid Value"})
		return
	}
	client := g.ClientID
	if given.client != "" {
		client = given.client
	}
	Reply(w, http.StatusOK, Object{"azp": client, "aud": client, "sub": given.user, "scope": strings.Join(given.scopes, " "), "expires_in": "3599"})
}

// Settings are those of a connector to the fake, which looks up no groups.
func (g *Google) Settings() Object {
	return Object{
		"clientID": "dex", "clientSecret": "secret", "issuer": g.URL, "directoryURL": g.URL, "cloudIdentityURL": g.URL,
		"iamCredentialsURL": g.URL, "tokenInfoURL": g.URL + "/tokeninfo",
	}
}

// File writes a file of credentials, and returns its path.
func (g *Google) File(t testing.TB, content Object) string {
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Key is the file of a service account's key.
func (g *Google) Key() Object {
	key, err := x509.MarshalPKCS8PrivateKey(SigningKey())
	if err != nil {
		panic(err)
	}
	return Object{
		"type": "service_account", "client_email": GoogleAccount, "private_key_id": keyID, "token_uri": g.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	}
}

func googleStage(t testing.TB) Stage {
	g := NewGoogle(t)
	return Stage{
		Hosted: g.Hosted,
		Settings: Merged(g.Settings(), Object{
			"groups": []string{"ops@corp.example"}, "serviceAccountFilePath": g.File(t, g.Key()),
			"domainToAdminEmail": Object{"corp.example": "admin@corp.example"},
		}),
		Groups:   []string{"ops@corp.example"},
		Leave:    func() { g.Parents["ada@corp.example"] = []string{"dev@corp.example"} },
		MaxCalls: 7, // discovery, the page, the code, the keys, the administrator's token, and the groups; and those of a probe
	}
}
