package app_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/mock"
	"dex/internal/federation"
)

// A directory is a source that signs people in, unless it is down.
type directory struct {
	mock.PasswordConfig
	down   atomic.Bool
	closed atomic.Bool
}

func newDirectory(down bool) *directory {
	d := &directory{PasswordConfig: mock.PasswordConfig{Username: "u", Password: "p"}}
	d.down.Store(down)
	return d
}

func (d *directory) Open(ctx context.Context, env connector.Env) (any, error) {
	opened, err := d.PasswordConfig.Open(ctx, env)
	if err != nil {
		return nil, err
	}
	return struct {
		connector.Password
		*directory
	}{opened.(connector.Password), d}, nil
}

func (d *directory) Probe(context.Context) error {
	if d.down.Load() {
		return errors.New("dial ldap-7.internal: connection refused")
	}
	return nil
}

func (d *directory) Close() error {
	d.closed.Store(true)
	return nil
}

// openWith returns a server that does not run yet, with a source of type ldap called dir beside its own; and its log.
func openWith(t *testing.T, yaml string, d *directory, env config.Environment) (*app.Core, *bytes.Buffer, error) {
	t.Helper()
	plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: env})
	if plan == nil {
		t.Fatal(app.Report(problems))
	}
	plan.AddConnector(&federation.Definition{ID: "dir", Type: "ldap", Name: "Directory", Config: d})
	log := &bytes.Buffer{}
	a, err := app.New(t.Context(), plan, app.Options{
		Log: slog.New(slog.NewTextHandler(log, nil)), WrapStore: withKeys(t, plan, nil),
	})
	return a, log, err
}

// run lets the server look after its connectors until the test ends, which must be in a bubble.
func run(t *testing.T, a *app.Core) (web, operators *server) {
	t.Helper()
	h := a.Handler()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.RunWithoutListeners(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return &server{t: t, handler: h}, &server{t: t, handler: a.Telemetry()}
}

// wantDirectory checks what operators and users are told of the source.
func wantDirectory(t *testing.T, web, operators *server, fails bool) {
	t.Helper()
	for _, path := range []string{"/healthz/ready", "/healthz"} {
		all := operators.get(path).wantStatus(http.StatusOK).json() // be it down: the others' users sign in all the same
		for _, id := range []string{"mock", "local", "odd id/%"} {
			if check, ok := all["connector/"+id].(map[string]any); !ok || check["error"] != nil {
				t.Errorf("%s: connector %s is %v", path, id, check)
			}
		}
		check, _ := all["connector/dir"].(map[string]any)
		problem, _ := check["error"].(map[string]any)
		if _, ok := check["timestamp"]; !ok || (problem != nil) != fails {
			t.Errorf("%s: the source is %v, failing should be %t", path, check, fails)
		}
		if fails && (problem["message"] != "dial ldap-7.internal: connection refused" || check["timeOfFirstFailure"] == nil) {
			t.Errorf("%s: the source is %v", path, check)
		}
	}
	up := map[bool]string{true: "0", false: "1"}[fails]
	metrics := operators.get("/metrics").wantStatus(http.StatusOK).body
	for _, line := range []string{
		`dex_connector_up{connector="dir",type="ldap"} ` + up, `dex_connector_up{connector="mock",type="mockCallback"} 1`,
		`dex_connector_check_timestamp_seconds{connector="dir",type="ldap"} `,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("no %s in the metrics", line)
		}
	}
	page := web.get(authPath()).wantStatus(http.StatusOK).body
	if notes := strings.Count(page, "Not answering at the moment"); notes != map[bool]int{true: 1, false: 0}[fails] {
		t.Errorf("%d notes on the login page, failing is %t", notes, fails)
	}
	for _, id := range []string{"dir", "mock", "local"} {
		if !strings.Contains(page, `href="/dex/auth/`+id+`?`) {
			t.Errorf("the login page has no link to %s", id)
		}
	}
	if strings.Contains(page+web.get("/dex/healthz").wantStatus(http.StatusOK).body, "ldap-7") {
		t.Error("users are told internals")
	}
}

func TestSourceFailsAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory(false)
		t.Cleanup(func() { // runs after the one that closes the server
			if !d.closed.Load() {
				t.Error("not closed with the server")
			}
		})
		a, log, err := openWith(t, configuration, d, environment)
		if err != nil {
			t.Fatal(err)
		}
		web, operators := run(t, a)
		wantDirectory(t, web, operators, false)
		d.down.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		wantDirectory(t, web, operators, true)
		web.tokens() // through another one
		d.down.Store(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		wantDirectory(t, web, operators, false)
		if fails, works := strings.Count(log.String(), "connector fails"), strings.Count(log.String(), "works again"); fails != 1 || works != 1 {
			t.Errorf("the log tells %d times of the failure and %d times of the recovery", fails, works)
		}
		if d.closed.Load() {
			t.Error("closed while the server runs")
		}
	})
}

func TestSourceThatIsDownAtTheStart(t *testing.T) {
	const alone = "issuer: http://dex.test/dex\nstorage: {type: sqlite3, config: {file: ':memory:'}}\nweb: {http: 127.0.0.1:0}\n" +
		"staticClients:\n- {id: app, secret: app-secret, name: App, redirectURIs: ['https://app.test/callback']}\n"
	strictly := func(name string) (string, bool) {
		if name == "DEX_CONTINUE_ON_CONNECTOR_FAILURE" {
			return "false", true
		}
		return environment(name)
	}
	t.Run("S1-68 there are others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, log, err := openWith(t, configuration, newDirectory(true), environment)
			if err != nil {
				t.Fatal(err)
			}
			web, operators := run(t, a)
			wantDirectory(t, web, operators, true)
			web.tokens()
			if strings.Contains(log.String(), "nobody can sign in") {
				t.Errorf("the log is\n%s", log)
			}
		})
	})
	t.Run("S1-68 it is the only one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDirectory(true)
			a, log, err := openWith(t, alone, d, environment)
			if err != nil {
				t.Fatal(err)
			}
			_, operators := run(t, a)
			for _, want := range []string{"level=ERROR", "id=dir", "connection refused", "nobody can sign in"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("no %q in the log:\n%s", want, log)
				}
			}
			d.down.Store(false)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if check, _ := operators.get("/healthz").json()["connector/dir"].(map[string]any); check == nil || check["error"] != nil {
				t.Errorf("after it recovered it is %v", check)
			}
		})
	})
	t.Run("S1-68 such a start is not wanted", func(t *testing.T) {
		_, _, err := openWith(t, configuration, newDirectory(true), strictly)
		if err == nil || !strings.Contains(err.Error(), `connector "dir"`) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("got error %v", err)
		}
		a, _, err := openWith(t, configuration, newDirectory(false), strictly)
		if err != nil {
			t.Fatalf("although it works: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// The server that listens looks after its connectors too.
func TestConnectorsOfTheServerThatListens(t *testing.T) {
	plan, problems := app.Check(config.Source{
		Name: "test.yaml", Data: []byte(configuration + "telemetry: {http: 127.0.0.1:0}\n"), Env: environment,
	})
	if plan == nil {
		t.Fatal(app.Report(problems))
	}
	address := make(chan string, 1)
	d := newDirectory(true)
	plan.AddConnector(&federation.Definition{ID: "dir", Type: "ldap", Name: "Directory", Config: d})
	a, err := app.New(t.Context(), plan, app.Options{
		Log: slog.New(slog.DiscardHandler), WrapStore: withKeys(t, plan, nil),
		Bound: func(listener string, at net.Addr) {
			if listener == "telemetry" {
				address <- at.String()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := errors.Join(a.Run(ctx), a.Close()); err != nil {
			t.Error(err)
		}
	})
	url := "http://" + <-address
	says := func(path, text string) bool {
		answer, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		var body bytes.Buffer
		if _, err := body.ReadFrom(answer.Body); err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode == http.StatusOK && strings.Contains(body.String(), text)
	}
	eventually(t, func() bool { return says("/healthz/ready?type=short", `"connector/dir": "FAIL"`) })
	eventually(t, func() bool { return says("/metrics", `dex_connector_up{connector="mock",type="mockCallback"} 1`) })
	http.DefaultClient.CloseIdleConnections()
	stop()
	running.Wait()
	if !d.closed.Load() {
		t.Error("not closed with the server")
	}
}
