package connectortest

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Hosted is what the fakes of hosted providers have in common: one registered application, a login page that signs in whoever
// User says, the code flow, tokens that end, are renewed, rotated and revoked, and an API for the holders of tokens. What it does
// may be changed and read between requests, and during them with Mu held, which each request holds.
type Hosted struct {
	*httptest.Server
	mux      *http.ServeMux
	authPath string

	Mu sync.Mutex

	// The registered application. An empty RedirectURI is any.
	ClientID, ClientSecret, RedirectURI string

	User      string // whom the login page signs in, by the provider's id for them
	Deny      string // the error with which the login page sends the browser back; empty for none
	NeedsPKCE bool   // refuse logins without a challenge
	NoBasic   bool   // the token endpoint wants the secret in the form
	AsForm    bool   // the token endpoint answers by a form
	AsksJSON  bool   // the token endpoint answers by a form unless it is asked for JSON, as GitHub does
	NoScopes  bool   // the API is open to every token
	// Refuse returns the error with which the login page, or the token endpoint, refuses a request; empty for none.
	Refuse func(r *http.Request) string
	// RefusedStatus is the status of the token endpoint's refusals; GitHub has 200, all others 400.
	RefusedStatus int
	// Refusals are the provider's own codes instead of invalid_client, and instead of invalid_grant for each grant type.
	Refusals  map[string]string
	Refreshes func(scopes []string) bool // whether there are refresh tokens; nil for never
	Rotates   bool                       // each refresh token works once
	Life      time.Duration              // of access tokens; 0 for ever
	Extra     func(user string) Object   // more members of the token endpoint's answers; nil for none
	// Claims are what ID tokens say of a user, which logins with the scope openid get; nil for none. NonceOf is what they have as
	// nonce for the one that was sent; nil for the same.
	Claims  func(user string) Object
	NonceOf func(sent string) string
	// Grants serve token requests of other grant types, which are not authenticated as the application.
	Grants map[string]http.HandlerFunc
	// Assertion is what the application shows instead of its secret; empty for the secret.
	Assertion string
	// form makes an access token of a name that is unique; nil for the name itself.
	form func(name string, g grant) string

	// Fail are answers that come instead of the usual ones, by path.
	Fail map[string]http.HandlerFunc
	// Refusal returns the API's answer to a call that it refuses with a status; nil for a usual one.
	Refusal func(status int) Object
	// Down answers everything but the login page by 502.
	Down bool
	// ETags makes the API answer 304 where nothing has changed.
	ETags bool

	codes   map[string]grant
	access  map[string]grant
	refresh map[string]grant
	serial  int
	calls   []Call
}

// A Call is a request that a Hosted has had.
type Call struct {
	Method, URI string
	Header      http.Header
	Form        url.Values
}

type grant struct {
	user        string
	scopes      []string
	redirectURI string
	challenge   string
	nonce       string
	until       time.Time // zero for ever
	client      string    // the application that has the token; empty for the one of the tests
}

// newHosted makes a provider with an authorization endpoint and a token endpoint, and serves it, with TLS or without.
func newHosted(t testing.TB, authPath, tokenPath string, withTLS bool) *Hosted {
	h := &Hosted{
		mux: http.NewServeMux(), authPath: authPath, ClientID: "dex", ClientSecret: "secret", RefusedStatus: http.StatusBadRequest,
		Fail: map[string]http.HandlerFunc{}, codes: map[string]grant{}, access: map[string]grant{}, refresh: map[string]grant{},
	}
	h.mux.HandleFunc("GET "+authPath, h.serveAuth)
	h.mux.HandleFunc("POST "+tokenPath, h.serveToken)
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(h.serve))
	if withTLS {
		h.StartTLS()
	} else {
		h.Start()
	}
	t.Cleanup(h.Close)
	return h
}

func (h *Hosted) serve(w http.ResponseWriter, r *http.Request) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		_ = r.ParseForm() // then the form is empty
	}
	h.calls = append(h.calls, Call{r.Method, r.URL.RequestURI(), r.Header.Clone(), r.PostForm})
	if h.Down && r.URL.Path != h.authPath {
		http.Error(w, "down", http.StatusBadGateway)
		return
	}
	if fail := h.Fail[r.URL.Path]; fail != nil {
		fail(w, r)
		return
	}
	h.mux.ServeHTTP(w, r)
}

