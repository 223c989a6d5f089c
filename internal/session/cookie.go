package session

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"dex/internal/page"
	"dex/internal/seal"
	"dex/internal/store"
)

// maxCookies bounds the cookies of our name that are looked at in one request; a browser sends one.
const maxCookies = 4

// cookie is what a browser keeps.
type cookie struct {
	ring   *seal.Ring
	name   string
	path   string
	secure bool
	same   http.SameSite
	seals  string // the purpose
}

func newCookie(cfg Config) cookie {
	base := cmp.Or(page.Base(cfg.IssuerURL), "/")
	k := cookie{
		ring: cfg.Ring, name: cfg.CookieName, path: base, secure: cfg.IssuerURL.Scheme == "https", same: http.SameSiteLaxMode,
		seals: "session:" + cfg.IssuerURL.String(),
	}
	if cfg.CrossSite && k.secure {
		k.same = http.SameSiteNoneMode
	}
	// Browsers hold cookies with these names to their origin, so that a neighbour in the same domain can't sign somebody in as
	// somebody else (RFC 6265bis, section 4.1.3). Under a path it is the weaker one, which only keeps out neighbours without https.
	switch {
	case k.secure && base == "/":
		k.name = "__Host-" + k.name
	case k.secure:
		k.name = "__Secure-" + k.name
	}
	return k
}

// stateName is the name of the cookie that shows scripts when the browser's sessions change.
func (k *cookie) stateName() string { return k.name + "_state" }

// shows reports whether scripts of ours see this as the browser's state.
func (k *cookie) shows(r *http.Request, state string) bool {
	c, err := r.Cookie(k.stateName())
	return err == nil && c.Value == state
}

// writeState lets scripts of ours see the browser's state, in frames of other sites too. It lasts as long as the sessions' own cookie.
func (k *cookie) writeState(w http.ResponseWriter, state string, lifetime time.Duration) {
	c := &http.Cookie{ //nolint:gosec // G124: it is for scripts, and holds no secret
		Name: k.stateName(), Value: state, Path: k.path, MaxAge: int(lifetime / time.Second), Secure: k.secure, SameSite: http.SameSiteLaxMode,
	}
	if k.secure {
		c.SameSite = http.SameSiteNoneMode
	}
	http.SetCookie(w, c)
}

// held is an account that the browser's cookie has.
type held struct {
	ID     string `json:"i"`
	Secret string `json:"s"`

	upstream bool // upstream's cookie says so, which anybody can make
}

// read returns the accounts in the cookies of our name, a list for each that differs. One that wasn't made here is none.
func (k *cookie) read(ctx context.Context, r *http.Request, most int) ([][]held, error) {
	var lists [][]held
	seen := map[string]bool{}
	cookies := r.CookiesNamed(k.name)
	for _, c := range cookies[:min(len(cookies), maxCookies)] {
		plain, err := k.ring.Open(ctx, k.seals, c.Value)
		if errors.Is(err, seal.ErrInvalid) || seen[string(plain)] {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open session cookie: %w", err)
		}
		seen[string(plain)] = true
		var found []held
		if err := json.Unmarshal(plain, &found); err != nil {
			return nil, fmt.Errorf("decode session cookie: %w", err)
		}
		lists = append(lists, found[:min(len(found), most)])
	}
	return lists, nil
}

// write gives the browser its accounts. With a lifetime of 0 they are forgotten with its window.
func (k *cookie) write(w http.ResponseWriter, accounts []held, lifetime time.Duration) error {
	if len(accounts) == 0 {
		k.set(w, "", -1)
		return nil
	}
	plain, err := json.Marshal(accounts)
	if err != nil {
		return fmt.Errorf("encode session cookie: %w", err)
	}
	k.set(w, k.ring.Seal(k.seals, plain), int(lifetime/time.Second))
	return nil
}

func (k *cookie) set(w http.ResponseWriter, value string, maxAge int) {
	k.setNamed(w, k.name, value, maxAge)
}

func (k *cookie) setNamed(w http.ResponseWriter, name, value string, maxAge int) {
	c := &http.Cookie{ //nolint:gosec // G124: Secure where the issuer is https
		Name: name, Value: value, Path: k.path, MaxAge: maxAge, HttpOnly: true, Secure: k.secure, SameSite: k.same,
	}
	// An answer sets it once: the last word counts.
	others := w.Header()["Set-Cookie"]
	kept := others[:0]
	for _, other := range others {
		if !strings.HasPrefix(other, name+"=") {
			kept = append(kept, other)
		}
	}
	w.Header()["Set-Cookie"] = kept
	http.SetCookie(w, c)
}

// isGone reports whether an error says that there is no such session.
func isGone(err error) bool { return errors.Is(err, store.ErrNotFound) }
