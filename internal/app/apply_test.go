package app_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/event"
)

// planOf returns a configuration, checked.
func planOf(t testing.TB, yaml string) *app.Plan {
	t.Helper()
	plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: environment})
	if plan == nil {
		t.Fatal(app.Report(problems))
	}
	return plan
}

// A reloaded server gets other configurations while it runs.
type reloaded struct {
	*server
	core *app.Core
	log  *lockedBuffer
}

func startReloaded(t testing.TB, plan *app.Plan) *reloaded {
	t.Helper()
	return startFrom(t, plan, app.Input{})
}

// startFrom starts a server that reads its configuration from an input again.
func startFrom(t testing.TB, plan *app.Plan, from app.Input) *reloaded {
	t.Helper()
	r := &reloaded{log: &lockedBuffer{}}
	var err error
	r.core, err = app.New(t.Context(), plan, app.Options{
		Log: slog.New(slog.NewTextHandler(r.log, nil)), WrapStore: withKeys(t, plan, nil), Input: from,
		Events: []event.Sink{inAllFlows},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.core.Close(); err != nil {
			t.Error(err)
		}
	})
	r.server = &server{t: t, handler: r.core.Handler()}
	return r
}

// apply puts a configuration in force, and returns what is logged of that.
func (r *reloaded) apply(plan *app.Plan) string {
	r.t.Helper()
	r.log.take()
	if err := r.core.Apply(r.t.Context(), plan); err != nil {
		r.t.Fatal(err)
	}
	return r.log.take()
}

// planWith returns a configuration whose connector "odd id/%" is a source.
func planWith(t testing.TB, yaml string, c *tally) *app.Plan {
	t.Helper()
	plan := planOf(t, yaml)
	plan.ReplaceConnector("odd id/%", c)
	return plan
}

// odd opens the password form of that connector and returns its path.
func (b *browser) odd() string {
	b.t.Helper()
	return b.visit(authPath("connector_id", "odd id/%")).wantStatus(http.StatusFound).path()
}

func TestApply(t *testing.T) {
	r := startReloaded(t, planOf(t, configuration))
	before := r.tokens()
	begun := r.browser()
	form := begun.passwordForm()

	changed := strings.NewReplacer(
		"{id: other, secret: \"o+%ther secret\", name: Other,", "{id: fresh, secret: fresh-secret, name: Fresh,",
		"email: admin@", "email: root@", "type: mockCallback, id: mock, name: Example", "type: mockCallback, id: mock, name: Renamed",
	).Replace(configuration) + "expiry: {idTokens: 30m}\nfrontend: {issuer: Second edition}\nweb: {http: 127.0.0.1:0, allowedOrigins: [https://spa.test], headers: {X-Frame-Options: SAMEORIGIN}}\n"
	changed = strings.Replace(changed, "web: {http: 127.0.0.1:0}\n", "", 1)
	log := r.apply(planOf(t, changed))
	for _, want := range []string{
		`msg="configuration applied"`, "clients=4", "users=1", "connectors_added=1", "connectors_kept=2", "connectors_closed=1",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in the log:\n%s", want, log)
		}
	}

	// Clients, what they get, and the pages.
	r.get("/dex/auth?" + request("client_id", "other", "redirect_uri", "https://other.test/cb").Encode()).wantStatus(http.StatusBadRequest)
	choice := r.get("/dex/auth?" + request("client_id", "fresh", "redirect_uri", "https://other.test/cb").Encode()).wantStatus(http.StatusOK)
	if !strings.Contains(choice.body, "Second edition") || !strings.Contains(choice.body, "Renamed") {
		t.Errorf("the page is still the old one:\n%s", choice.body)
	}
	if got := choice.header.Get("X-Frame-Options"); got != "SAMEORIGIN" {
		t.Errorf("X-Frame-Options is %q", got)
	}
	if after := r.tokens(); after.json()["expires_in"] != 1800.0 || before.json()["expires_in"] != 86400.0 {
		t.Errorf("tokens live %v, and before %v", after.json()["expires_in"], before.json()["expires_in"])
	}

	// What was begun before goes on, by the new rules.
	begun.post(form, credentials()).wantStatus(http.StatusUnauthorized)
	end := begun.post(form, url.Values{"login": {"root@example.com"}, "password": {"password"}}).wantStatus(http.StatusSeeOther)
	begun.post(end.path(), url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther)
	r.token(refreshForm(before.text("refresh_token"))).wantStatus(http.StatusOK)
	r.bearer(before.text("access_token")).wantStatus(http.StatusOK)
}