// API serves a pattern of the mux for holders of a good access token, who are given by the provider's id. Calls with another
// token are refused, and those whose token has none of the scopes, which are separated by spaces, unless there are none.
func (h *Hosted) API(pattern, scopes string, serve func(w http.ResponseWriter, r *http.Request, user string)) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		given, ok := h.access[token]
		switch {
		case !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "token"), !ok, isOver(given):
			h.refuse(w, http.StatusUnauthorized, "invalid_token")
			return
		case scopes != "" && !h.NoScopes && !slices.ContainsFunc(strings.Fields(scopes), func(scope string) bool { return slices.Contains(given.scopes, scope) }):
			h.refuse(w, http.StatusForbidden, "insufficient_scope")
			return
		}
		if !h.ETags {
			serve(w, r, given.user)
			return
		}
		answer := httptest.NewRecorder()
		serve(answer, r, given.user)
		sum := sha256.Sum256(answer.Body.Bytes())
		tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag && answer.Code == http.StatusOK {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // the client has gone
	})
}

// refuse answers a call to the API.
func (h *Hosted) refuse(w http.ResponseWriter, status int, code string) {
	if h.Refusal != nil {
		Reply(w, status, h.Refusal(status))
		return
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer error=\""+code+"\"")
	}
	Reply(w, status, Object{"message": "the token is not good", "error": code})
}

func isOver(g grant) bool { return !g.until.IsZero() && time.Now().After(g.until) }

// serveAuth is the login page.
func (h *Hosted) serveAuth(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	back := cmp.Or(query.Get("redirect_uri"), h.RedirectURI)
	switch {
	case query.Get("client_id") != h.ClientID, query.Get("response_type") != "code":
		http.Error(w, "no such application", http.StatusBadRequest)
		return
	case h.RedirectURI != "" && back != h.RedirectURI, back == "":
		http.Error(w, "the redirect URI is not registered: "+back, http.StatusBadRequest)
		return
	}
	challenge := query.Get("code_challenge")
	params := url.Values{"state": {query.Get("state")}}
	switch refused := h.refusal(r); {
	case refused != "":
		params.Set("error", refused)
	case h.Deny != "":
		params.Set("error", h.Deny)
		params.Set("error_description", "because")
	case challenge == "" && h.NeedsPKCE, challenge != "" && query.Get("code_challenge_method") != "S256":
		params.Set("error", "invalid_request")
	default:
		code := h.token("code")
		h.codes[code] = grant{
			user: h.User, scopes: strings.Fields(query.Get("scope")), redirectURI: query.Get("redirect_uri"), challenge: challenge,
			nonce: query.Get("nonce"), until: time.Now().Add(time.Minute),
		}
		params.Set("code", code)
	}
	http.Redirect(w, r, back+"?"+params.Encode(), http.StatusFound) //nolint:gosec // G710: a test sets what is registered
}

func (h *Hosted) token(kind string) string {
	h.serial++
	return fmt.Sprintf("%s-%d", kind, h.serial)
}

func (h *Hosted) refusal(r *http.Request) string {
	if h.Refuse == nil {
		return ""
	}
	return h.Refuse(r)
}

// serveToken is the token endpoint.
func (h *Hosted) serveToken(w http.ResponseWriter, r *http.Request) {
	if serve := h.Grants[r.PostFormValue("grant_type")]; serve != nil {
		serve(w, r)
		return
	}
	refused := h.refusal(r)
	if !h.isOurs(r) {
		refused = "invalid_client"
	}
	switch refused {
	case "":
	case "invalid_client":
		status := http.StatusUnauthorized
		if h.RefusedStatus == http.StatusOK {
			status = http.StatusOK
		}
		w.Header().Set("WWW-Authenticate", "Basic")
		h.answer(w, r, status, Object{"error": cmp.Or(h.Refusals[refused], refused)})
		return
	default:
		h.answer(w, r, h.RefusedStatus, Object{"error": refused})
		return
	}
	given, ok := h.redeem(r)
	if !ok {
		h.answer(w, r, h.RefusedStatus, Object{
			"error":             cmp.Or(h.Refusals[r.PostFormValue("grant_type")], "invalid_grant"),
			"error_description": "the code or the refresh token is not good",
		})
		return
	}
	answer := h.give(given)
	if h.Extra != nil {
		answer = Merged(answer, h.Extra(given.user))
	}
	h.answer(w, r, http.StatusOK, answer)
}

