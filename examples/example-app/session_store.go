package main

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"sync"
	"time"
)

const (
	sessionCookie   = "example_app_session"
	sessionLifetime = 12 * time.Hour // since the last visit
	maxSessions     = 1000
)

// sessionStore holds the sessions of all browsers in memory.
type sessionStore struct {
	secure bool // whether cookies travel over TLS only
	now    func() time.Time

	mu    sync.Mutex
	byKey map[string]*storedSession
}

type storedSession struct {
	*session
	used time.Time
}

func newSessionStore(secure bool) *sessionStore {
	return &sessionStore{secure: secure, now: time.Now, byKey: map[string]*storedSession{}}
}

// find returns the session of a request and extends it. A browser without
// one gets an empty session that is not stored.
func (st *sessionStore) find(w http.ResponseWriter, r *http.Request) *session {
	st.mu.Lock()
	defer st.mu.Unlock()
	key, stored := st.lookup(r)
	if stored == nil {
		return &session{}
	}
	stored.used = st.now()
	st.setCookie(w, key, sessionLifetime)
	return stored.session
}

// peek returns the session of a request without extending it; nil if there is
// none.
func (st *sessionStore) peek(r *http.Request) *session {
	st.mu.Lock()
	defer st.mu.Unlock()
	if _, stored := st.lookup(r); stored != nil {
		return stored.session
	}
	return nil
}

// signOutAll ends the sign-ins whose tokens match, in all browsers, and returns
// their number.
func (st *sessionStore) signOutAll(end ending, matches func(*tokenSet) bool) (ended int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, stored := range st.byKey {
		if stored.signOutIf(end, matches) {
			ended++
		}
	}
	return ended
}

// open returns the session of a request, a new one if necessary. If there are
// too many, the one unused for longest is dropped.
func (st *sessionStore) open(w http.ResponseWriter, r *http.Request) *session {
	st.mu.Lock()
	defer st.mu.Unlock()
	key, stored := st.lookup(r)
	if stored == nil {
		if len(st.byKey) >= maxSessions {
			st.dropOldest()
		}
		key, stored = newSessionKey(), &storedSession{session: &session{}}
		st.byKey[key] = stored
	}
	stored.used = st.now()
	st.setCookie(w, key, sessionLifetime)
	return stored.session
}

// rotate gives the session of a request a new key, so that a key known before
// a sign-in is worthless after it.
func (st *sessionStore) rotate(w http.ResponseWriter, r *http.Request) {
	st.mu.Lock()
	defer st.mu.Unlock()
	key, stored := st.lookup(r)
	if stored == nil {
		return
	}
	delete(st.byKey, key)
	key = newSessionKey()
	st.byKey[key] = stored
	st.setCookie(w, key, sessionLifetime)
}

// drop ends the session of a request.
func (st *sessionStore) drop(w http.ResponseWriter, r *http.Request) {
	st.mu.Lock()
	defer st.mu.Unlock()
	key, _ := st.lookup(r)
	delete(st.byKey, key)
	st.setCookie(w, "", -time.Second)
}

// lookup needs st.mu held.
func (st *sessionStore) lookup(r *http.Request) (string, *storedSession) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return "", nil
	}
	stored := st.byKey[cookie.Value]
	if stored != nil && st.now().Sub(stored.used) > sessionLifetime {
		delete(st.byKey, cookie.Value)
		return "", nil
	}
	return cookie.Value, stored
}

// dropOldest needs st.mu held.
func (st *sessionStore) dropOldest() {
	var oldest string
	for key, stored := range st.byKey {
		if oldest == "" || stored.used.Before(st.byKey[oldest].used) {
			oldest = key
		}
	}
	delete(st.byKey, oldest)
}

// setCookie sets the program's only cookie; the last call of a response wins.
func (st *sessionStore) setCookie(w http.ResponseWriter, value string, lifetime time.Duration) {
	cookie := http.Cookie{ //nolint:gosec // over plain HTTP a Secure cookie would never come back
		Name:     sessionCookie,
		Value:    value,
		Path:     "/",
		MaxAge:   int(lifetime / time.Second),
		HttpOnly: true,
		Secure:   st.secure,
		SameSite: http.SameSiteLaxMode, // Strict cookies are not sent on the provider's redirect
	}
	w.Header().Set("Set-Cookie", cookie.String())
}

func newSessionKey() string {
	key := make([]byte, 24)
	rand.Read(key) // never fails, as documented
	return base64.RawURLEncoding.EncodeToString(key)
}
