package crowd_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/crowd"
)

type object = map[string]any

// jane's name needs escaping.
const name = "jane d'oe&username=admin"

// A server is a Crowd with one user.
type server struct {
	t *testing.T
	*httptest.Server

	mu sync.Mutex
	// What it answers.
	record object // nil for nobody
	groups []string
	reason string // why nobody gets a session
	status int    // of every answer; 0 for the right one
	body   string // with status

	// What it was asked.
	visited  []string
	sessions map[string]bool
	made     int
}

func newServer(t *testing.T) *server {
	s := &server{
		t: t, groups: []string{"dev", "ops"}, sessions: map[string]bool{},
		record: object{"key": "32769:1", "name": name, "email": "jane@example.com", "active": true},
	}
	mux := http.NewServeMux()
	const prefix = "/crowd/rest/usermanagement/1"
	mux.HandleFunc("POST "+prefix+"/session", s.makeSession)
	mux.HandleFunc("DELETE "+prefix+"/session/{token}", func(w http.ResponseWriter, r *http.Request) {
		delete(s.sessions, r.PathValue("token"))
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET "+prefix+"/user", func(w http.ResponseWriter, r *http.Request) {
		if s.known(w, r) {
			s.reply(w, http.StatusOK, s.record)
		}
	})
	mux.HandleFunc("GET "+prefix+"/user/group/nested", func(w http.ResponseWriter, r *http.Request) {
		if s.known(w, r) {
			s.reply(w, http.StatusOK, s.page(r))
		}
	})
	mux.HandleFunc("GET "+prefix+"/config/cookie", func(w http.ResponseWriter, _ *http.Request) {
		s.reply(w, http.StatusOK, object{"secure": false, "name": "crowd.token_key"})
	})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.visited = append(s.visited, r.Method+" "+r.URL.Path)
		if id, password, _ := r.BasicAuth(); id != "dex" || password != "application password" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "Application failed to authenticate\n")
			return
		}
		if s.status != 0 {
			w.Header().Set("Location", "https://elsewhere.test/")
			w.WriteHeader(s.status)
			_, _ = io.WriteString(w, s.body)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.t.Error(err)
	}
}

func (s *server) refuse(w http.ResponseWriter, status int, reason string) {
	s.reply(w, status, object{"reason": reason, "message": "user " + name})
}

func (s *server) makeSession(w http.ResponseWriter, r *http.Request) {
	var who struct{ Username, Password string }
	if err := json.NewDecoder(r.Body).Decode(&who); err != nil {
		s.t.Error(err)
	}
	switch {
	case s.reason != "":
		s.refuse(w, http.StatusForbidden, s.reason)
	case who.Username != name || r.URL.Query().Get("validate-password") != "false" && who.Password != "secret":
		s.refuse(w, http.StatusBadRequest, "INVALID_USER_AUTHENTICATION")
	default:
		s.made++
		token := "session-" + strconv.Itoa(s.made)
		s.sessions[token] = true
		s.reply(w, http.StatusCreated, object{"token": token, "expand": "user"})
	}
}

func (s *server) known(w http.ResponseWriter, r *http.Request) bool {
	if s.record != nil && r.URL.Query().Get("username") == name {
		return true
	}
	s.refuse(w, http.StatusNotFound, "USER_NOT_FOUND")
	return false
}

// page returns at most 1000 groups, as Crowd does.
func (s *server) page(r *http.Request) object {
	from, _ := strconv.Atoi(r.URL.Query().Get("start-index"))
	list := []object{}
	for _, g := range s.groups[min(from, len(s.groups)):min(from+1000, len(s.groups))] {
		list = append(list, object{"name": g, "type": "GROUP"})
	}
	return object{"expand": "group", "groups": list}
}

func decode(t *testing.T, settings object) (*crowd.Config, config.Problems) {
	t.Helper()
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	section, err := config.SectionFromJSON("connector", text)
	if err != nil {
		t.Fatal(err)
	}
	var c crowd.Config
	return &c, section.Decode(&c)
}

// A connection is an opened connector.
type connection interface {
	connector.Password
	connector.Refresher
	connector.Prober
	Close() error
}

// open opens a connector to the server, with settings over the usual ones.
func (s *server) open(more object) connection {
	s.t.Helper()
	settings := object{"baseURL": s.URL + "/crowd/", "clientID": "dex", "clientSecret": "application password"}
	maps.Copy(settings, more)
	c, problems := decode(s.t, settings)
	if err := problems.Err(); err != nil {
		s.t.Fatal(err)
	}
	instance, err := c.Open(s.t.Context(), connector.Env{ID: "crowd", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	conn := instance.(connection)
	s.t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return conn
}