// Connectors with the same settings stay open; others are closed, and the new ones opened when somebody needs them.
func TestApplyKeepsConnectors(t *testing.T) {
	first, second := newTally(1), newTally(2)
	r := startReloaded(t, planWith(t, configuration, first))
	signIn := func() {
		t.Helper()
		b := r.browser()
		b.post(b.odd(), url.Values{"login": {"u"}, "password": {"p"}}).wantStatus(http.StatusSeeOther)
	}
	signIn()
	for range 3 {
		renamed := strings.Replace(configuration, "name: Other, config:", "name: Odd, grantTypes: [authorization_code], config:", 1)
		r.apply(planWith(t, renamed, first.again()))
		signIn()
		r.apply(planWith(t, configuration, first.again()))
	}
	wantTally(t, first, 1, 0)

	log := r.apply(planWith(t, configuration, second))
	if !strings.Contains(log, "connectors_added=1 connectors_kept=2 connectors_closed=1") {
		t.Errorf("logged:\n%s", log)
	}
	wantTally(t, first, 1, 1)
	signIn()
	wantTally(t, second, 1, 0)

	r.apply(planOf(t, strings.Replace(configuration, `- {type: mockPassword, id: "odd id/%"`, `- {type: mockPassword, id: even`, 1)))
	wantTally(t, second, 1, 1)
	r.browser().visit(authPath("connector_id", "odd id/%")).wantStatus(http.StatusSeeOther) // there is none any more
}

// A request is served whole by the configuration that was in force when it came, and what it needs stays open until it ends.
func TestRequestsEndByTheirOwnConfiguration(t *testing.T) {
	first, second := newTally(1), newTally(2)
	asked, release := make(chan struct{}), make(chan struct{})
	first.asked = func() { close(asked); <-release }
	r := startReloaded(t, planWith(t, configuration+"frontend: {issuer: First edition}\n", first))
	b := r.browser()
	form := b.odd()
	var got answer
	var under sync.WaitGroup
	under.Go(func() { got = b.post(form, url.Values{"login": {"u"}, "password": {"wrong"}}) })
	<-asked

	r.apply(planWith(t, configuration+"frontend: {issuer: Second edition}\n", second))
	r.apply(planWith(t, configuration+"frontend: {issuer: Third edition}\n", second.again()))
	if page := r.browser(); !strings.Contains(page.visit(page.odd()).body, "Third edition") {
		t.Error("a request that comes later does not see the new configuration")
	}
	wantTally(t, second, 1, 0)
	wantTally(t, first, 1, 0)
	close(release)
	under.Wait()
	if got.status != http.StatusUnauthorized || !strings.Contains(got.body, "First edition") {
		t.Errorf("status %d, and the page is not that of its configuration:\n%s", got.status, got.body)
	}
	wantTally(t, first, 1, 1)
}

// A configuration that can't be put in force changes nothing.
func TestApplyThatFailsChangesNothing(t *testing.T) {
	source := newTally(1)
	r := startReloaded(t, planWith(t, configuration, source))
	b := r.browser()
	form := b.odd()
	without := strings.Replace(configuration, "- {id: app, ", "- {id: gone, ", 1)

	strict := func(name string) (string, bool) {
		if name == "DEX_CONTINUE_ON_CONNECTOR_FAILURE" {
			return "false", true
		}
		return "", false
	}
	failing, good := newTally(2), newTally(3)
	failing.err = errors.New("no such host")
	allMustWork, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(without), Env: strict})
	if allMustWork == nil {
		t.Fatal(app.Report(problems))
	}
	allMustWork.ReplaceConnector("odd id/%", failing)
	allMustWork.ReplaceConnector("mock", good)

	for name, c := range map[string]struct {
		plan *app.Plan
		want string
	}{
		"another issuer": {
			planWith(t, strings.Replace(without, issuer, "http://other.test/dex", 1), newTally(4)),
			"issuer: can't change from http://dex.test/dex to http://other.test/dex without a restart",
		},
		"pages that are not there": {planWith(t, without+"frontend: {dir: /nowhere}\n", newTally(4)), `frontend: directory "/nowhere"`},
		"a connector that fails":   {allMustWork, `open connector "odd id/%": connector can't be used: no such host`},
	} {
		t.Run(name, func(t *testing.T) {
			err := r.core.Apply(t.Context(), c.plan)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %s", err, c.want)
			}
			r.get(authPath()).wantStatus(http.StatusOK)
		})
	}
	wantTally(t, good, 1, 1)
	b.post(form, url.Values{"login": {"u"}, "password": {"p"}}).wantStatus(http.StatusSeeOther)
	wantTally(t, source, 1, 0)
	if log := r.log.take(); strings.Contains(log, "configuration applied") {
		t.Errorf("logged:\n%s", log)
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.core.Apply(ended, planOf(t, without)); !errors.Is(err, context.Canceled) {
		t.Errorf("while the server ends: error %v", err)
	}
	r.get(authPath()).wantStatus(http.StatusOK)
}

