package session

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"net/http"
	"time"

	"dex/internal/id"
)

const (
	// maxUpstreamCookie bounds the value of one of upstream's cookies that is looked at: it has some 140 bytes.
	maxUpstreamCookie = 256
	// maxUpstreamPart bounds the id and the secret in it: each has 25 bytes.
	maxUpstreamPart = 64
)

// An UpstreamCookie is what Sessions know of the cookies that upstream has given browsers. They have the configured name, without a
// prefix, and are replaced by ours.
type UpstreamCookie struct {
	Key   []byte    // with which upstream encrypted them; nil if it didn't
	Until time.Time // when the last session that was taken over has ended; zero if none was
}

// upstreamCookie reads upstream's cookie.
type upstreamCookie struct {
	name   string
	opener cipher.AEAD // nil where it isn't encrypted
	until  time.Time
}

func newUpstreamCookie(cfg Config) upstreamCookie {
	u := upstreamCookie{name: cfg.CookieName, until: cfg.Upstream.Until}
	if len(cfg.Upstream.Key) == 0 {
		return u
	}
	block, err := aes.NewCipher(cfg.Upstream.Key)
	if err == nil {
		u.opener, err = cipher.NewGCM(block)
	}
	if err != nil { // the configuration was checked, so this never happens; no cookie can be read without the key
		u.until = time.Time{}
	}
	return u
}

// read returns the session in upstream's cookie, at most one. Unless it was encrypted, anybody can make one: what it says is to be
// proved. Of several different ones none counts, as of ours.
func (u *upstreamCookie) read(r *http.Request, now time.Time) []held {
	if !now.Before(u.until) {
		return nil
	}
	var found []held
	cookies := r.CookiesNamed(u.name)
	for _, c := range cookies[:min(len(cookies), maxCookies)] {
		h, ok := u.parse(c.Value)
		switch {
		case !ok:
		case len(found) > 0 && found[0] != h:
			return nil
		default:
			found = []held{h}
		}
	}
	return found
}

// parse takes apart a value: an id and a secret, or their ciphertext after a nonce.
func (u *upstreamCookie) parse(value string) (held, bool) {
	if value == "" || len(value) > maxUpstreamCookie {
		return held{}, false
	}
	if u.opener != nil {
		b, err := base64.RawURLEncoding.DecodeString(value)
		if err != nil || len(b) < u.opener.NonceSize() {
			return held{}, false
		}
		plain, err := u.opener.Open(nil, b[:u.opener.NonceSize()], b[u.opener.NonceSize():], nil)
		if err != nil {
			return held{}, false
		}
		value = string(plain)
	}
	sessionID, secret, err := id.ReadPair(value)
	ok := err == nil && isUpstreamPart(sessionID) && isUpstreamPart(secret)
	return held{ID: sessionID, Secret: secret, upstream: true}, ok
}

func isUpstreamPart(s string) bool { return s != "" && len(s) <= maxUpstreamPart }

// remove has a browser that still has upstream's cookie forget it, beside ours.
func (u *upstreamCookie) remove(w http.ResponseWriter, r *http.Request, ours *cookie) {
	if u.name != ours.name && !u.until.IsZero() && len(r.CookiesNamed(u.name)) > 0 {
		ours.setNamed(w, u.name, "", -1)
	}
}
