package app_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"dex/internal/admin/api"
	"dex/internal/admin/api/dexv1"
	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/event"
	"dex/internal/store"
)

// administered is a whole server with sessions, and with clients that are told of their end.
type administered struct {
	*server
	rest string // where the management API is served over HTTP
	dex  api.DexClient
	own  dexv1.AdminClient
	told chan string // the client and the session of each logout token

	store store.Store
}

// startAdministered starts a server whose configuration has more sections.
func startAdministered(t *testing.T, more string) *administered {
	t.Helper()
	a := &administered{server: &server{t: t}, told: make(chan string, 100)}
	receivers := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, payload, _ := strings.Cut(r.FormValue("logout_token"), ".")
		payload, _, _ = strings.Cut(payload, ".")
		var claims struct {
			Session string `json:"sid"`
		}
		text, err := base64.RawURLEncoding.DecodeString(payload)
		if err = errors.Join(err, json.Unmarshal(text, &claims)); err != nil {
			t.Errorf("logout token: %v", err)
		}
		a.told <- path.Base(r.URL.Path) + " " + claims.Session
	}))
	t.Cleanup(receivers.Close)
	yaml := withSessions + "sessions: {}\napi: {addr: '127.0.0.1:0'}\ngrpc: {addr: '127.0.0.1:0'}\n" + more
	for _, name := range []string{"Shop", "Till", "Store"} {
		line := "  name: " + name + "\n"
		yaml = strings.Replace(yaml, line, line+"  backchannelLogoutURI: "+receivers.URL+"/"+strings.ToLower(name)+"\n", 1)
	}
	plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: func(name string) (string, bool) {
		if name == "DEX_API_SESSIONS_IDENTITIES_CRUD" {
			return "true", true
		}
		return environment(name)
	}})
	if plan == nil {
		t.Fatal(app.Report(problems))
	}
	bound := make(chan [2]string, 10)
	core, err := app.New(t.Context(), plan, app.Options{
		Log: slog.New(slog.DiscardHandler), WrapStore: withKeys(t, plan, func(s store.Store) store.Store { a.store = s; return s }),
		Bound:  func(name string, at net.Addr) { bound <- [2]string{name, at.String()} },
		Events: []event.Sink{inAllFlows},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.handler = core.Handler()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- core.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, core.Close()); err != nil {
			t.Error(err)
		}
	})
	for a.rest == "" || a.dex == nil {
		switch at := <-bound; at[0] {
		case "api":
			a.rest = at[1]
		case "grpc":
			conn, err := grpc.NewClient("passthrough:"+at[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			a.dex, a.own = api.NewDexClient(conn), dexv1.NewAdminClient(conn)
		}
	}
	return a
}

// signIn signs in to clients in a new browser, and returns the session.
func (a *administered) signIn(clients ...string) string {
	a.t.Helper()
	b := a.browser()
	form := b.visit(to(clients[0], "connector_id", "local")).wantStatus(http.StatusFound).location().String()
	tokens := b.redeem(clients[0], b.post(form, credentials()).wantStatus(http.StatusSeeOther))
	for _, other := range clients[1:] {
		b.redeem(other, b.visit(to(other)).wantStatus(http.StatusSeeOther))
	}
	sessionID, _ := claims(a.t, tokens.text("id_token"))["sid"].(string)
	return sessionID
}

// wantTold waits for logout tokens, and fails for others.
func (a *administered) wantTold(want ...string) {
	a.t.Helper()
	got := make([]string, len(want))
	for i := range want {
		got[i] = <-a.told
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		a.t.Errorf("got logout tokens %q, want %q", got, want)
	}
}

// Each client that has used a session that is ended gets one logout token, by whichever way it was ended, and no other client does.
func TestAdministratorsEndSessions(t *testing.T) {
	t.Parallel()
	a := startAdministered(t, "")
	ctx := t.Context()
	const userID = "08a8684b-db88-4b73-90a9-3cd1661f5466"
	of := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, end := range map[string]func(sessionID string){
		"REST, one": func(id string) {
			askREST(t, "DELETE", a.rest, "/sessions/"+id, "").wantStatus(http.StatusNoContent)
			askREST(t, "DELETE", a.rest, "/sessions/"+id, "").wantStatus(http.StatusNotFound)
		},
		"REST, of a client": func(string) {
			if body := askREST(t, "DELETE", a.rest, "/sessions?client=till", "").wantStatus(http.StatusOK).body; strings.TrimSpace(body) != `{"ended":1,"logins":0}` {
				t.Errorf("got %s", body)
			}
		},
		"gRPC, one": func(id string) {
			_, err := a.dex.DeleteAuthSession(ctx, &api.DeleteAuthSessionReq{Id: id})
			of(err)
			again, err := a.dex.DeleteAuthSession(ctx, &api.DeleteAuthSessionReq{Id: id})
			of(err)
			if !again.GetNotFound() {
				t.Error("it has ended twice")
			}
		},
		"gRPC, of a client": func(string) {
			_, err := a.own.EndSessions(ctx, &dexv1.EndSessionsRequest{Whose: &dexv1.Whose{ClientId: "till"}})
			of(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			ended, kept := a.signIn("shop", "till"), a.signIn("store")
			end(ended)
			a.wantTold("shop "+ended, "till "+ended)
			askREST(t, "GET", a.rest, "/sessions/"+kept, "").wantStatus(http.StatusOK)
			done, err := a.dex.TerminateSessionsByUser(ctx, &api.TerminateSessionsByUserReq{UserId: userID})
			of(err)
			if done.GetSessionsTerminated() != 1 {
				t.Errorf("terminated %v", done)
			}
			a.wantTold("store " + kept) // a second one for a client would have come before
		})
	}
	sessions := []string{a.signIn("shop"), a.signIn("shop"), a.signIn("store")}
	done, err := a.dex.TerminateSessionsByConnector(ctx, &api.TerminateSessionsByConnectorReq{ConnectorId: "local"})
	of(err)
	if done.GetSessionsTerminated() != 3 {
		t.Errorf("terminated %v", done)
	}
	a.wantTold("shop "+sessions[0], "shop "+sessions[1], "store "+sessions[2])
	if n := len(a.told); n > 0 {
		t.Errorf("%d logout tokens too many", n)
	}
}
