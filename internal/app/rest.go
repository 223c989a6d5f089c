package app

import (
	"context"
	"net"
	"net/http"

	"dex/internal/admin/rest"
	"dex/internal/server"
)

// prepareREST reads what the listener of the management API over HTTP needs; nil if it has no address.
func (c *Core) prepareREST() (*adminTLS, error) {
	a := c.cfg.API
	if a.Addr == "" {
		return nil, nil
	}
	return c.openAdminTLS(adminTLSFiles{
		section: "api", cert: a.TLSCert, key: a.TLSKey, clientCA: a.TLSClientCA, lowest: a.TLSMinVersion, highest: a.TLSMaxVersion,
		protocols: []string{"h2", "http/1.1"},
	})
}

// restListener returns the listener of the management API over HTTP.
func (c *Core) restListener(ctx context.Context) server.Listener {
	address := c.cfg.API.Addr
	return server.Listener{
		Name: "api", Key: "api.addr", Address: address, Handler: c.restDoor(c.rest.authorities != nil), TLS: c.rest.tls,
		Listen: func(ctx context.Context) (net.Listener, error) { return listenAdmin(ctx, address) },
		OnBound: func(bound net.Addr) {
			c.bound("api")(bound)
			c.warnOfNobody(ctx, c.rest, bound)
		},
	}
}

// restDoor returns the handler of the management API over HTTP.
func (c *Core) restDoor(mutual bool) http.Handler {
	return rest.New(rest.Options{Log: c.log, Events: c.events, Traces: c.traces, Mutual: mutual, Enter: func() (rest.Room, func()) {
		e := c.enter()
		return rest.Room{Service: e.admin, Access: e.access}, e.leave
	}})
}

// withREST serves the management API beside what operators get, once there is something to administer.
func (c *Core) withREST(operators http.Handler) http.Handler {
	door := c.restDoor(false)
	mux := http.NewServeMux()
	mux.Handle("/", operators)
	mux.HandleFunc(rest.Base+"/", func(w http.ResponseWriter, r *http.Request) {
		if c.edition.Load() == nil {
			http.Error(w, "Dex is starting", http.StatusServiceUnavailable)
			return
		}
		door.ServeHTTP(w, r)
	})
	return mux
}
