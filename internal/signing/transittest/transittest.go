// Package transittest is the Transit engine of Vault as far as signing needs it, for tests of kinds of keys, rotations
// and failures. The end-to-end tests have Vault itself.
package transittest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Root is a token that may do everything and never ends.
const Root = "s.root"

// A Token is what somebody may do.
type Token struct {
	MaySign   bool // it may read the key in any case
	Renewable bool
	TTL       time.Duration // how long it lives after each renewal; 0 for ever
	MaxTTL    time.Duration // when it ends in any case; 0 for never

	created, ends time.Time
}

// Server is a Vault with nothing but Transit and tokens. It is an http.Handler, and also an http.RoundTripper for those
// who need no network.
type Server struct {
	mu        sync.Mutex
	keys      map[string]*key
	tokens    map[string]*Token
	namespace string
	sealed    bool
	down      bool
	lost      int // so many connections get lost yet
	asked     map[string]int
}

// New returns a server without keys.
func New() *Server {
	return &Server{keys: map[string]*key{}, tokens: map[string]*Token{Root: {MaySign: true}}, asked: map[string]int{}}
}

// Start returns the URL at which the server is reached until the test ends.
func (s *Server) Start(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server.URL
}

func (s *Server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// Create makes a key of a type of Transit's.
func (s *Server) Create(name, typ string) {
	s.set(func() { s.keys[name] = &key{typ: typ, first: 1, versions: []keyVersion{newVersion(typ)}} })
}

// Rotate makes a new version of a key.
func (s *Server) Rotate(name string) {
	s.set(func() { s.keys[name].versions = append(s.keys[name].versions, newVersion(s.keys[name].typ)) })
}

// SetMinimum sets which version of a key is the first to verify, and the first to sign.
func (s *Server) SetMinimum(name string, verify, sign int) {
	s.set(func() { s.keys[name].first, s.keys[name].firstSigning = verify, sign })
}

// Delete removes a key.
func (s *Server) Delete(name string) { s.set(func() { delete(s.keys, name) }) }

// Allow makes a token valid.
func (s *Server) Allow(token string, may Token) {
	now := time.Now()
	may.created, may.ends = now, now.Add(may.TTL)
	s.set(func() { s.tokens[token] = &may })
}

// Revoke ends a token.
func (s *Server) Revoke(token string) { s.set(func() { delete(s.tokens, token) }) }

// SetNamespace makes the engine be in a namespace.
func (s *Server) SetNamespace(namespace string) { s.set(func() { s.namespace = namespace }) }

// SetSealed seals or unseals.
func (s *Server) SetSealed(sealed bool) { s.set(func() { s.sealed = sealed }) }

// SetDown makes every connection be lost, or none.
func (s *Server) SetDown(down bool) { s.set(func() { s.down = down }) }

// Lose makes the next connections be lost.
func (s *Server) Lose(connections int) { s.set(func() { s.lost = connections }) }

// Asked returns how often a path below /v1 was asked for.
func (s *Server) Asked(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[path]
}

// RoundTrip implements http.RoundTripper.
func (s *Server) RoundTrip(r *http.Request) (response *http.Response, err error) {
	defer func() {
		if p := recover(); p == http.ErrAbortHandler { //nolint:errorlint // it is what net/http compares
			response, err = nil, fmt.Errorf("connection lost")
		} else if p != nil {
			panic(p)
		}
	}()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result(), nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	s.asked[path]++
	if s.lost > 0 {
		s.lost--
		panic(http.ErrAbortHandler)
	}
	if s.down {
		panic(http.ErrAbortHandler)
	}
	token, ok := s.tokens[r.Header.Get("X-Vault-Token")]
	if ok && token.TTL > 0 && time.Now().After(token.ends) {
		ok = false
	}
	switch {
	case s.sealed:
		refuse(w, http.StatusServiceUnavailable, "Vault is sealed")
	case !ok:
		refuse(w, http.StatusForbidden, "permission denied")
	case r.Header.Get("X-Vault-Namespace") != s.namespace:
		refuse(w, http.StatusNotFound, fmt.Sprintf("no handler for route %q. route entry not found.", path))
	default:
		s.route(w, r, path, token)
	}
}

func (s *Server) route(w http.ResponseWriter, r *http.Request, path string, token *Token) {
	engine, name, _ := strings.Cut(strings.TrimPrefix(path, "transit/"), "/")
	switch r.Method + " " + engine {
	case "GET keys":
		s.describe(w, name)
	case "POST sign":
		if !token.MaySign {
			refuse(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
			return
		}
		s.sign(w, r, name)
	case "GET auth":
		answer(w, "data", map[string]any{"ttl": int(token.left() / time.Second), "renewable": token.Renewable})
	case "POST auth":
		s.renew(w, token)
	default:
		refuse(w, http.StatusMethodNotAllowed, "unsupported operation")
	}
}

func (t *Token) left() time.Duration {
	if t.TTL == 0 {
		return 0
	}
	return time.Until(t.ends)
}

func (s *Server) renew(w http.ResponseWriter, t *Token) {
	if !t.Renewable {
		refuse(w, http.StatusBadRequest, "lease is not renewable")
		return
	}
	t.ends = time.Now().Add(t.TTL)
	if last := t.created.Add(t.MaxTTL); t.MaxTTL > 0 && t.ends.After(last) {
		t.ends = last
	}
	answer(w, "auth", map[string]any{"lease_duration": int(t.left() / time.Second), "renewable": t.Renewable})
}

func (s *Server) describe(w http.ResponseWriter, name string) {
	k, ok := s.keys[name]
	if !ok {
		refuse(w, http.StatusNotFound)
		return
	}
	versions := map[string]any{}
	for i, v := range k.versions {
		if number := i + 1; number >= k.first {
			versions[strconv.Itoa(number)] = v.describe()
		}
	}
	answer(w, "data", map[string]any{
		"type": k.typ, "keys": versions, "latest_version": len(k.versions), "min_decryption_version": k.first,
		"min_encryption_version": k.firstSigning, "name": name, "derived": false, "supports_signing": k.typ != symmetric,
	})
}

func (s *Server) sign(w http.ResponseWriter, r *http.Request, name string) {
	var in input
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "failed to parse JSON input: "+err.Error())
		return
	}
	k, ok := s.keys[name]
	if !ok {
		refuse(w, http.StatusBadRequest, "signing key not found")
		return
	}
	number := in.KeyVersion
	if number == 0 {
		number = len(k.versions)
	}
	if number < max(k.first, k.firstSigning) || number > len(k.versions) {
		refuse(w, http.StatusBadRequest, "cannot sign with this version of the key")
		return
	}
	signature, err := k.versions[number-1].sign(in)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	answer(w, "data", map[string]any{"signature": fmt.Sprintf("vault:v%d:%s", number, signature), "key_version": number})
}

func answer(w http.ResponseWriter, member string, value any) {
	body := map[string]any{
		"request_id": "0", "lease_id": "", "lease_duration": 0, "renewable": false, "data": nil, "auth": nil, "warnings": nil,
	}
	maps.Copy(body, map[string]any{member: value})
	respond(w, http.StatusOK, body)
}

func refuse(w http.ResponseWriter, status int, errors ...string) {
	respond(w, status, map[string]any{"errors": append([]string{}, slices.Clone(errors)...)})
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client hung up
}
