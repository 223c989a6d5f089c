package authproxy

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"dex/internal/connector"
)

// connection is a connector to the proxy.
type connection struct {
	cfg *Config
	id  string
}

// refreshing is a connection that lets an identity be refreshed for a while after the login.
type refreshing struct{ *connection }

var (
	_ connector.Callback  = (*connection)(nil)
	_ connector.Refresher = refreshing{}
)

// Open makes the connector.
func (c *Config) Open(_ context.Context, env connector.Env) (any, error) {
	conn := &connection{cfg: c, id: env.ID}
	if c.RefreshMaxAge == 0 {
		return conn, nil
	}
	return refreshing{conn}, nil
}

// Begin implements connector.Callback. The browser goes to one of our own addresses, which the proxy guards.
func (c *connection) Begin(_ context.Context, r connector.LoginRequest) (connector.Redirect, error) {
	target := r.CallbackURL + "/" + url.PathEscape(c.id) + "?" + url.Values{"state": {r.State}}.Encode()
	return connector.Redirect{URL: target}, nil
}

// HandleCallback implements connector.Callback.
func (c *connection) HandleCallback(_ context.Context, r connector.Return) (connector.Identity, error) {
	// All connectors share the address without the id, so no proxy can guard it, and anybody can send headers there. The same
	// goes for other spellings of the address with the id: proxies may compare it before they decode it.
	came, guarded := r.Request.URL.EscapedPath(), "/callback/"+url.PathEscape(c.id)
	if r.Request.PathValue("connector") != c.id || !strings.HasSuffix(came, guarded) {
		return connector.Identity{}, fmt.Errorf("the browser came back to %s, and not to %s, which the proxy guards", came, guarded)
	}
	if err := c.checkSender(r.Request); err != nil {
		return connector.Identity{}, err
	}
	id, err := c.cfg.identity(r.Request.Header)
	if err != nil {
		return connector.Identity{}, err
	}
	if c.cfg.RefreshMaxAge > 0 && r.Scopes.OfflineAccess {
		id.Data, err = json.Marshal(stored{SaidAt: time.Now(), Identity: id})
	}
	return id, err
}

// checkSender refuses requests that did not come through the proxy.
func (c *connection) checkSender(r *http.Request) error {
	if len(c.cfg.proxies) > 0 && !c.isProxy(r.RemoteAddr) {
		return fmt.Errorf("the request came from %s, which is none of trustedProxies", r.RemoteAddr)
	}
	if c.cfg.Secret == "" {
		return nil
	}
	said, err := single(r.Header, c.cfg.SecretHeader)
	if err != nil {
		return err
	}
	given, want := sha256.Sum256([]byte(said)), sha256.Sum256([]byte(c.cfg.Secret)) // of equal length, for the compare
	if subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
		return fmt.Errorf("header %s: is missing or is not the secret", c.cfg.SecretHeader)
	}
	return nil
}

// isProxy reports whether the other end of the connection is a trusted proxy.
func (c *connection) isProxy(peer string) bool {
	from, err := netip.ParseAddrPort(peer)
	if err != nil {
		return false
	}
	address := from.Addr().Unmap().WithZone("")
	for _, p := range c.cfg.proxies {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

// stored is what the proxy said at the last login.
type stored struct {
	SaidAt   time.Time          `json:"saidAt"`
	Identity connector.Identity `json:"identity"`
}

// Refresh implements connector.Refresher. The proxy can't be asked, so what it said at the login counts for a while.
func (c refreshing) Refresh(_ context.Context, _ connector.Scopes, last connector.Identity) (connector.Identity, error) {
	var kept stored
	if err := json.Unmarshal(last.Data, &kept); err != nil || kept.Identity.UserID != last.UserID {
		return connector.Identity{}, fmt.Errorf("%w: nothing was kept of the login", connector.ErrGone)
	}
	if time.Since(kept.SaidAt) > c.cfg.RefreshMaxAge {
		return connector.Identity{}, fmt.Errorf("%w: %w", connector.ErrGone, errTooOld)
	}
	id := kept.Identity
	id.Data = last.Data
	return id, nil
}

var errTooOld = errors.New("the login is older than refreshMaxAge")
