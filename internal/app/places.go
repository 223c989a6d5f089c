package app

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"dex/internal/event"
	"dex/internal/server"
	"dex/internal/turn"
)

const (
	// mostRequests is how many requests of each kind are served at once. One network alone holds up to half of them.
	mostRequests = 1024
	// longestRequest is how long one may take. Listeners send nothing more after 60 s, so nobody would see a later answer.
	longestRequest = 55 * time.Second
	// tellEvery is how often the log says that requests are refused: a line for each would be a storm of its own.
	tellEvery = 10 * time.Second
)

// errTooLong ends the context of a request that has held its place for too long, whatever it waits for.
var errTooLong = errors.New("the request took too long")

// unbounded are the routes that need no place: they cost next to nothing, or tell whether the server is alive.
var unbounded = []string{"/keys", "/healthz", "/robots.txt", "/language", "/.well-known/", "/static/", "/theme/"}

// ofApplications are the routes that applications call with what they have already. They have places of their own, so that
// logins that wait for an identity source can't hold them up.
var ofApplications = []string{"/token", "/token/introspect", "/token/revoke", "/device/token", "/userinfo"}

// places bound how many requests are served at once, in all editions together.
type places struct {
	people, applications *turn.Places
	told                 atomic.Int64 // when the log last said that there were too many; Unix nanoseconds
}

func newPlaces() *places {
	return &places{people: turn.NewPlaces(mostRequests), applications: turn.NewPlaces(mostRequests)}
}

// bounded makes routes serve only as many requests at once as there are places, and answer 503 to the others. A new route is among
// them unless it is in a list above.
func (c *Core) bounded(routes []server.Route, unavailable func(http.ResponseWriter, *http.Request, int)) []server.Route {
	for i, r := range routes {
		if listed(unbounded, r.Pattern) {
			continue
		}
		in := c.places.people
		if listed(ofApplications, r.Pattern) {
			in = c.places.applications
		}
		refuse := r.Error
		if refuse == nil {
			refuse = unavailable
		}
		routes[i].Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			done, ok := in.Take(req.Context())
			if !ok {
				c.tellTooMany(req.Context(), r.Pattern)
				w.Header().Set("Retry-After", "5")
				refuse(w, req, http.StatusServiceUnavailable)
				return
			}
			defer done()
			ctx, cancel := context.WithTimeoutCause(req.Context(), longestRequest, errTooLong)
			defer cancel()
			r.Handler.ServeHTTP(w, req.WithContext(ctx))
		})
	}
	return routes
}

func (c *Core) tellTooMany(ctx context.Context, route string) {
	c.events.Emit(ctx, event.LimitReached{Limit: event.LimitRequests})
	last, now := c.places.told.Load(), time.Now()
	if now.Sub(time.Unix(0, last)) >= tellEvery && c.places.told.CompareAndSwap(last, now.UnixNano()) {
		c.log.WarnContext(ctx, "refused a request, too many are being served at once", "route", route)
	}
}

// listed reports whether a list has a route's pattern, or a path that ends in a slash and is above it.
func listed(list []string, pattern string) bool {
	return slices.ContainsFunc(list, func(path string) bool {
		return pattern == path || path != "/" && strings.HasSuffix(path, "/") && strings.HasPrefix(pattern, path)
	})
}
