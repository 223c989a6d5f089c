package connectortest

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	scopeCloud         = "https://www.googleapis.com/auth/cloud-platform"
	scopeDirectory     = "https://www.googleapis.com/auth/admin.directory.group.readonly"
	scopeCloudIdentity = "https://www.googleapis.com/auth/cloud-identity.groups.readonly"
)

// serveOwn serves what is asked in a service account's name.
func (g *Google) serveOwn() {
	g.mux.HandleFunc("GET /admin/directory/v1/groups", g.serveDirectory)
	g.mux.HandleFunc("GET /v1/groups/-/memberships:searchTransitiveGroups", g.serveSearch)
	g.mux.HandleFunc("GET /v1/groups/-/memberships:searchDirectGroups", g.serveSearch)
	g.mux.HandleFunc("POST /v1/projects/-/serviceAccounts/{method}", g.serveIAM)
	g.mux.HandleFunc("POST /sts/v1/token", g.serveSTS)
	g.mux.HandleFunc("GET /subject", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata") != "True" {
			http.Error(w, "no header", http.StatusBadRequest)
			return
		}
		Reply(w, http.StatusOK, Object{"access_token": "subject"})
	})
	g.mux.HandleFunc("POST /gcloud/token", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("refresh_token") != "gcloud" || r.PostFormValue("client_secret") != "gcloud-secret" {
			Reply(w, http.StatusBadRequest, Object{"error": "invalid_grant"})
			return
		}
		g.giveOwn("admin@corp.example", scopeDirectory+" "+scopeCloudIdentity, w)
	})
	const machine = "GET /computeMetadata/v1/instance/service-accounts/default/"
	g.metadata(machine+"email", func(w http.ResponseWriter) { _, _ = w.Write([]byte(GoogleAccount + "\n")) })
	g.metadata(machine+"token", func(w http.ResponseWriter) { g.giveOwn(GoogleAccount, scopeCloud, w) })
}

func (g *Google) metadata(pattern string, serve func(http.ResponseWriter)) {
	g.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") != "Google" {
			http.Error(w, "no header", http.StatusForbidden)
			return
		}
		w.Header().Set("Metadata-Flavor", "Google")
		serve(w)
	})
}

// newOwn makes an access token that a service account has.
func (g *Google) newOwn(holder, scope string) string {
	token := g.token("own")
	g.own[token] = ownToken{holder, scope}
	return token
}

func (g *Google) giveOwn(holder, scope string, w http.ResponseWriter) {
	Reply(w, http.StatusOK, Object{"access_token": g.newOwn(holder, scope), "expires_in": int(g.OwnLife.Seconds()), "token_type": "Bearer"})
}

// ForgetOwn makes all access tokens of service accounts worthless.
func (g *Google) ForgetOwn() {
	g.Mu.Lock()
	defer g.Mu.Unlock()
	clear(g.own)
}

// serveAssertion exchanges what a service account has signed.
func (g *Google) serveAssertion(w http.ResponseWriter, r *http.Request) {
	var said struct {
		Iss, Sub, Scope, Aud string
		Iat, Exp             int64
	}
	signed, err := jose.ParseSignedCompact(r.PostFormValue("assertion"), []jose.SignatureAlgorithm{jose.RS256})
	if err == nil {
		var payload []byte
		if payload, err = signed.Verify(SigningKey().Public()); err == nil {
			err = json.Unmarshal(payload, &said)
		}
	}
	now := time.Now().Unix()
	switch {
	case err != nil, said.Iss != GoogleAccount, said.Aud != g.URL+"/token", said.Iat > now, said.Exp < now, said.Exp > said.Iat+3600:
		Reply(w, http.StatusBadRequest, Object{"error": "invalid_grant", "error_description": "Invalid JWT"})
		return
	case said.Sub != "" && g.Admins[said.Sub] == nil:
		Reply(w, http.StatusUnauthorized, Object{"error": "unauthorized_client", "error_description": "Client is unauthorized"})
		return
	case said.Sub == "":
		said.Sub = GoogleAccount
	}
	g.giveOwn(said.Sub, said.Scope, w)
}