// isOurs reports whether a request is authenticated as the application.
func (h *Hosted) isOurs(r *http.Request) bool {
	id, secret, basic := r.BasicAuth()
	if h.Assertion != "" {
		form := r.PostForm
		return !basic && !form.Has("client_secret") && form.Get("client_id") == h.ClientID &&
			form.Get("client_assertion") == h.Assertion && form.Get("client_assertion_type") == assertionType
	}
	if basic {
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	return id == h.ClientID && secret == h.ClientSecret && (!basic || !h.NoBasic)
}

// redeem uses up a code or a refresh token.
func (h *Hosted) redeem(r *http.Request) (grant, bool) {
	switch form := r.PostForm; form.Get("grant_type") {
	case "authorization_code":
		given, ok := h.codes[form.Get("code")]
		delete(h.codes, form.Get("code"))
		if !ok || isOver(given) || form.Get("redirect_uri") != given.redirectURI {
			return grant{}, false
		}
		sum := sha256.Sum256([]byte(form.Get("code_verifier")))
		return given, given.challenge == "" || base64.RawURLEncoding.EncodeToString(sum[:]) == given.challenge
	case "refresh_token":
		given, ok := h.refresh[form.Get("refresh_token")]
		if h.Rotates {
			delete(h.refresh, form.Get("refresh_token"))
		}
		return given, ok
	}
	return grant{}, false
}

// give makes tokens.
func (h *Hosted) give(g grant) Object {
	g.until = time.Time{}
	answer := Object{"token_type": "bearer", "scope": strings.Join(g.scopes, " ")}
	if h.Claims != nil && slices.Contains(g.scopes, "openid") {
		answer["id_token"] = h.idToken(g)
	}
	g.nonce = "" // is that of the login alone
	if h.Refreshes != nil && h.Refreshes(g.scopes) {
		refresh := h.token("refresh")
		h.refresh[refresh] = g
		answer["refresh_token"] = refresh
	}
	if h.Life != 0 {
		g.until = time.Now().Add(h.Life)
		answer["expires_in"] = int(h.Life.Seconds())
	}
	answer["access_token"] = h.accessToken(g)
	return answer
}

// answer writes the token endpoint's answer.
func (h *Hosted) answer(w http.ResponseWriter, r *http.Request, status int, o Object) {
	if !h.AsForm && (!h.AsksJSON || r.Header.Get("Accept") == "application/json") {
		Reply(w, status, o)
		return
	}
	form := url.Values{}
	for name, value := range o {
		form.Set(name, fmt.Sprint(value))
	}
	w.Header().Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(form.Encode())) // the client has gone
}

// Reply writes a JSON answer.
func Reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone
}

// Always answers with a status and a body, whatever is asked; the header's names and values follow each other.
func Always(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body)) // the client has gone
	}
}

// Answer makes a path answer otherwise from now on; nil for as usual.
func (h *Hosted) Answer(path string, answer http.HandlerFunc) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	h.Fail[path] = answer
}

// Token returns an access token that an application has for a user.
func (h *Hosted) Token(client, user string, scopes ...string) string {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	return h.accessToken(grant{user: user, scopes: scopes, client: client})
}

// Revoke ends all tokens of a user.
func (h *Hosted) Revoke(user string) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	for _, tokens := range []map[string]grant{h.access, h.refresh} {
		for token, given := range tokens {
			if given.user == user {
				delete(tokens, token)
			}
		}
	}
}

// Expire ends all access tokens, and none of the refresh tokens.
func (h *Hosted) Expire() {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	clear(h.access)
}

// Calls returns the requests since the last time, and forgets them.
func (h *Hosted) Calls() []Call {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	calls := h.calls
	h.calls = nil
	return calls
}

// CA returns the provider's certificate, for rootCA.
func (h *Hosted) CA() string { return certificatePEM(h.Server) }