// What can't change while the server runs is named; the rest is applied.
func TestApplyNamesWhatNeedsARestart(t *testing.T) {
	r := startReloaded(t, planOf(t, configuration))
	dir := t.TempDir()
	for name, c := range map[string]struct{ more, keys string }{
		"nothing":          {"frontend: {issuer: A}", ""},
		"a storage":        {"storage: {type: sqlite3, config: {file: " + dir + "/a.db}, keyFile: " + dir + "/keys}", "[storage.type storage.config storage.keyFile]"},
		"listeners":        {"web: {http: 127.0.0.1:5556, https: 127.0.0.1:5554, tlsCert: a, tlsKey: b, tlsMinVersion: '1.3', tlsMaxVersion: '1.3'}", "[web.http web.https web.tlsCert web.tlsKey web.tlsMinVersion web.tlsMaxVersion]"},
		"telemetry":        {"telemetry: {http: 127.0.0.1:5558, enableProfiling: true}", "[telemetry.http telemetry.enableProfiling]"},
		"the log":          {"logger: {level: debug, format: json, excludeFields: [email]}", "[logger.level logger.format logger.excludeFields]"},
		"the signer":       {"signer: {type: local, config: {algorithm: ES256}}", "[signer]"},
		"its older key":    {"expiry: {signingKeys: 12h}", "[expiry.signingKeys]"},
		"how keys come in": {"oauth2: {compatibility: {keyPublication: upstream}}", "[oauth2.compatibility.keyPublication]"},
	} {
		t.Run(name, func(t *testing.T) {
			key, _, _ := strings.Cut(c.more, ":")
			var lines []string
			for line := range strings.Lines(configuration) {
				if !strings.HasPrefix(line, key+":") {
					lines = append(lines, line)
				}
			}
			yaml := strings.Join(lines, "") + c.more + "\n"
			log := r.apply(planOf(t, strings.Replace(yaml, "id: strict,", fmt.Sprintf("id: %q,", name), 1)))
			warned := strings.Contains(log, "take effect after a restart only")
			if warned != (c.keys != "") || !strings.Contains(log, c.keys) || !strings.Contains(log, "configuration applied") {
				t.Errorf("logged:\n%s", log)
			}
			r.get(authPath("client_id", name, "redirect_uri", "https://strict.test/cb", "connector_id", "local")).wantStatus(http.StatusFound)
		})
	}
}

// Pages of a directory are read again.
func TestApplyReadsPagesAgain(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, "templates"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "templates", "footer.html"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("the first footer")
	yaml := configuration + "frontend: {dir: " + dir + "}\n"
	r := startReloaded(t, planOf(t, yaml))
	write("the second footer")
	if page := r.get(authPath()); !strings.Contains(page.body, "the first footer") {
		t.Errorf("got\n%s", page.body)
	}
	r.apply(planOf(t, yaml))
	if page := r.get(authPath()); !strings.Contains(page.body, "the second footer") {
		t.Errorf("got\n%s", page.body)
	}
}

// A request that has found an edition just before it ended looks for the next one.
func TestNobodyEntersAnEditionThatHasEnded(t *testing.T) {
	source := newTally(1)
	r := startReloaded(t, planWith(t, configuration, source))
	b := r.browser()
	b.odd()
	e := r.core.InForce()
	if !e.Enter() {
		t.Fatal("the edition in force can't be entered")
	}
	r.apply(planOf(t, configuration))
	if !e.Enter() {
		t.Error("an edition with a request can't be entered")
	}
	e.Leave()
	wantTally(t, source, 1, 0)
	e.Leave()
	wantTally(t, source, 1, 1)
	if e.Enter() {
		t.Error("an edition that has ended was entered")
	}
}