// holder returns the domains that the holder of a request's token may read, and refuses those without the scope.
func (g *Google) holder(w http.ResponseWriter, r *http.Request, scope string) ([]string, bool) {
	own, ok := g.own[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	switch {
	case !ok:
		googleError(w, http.StatusUnauthorized, "authError", "Invalid Credentials")
		return nil, false
	case !slices.Contains(strings.Fields(own.scope), scope):
		googleError(w, http.StatusForbidden, "insufficientPermissions", "Request had insufficient authentication scopes.")
		return nil, false
	}
	return g.Admins[own.holder], true
}

func googleError(w http.ResponseWriter, status int, reason, message string) {
	Reply(w, status, Object{"error": Object{
		"code": status, "message": message, "errors": []Object{{"message": message, "domain": "global", "reason": reason}},
	}})
}

func (g *Google) serveDirectory(w http.ResponseWriter, r *http.Request) {
	domains, ok := g.holder(w, r, scopeDirectory)
	if !ok {
		return
	}
	if g.lookups++; g.MaxLookups != 0 && g.lookups > g.MaxLookups {
		g.lookups = 0
		googleError(w, http.StatusForbidden, "rateLimitExceeded", "Rate Limit Exceeded")
		return
	}
	address := r.URL.Query().Get("userKey")
	_, domain, _ := strings.Cut(address, "@")
	if !slices.Contains(domains, domain) {
		googleError(w, http.StatusForbidden, "forbidden", "Not Authorized to access this resource/API")
		return
	}
	parents, known := g.Parents[address]
	if !known {
		googleError(w, http.StatusNotFound, "notFound", "Resource Not Found: userKey")
		return
	}
	from, to, next := tokenPage(r, "maxResults", len(parents))
	answer := Object{"kind": "admin#directory#groups", "etag": "x"}
	var groups []Object
	for _, group := range parents[from:to] {
		groups = append(groups, Object{"email": group})
	}
	if groups != nil {
		answer["groups"] = groups
	}
	Reply(w, http.StatusOK, Merged(answer, next))
}

// tokenPage returns the part of a list that is asked for by pageToken and a size, of 200 at most for the Directory, and the token of
// the next part.
func tokenPage(r *http.Request, sizeName string, length int) (from, to int, next Object) {
	query := r.URL.Query()
	size, err := strconv.Atoi(query.Get(sizeName))
	if err != nil {
		size = 200
	}
	if sizeName == "maxResults" {
		size = min(size, 200)
	}
	from, _ = strconv.Atoi(strings.TrimPrefix(query.Get("pageToken"), "page-"))
	to = min(from+size, length)
	if to < length {
		next = Object{"nextPageToken": "page-" + strconv.Itoa(to)}
	}
	return from, to, next
}

var memberQuery = regexp.MustCompile(`^member_key_id == '((?:[^'\\]|\\.)*)' && 'cloudidentity\.googleapis\.com/groups\.discussion_forum' in labels$`)

// serveSearch finds groups by Cloud Identity.
func (g *Google) serveSearch(w http.ResponseWriter, r *http.Request) {
	domains, ok := g.holder(w, r, scopeCloudIdentity)
	if !ok {
		return
	}
	asked := memberQuery.FindStringSubmatch(r.URL.Query().Get("query"))
	if asked == nil {
		googleError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "the query can't be parsed")
		return
	}
	address := regexp.MustCompile(`\\(.)`).ReplaceAllString(asked[1], "$1")
	_, domain, _ := strings.Cut(address, "@")
	transitive := strings.HasSuffix(r.URL.Path, "searchTransitiveGroups")
	if !slices.Contains(domains, domain) || transitive && !g.Premium {
		googleError(w, http.StatusForbidden, "PERMISSION_DENIED", "Error(2028): Permission denied")
		return
	}
	all := slices.Clone(g.Parents[address])
	for i := 0; transitive && i < len(all); i++ {
		for _, more := range g.Parents[all[i]] {
			if !slices.Contains(all, more) {
				all = append(all, more)
			}
		}
	}
	from, to, next := tokenPage(r, "pageSize", len(all))
	var found []Object
	for _, group := range all[from:to] {
		found = append(found, Object{"groupKey": Object{"id": group}, "group": "groups/x", "displayName": "Group"})
	}
	Reply(w, http.StatusOK, Merged(Object{"memberships": found}, next))
}

// serveIAM signs, and makes access tokens, for a service account that another identity may act for.
func (g *Google) serveIAM(w http.ResponseWriter, r *http.Request) {
	if _, ok := g.holder(w, r, scopeCloud); !ok {
		return
	}
	account, method, _ := strings.Cut(r.PathValue("method"), ":")
	var asked struct {
		Payload   string
		Scope     []string
		Delegates []string
	}
	err := json.NewDecoder(r.Body).Decode(&asked)
	if err != nil || account != GoogleAccount || !slices.Equal(asked.Delegates, g.Delegates) {
		googleError(w, http.StatusForbidden, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts."+method+"' denied")
		return
	}
	if method == "generateAccessToken" {
		Reply(w, http.StatusOK, Object{
			"accessToken": g.newOwn(account, strings.Join(asked.Scope, " ")), "expireTime": time.Now().Add(g.OwnLife).UTC().Format(time.RFC3339),
		})
		return
	}
	var claims Object
	if err := json.Unmarshal([]byte(asked.Payload), &claims); err != nil {
		googleError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "no payload")
		return
	}
	Reply(w, http.StatusOK, Object{"keyId": keyID, "signedJwt": g.Sign(claims)})
}

// serveSTS exchanges the token of another provider.
func (g *Google) serveSTS(w http.ResponseWriter, r *http.Request) {
	form := r.PostForm
	if form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" || form.Get("subject_token") != "subject" ||
		form.Get("audience") != "//iam.example/pool" || form.Get("requested_token_type") != "urn:ietf:params:oauth:token-type:access_token" {
		Reply(w, http.StatusBadRequest, Object{"error": "invalid_grant", "error_description": "the subject token is not good"})
		return
	}
	g.giveOwn(GoogleAccount, form.Get("scope"), w)
}
