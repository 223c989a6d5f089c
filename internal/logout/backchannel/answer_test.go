package backchannel_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/limit"
	"dex/internal/logout/backchannel"
	"dex/internal/outbound"
	"dex/internal/store"
	"dex/internal/token"
)

func TestAnswersDecide(t *testing.T) {
	const done, again, never = "done", "again", "never"
	for status, want := range map[int]string{
		200: done, 204: done, 299: done, 301: again, 307: again, 400: again, 401: again, 404: again, 405: again, 410: never, 429: again,
		500: again, 503: again,
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "app")
				w.answer("app.test", func(*http.Request) (int, error) { return status, nil })
				q, _ := w.replica(w.store)
				w.end(q, "s", "app")
				synctest.Wait()
				got := done
				if len(of[event.LogoutTokenFailed](&w.events)) == 1 {
					got = again
				} else if len(of[event.LogoutTokenGivenUp](&w.events)) == 1 {
					got = never
				}
				if left := w.waiting(); got != want || left == 1 != (want == again) {
					t.Errorf("got %s, and %d are left", got, left)
				}
			})
		})
	}
}

// A client that is removed, or wants no logout tokens any more, ends its deliveries. One whose URI changes gets them there.
func TestClientsThatChange(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(context.Context, *store.Catalog[client.Client]) error
		want   string
	}{
		{"removed", func(ctx context.Context, clients *store.Catalog[client.Client]) error {
			return clients.Delete(ctx, "stored", "")
		}, ""},
		{"without a URI", func(ctx context.Context, clients *store.Catalog[client.Client]) error {
			_, err := clients.Amend(ctx, "stored", func(c *client.Client) error { c.BackchannelLogoutURI = ""; return nil })
			return err
		}, ""},
		{"with another one", func(ctx context.Context, clients *store.Catalog[client.Client]) error {
			_, err := clients.Amend(ctx, "stored", func(c *client.Client) error { c.BackchannelLogoutURI = "https://new.test/"; return nil })
			return err
		}, "new.test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.answer("old.test", down)
				stored := client.NewCatalog(w.store, quiet)
				if _, err := stored.Adopt(t.Context(), client.Client{ID: "stored", BackchannelLogoutURI: "https://old.test/"}); err != nil {
					t.Fatal(err)
				}
				q, _ := w.replica(w.store)
				w.end(q, "s", "stored")
				synctest.Wait()
				if err := c.change(t.Context(), stored); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				to := ""
				for _, g := range w.delivered() {
					to += g.Host
				}
				if to != c.want || w.waiting() != 0 {
					t.Errorf("got %q, and %d are left", to, w.waiting())
				}
			})
		})
	}
}

// Over a real network: what a receiver can do to the server that tells it.
func TestReceiversOnTheNetwork(t *testing.T) {
	reached := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached <- r.URL.Path
		switch r.URL.Path {
		case "/redirects":
			http.Redirect(w, r, "/inside", http.StatusTemporaryRedirect)
		case "/megabyte":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"` + strings.Repeat("x", 1<<20) + `"}`)) // nobody reads to the end
		case "/refuses":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"invalid_request","error_description":"` + strings.Repeat(`no\n`, 500) + `"}`))
		}
	}))
	defer receiver.Close()
	for _, c := range []struct {
		name       string
		path       string
		configured bool
		exceptions []string
		reached    bool
		err        string // a part of it
	}{
		{name: "a client of the file", path: "/", configured: true, reached: true},
		{name: "a stored client, inside", path: "/", err: "127.0.0.1 is not public; exceptions for stored clients are in sessions.logoutHosts"},
		{name: "a stored client, excepted", path: "/", exceptions: []string{"127.0.0.0/8"}, reached: true},
		{name: "a redirect", path: "/redirects", configured: true, reached: true, err: "status 307"},
		{name: "a megabyte", path: "/megabyte", configured: true, reached: true, err: "status 400"},
		{name: "an error", path: "/refuses", configured: true, reached: true, err: `status 400: "invalid_request" "no\nno`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			app := &client.Client{ID: "app", BackchannelLogoutURI: receiver.URL + c.path}
			var configured []*client.Client
			if c.configured {
				configured = append(configured, app)
			} else if _, err := client.NewCatalog(w.store, quiet).Adopt(t.Context(), *app); err != nil {
				t.Fatal(err)
			}
			happened := make(chan event.Event, 10)
			clients := client.NewRegistry(configured, w.store, limit.NewSet(), quiet)
			q := backchannel.New(backchannel.Config{
				Store: w.store, Minter: &token.Minter{Issuer: "https://dex.test", Signer: w.keys}, Log: quiet,
				Events: event.Func(func(_ context.Context, e event.Event) { happened <- e }),
				Settings: func() backchannel.Settings {
					return backchannel.Settings{Clients: clients, Guard: outbound.NewGuard(c.exceptions)}
				},
			})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); q.Run(ctx) }()
			defer func() { cancel(); <-ended }()
			w.end(q, "s", "app")
			var err error
			if e, ok := (<-happened).(event.LogoutTokenFailed); ok {
				err = e.Err
			}
			if (err != nil) != (c.err != "") || err != nil && (!strings.Contains(err.Error(), c.err) || len(err.Error()) > 700) {
				t.Errorf("got %v, want %q", err, c.err)
			}
			if _, named := errors.AsType[*url.Error](err); named {
				t.Errorf("%v has the URL", err)
			}
			if n := len(reached); n > 1 || n == 1 != c.reached {
				t.Errorf("%d requests came", n)
			}
			for range len(reached) {
				<-reached
			}
		})
	}
}
