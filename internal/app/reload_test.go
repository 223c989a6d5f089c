package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/app"
	"dex/internal/event"
)

// A configured server has its configuration in a file of a folder.
type configured struct {
	*reloaded
	dir, file string
}

func startConfigured(t testing.TB, yaml string, files map[string]string) *configured {
	t.Helper()
	c := &configured{dir: t.TempDir()}
	c.file = filepath.Join(c.dir, "config.yaml")
	for name, text := range files {
		c.write(t, name, text)
	}
	c.write(t, "config.yaml", yaml)
	in := app.Input{File: c.file}
	found, err := in.Read()
	if err != nil || found.Plan == nil {
		t.Fatal(err, app.Report(found.Problems))
	}
	c.reloaded = startFrom(t, found.Plan, in)
	return c
}

// write writes a file of the folder, in which DIR stands for the folder.
func (c *configured) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(strings.ReplaceAll(text, "DIR", c.dir)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// alone is a configuration without variables.
const alone = `issuer: http://dex.test/dex
storage: {type: memory}
web: {http: 127.0.0.1:0}
oauth2: {skipApprovalScreen: true}
connectors:
- {type: mockPassword, id: odd, name: Odd, config: {username: u, passwordFile: DIR/odd}}
staticClients:
- {id: app, name: App, secretFile: DIR/app, redirectURIs: [https://app.test/cb]}
- {id: gone, name: Gone, secret: "${file:DIR/app}", redirectURIs: [https://app.test/cb]}
`

var aloneFiles = map[string]string{"odd": "odd-password\n", "app": "app-secret-1\n"}

func TestReload(t *testing.T) {
	c := startConfigured(t, alone, aloneFiles)
	got, err := c.core.Reload(t.Context())
	if err != nil || len(got.Changes.Keys) > 0 || !got.Changes.Clients.IsZero() || !got.Changes.Connectors.IsZero() {
		t.Fatalf("nothing changed: %+v %v", got, err)
	}

	c.write(t, "app", "app-secret-2\n")
	c.write(t, "odd", "another\n")
	c.write(t, "config.yaml", strings.NewReplacer("id: gone", "id: new", "skipApprovalScreen: true", "skipApprovalScreen: false",
		"name: Odd", "name: Even").Replace(alone)+"# a comment\nlogger: {level: debug}\nenablePasswordDB: true\n"+
		"staticPasswords: [{email: a@a.test, userID: u-1, hash: $2a$10$33EMT0cVYVlPy6WAMCLsceLYjWhuHpbz5yuZxu/GAFj03J9Lytjuy}]\n")
	c.log.take()
	got, err = c.core.Reload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := app.Changes{
		Keys:       []string{"oauth2.skipApprovalScreen", "logger.level", "enablePasswordDB"},
		Clients:    event.Difference{Added: []string{"new"}, Changed: []string{"app (secret)"}, Removed: []string{"gone"}},
		Users:      event.Difference{Added: []string{"u-1"}},
		Connectors: event.Difference{Changed: []string{"odd (name, config.password)"}},
	}
	if fmt.Sprint(got.Changes) != fmt.Sprint(want) || !slices.Equal(got.Restart, []string{"logger.level"}) {
		t.Errorf("changes are %+v, and needs a restart: %v", got.Changes, got.Restart)
	}
	log := c.log.take()
	for _, want := range []string{
		`changed="oauth2.skipApprovalScreen, logger.level, enablePasswordDB"`, `new_clients=new changed_clients="app (secret)" removed_clients=gone`,
		`new_users=u-1`, `changed_connectors="odd (name, config.password)"`, "keys=[logger.level]",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in the log:\n%s", want, log)
		}
	}
	for _, secret := range []string{"app-secret", "odd-password", "another", "$2a$"} {
		if strings.Contains(log, secret) || strings.Contains(fmt.Sprint(got), secret) {
			t.Errorf("%s is shown:\n%s%v", secret, log, got)
		}
	}
}

// A configuration that can't be used changes nothing, and the log and the health say what is wrong with it, and where.
func TestReloadRefuses(t *testing.T) {
	c := startConfigured(t, alone, aloneFiles)
	begun := c.core.InForce()
	for text, want := range map[string]string{
		"issuer: [":                           "config.yaml:2:1: not valid YAML",
		alone + "expiry: {idTokens: never}\n": "config.yaml:10:20: expiry.idTokens: must be a duration",
		strings.Replace(alone, "DIR/app,", "DIR/nowhere,", 1):                      "config.yaml:8:36: staticClients[0].secretFile: can't open ",
		strings.Replace(alone, "${file:DIR/app}", "${env:NO_SUCH_VARIABLE}", 1):    "config.yaml:9:34: staticClients[1].secret: the environment variable NO_SUCH_VARIABLE is not set",
		strings.Replace(alone, "http://dex.test/dex", "http://dex.test/other", 1):  "issuer: can't change from",
		alone + "web: {http: 1}\nexpiry: {idTokens: never, authRequests: never}\n": "; and 2 more",
	} {
		c.write(t, "config.yaml", text)
		c.log.take()
		_, err := c.core.Reload(t.Context())
		shown := c.core.ConfigurationCondition()
		log := c.log.take()
		if err == nil || shown == nil || !strings.Contains(shown.Error(), want) || !strings.Contains(log, "configuration is not applied") {
			t.Errorf("%s:\nreturned %v\nshown %v\nlogged %s", text, err, shown, log)
		}
	}
	if c.core.InForce() != begun {
		t.Error("another configuration is in force")
	}
	c.write(t, "config.yaml", alone)
	if _, err := c.core.Reload(t.Context()); err != nil || c.core.ConfigurationCondition() != nil {
		t.Errorf("after it was mended: %v, %v", err, c.core.ConfigurationCondition())
	}
}

// A configuration file that can't be read to its end, as on a disk that hangs, doesn't keep the server from stopping.
func TestReloadEndsWithTheServer(t *testing.T) {
	c := startConfigured(t, alone, aloneFiles)
	if err := os.Remove(c.file); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(c.file, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // lets the reader end
		if f, err := syscall.Open(c.file, syscall.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			_ = syscall.Close(f)
		}
	})
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if _, err := c.core.Reload(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it ended with %v", err)
	}
}

// shows reports whether the client is known.
func (c *configured) knows(client string) bool {
	status := c.get("/dex/auth?" + request("client_id", client, "redirect_uri", "https://app.test/cb").Encode()).status
	return status != http.StatusBadRequest
}

// Changes of the file, of a file that holds a secret, and of a link that Kubernetes swaps are applied within a second; one that is
// wrong is tried once.
func TestFollow(t *testing.T) {
	withGone := alone
	without := strings.Replace(alone, "id: gone", "id: other", 1)
	synctest.Test(t, func(t *testing.T) {
		c := startConfigured(t, withGone, aloneFiles)
		ctx, stop := context.WithCancel(t.Context())
		go c.core.Follow(ctx)
		defer synctest.Wait()
		defer stop()
		time.Sleep(7 * time.Millisecond) // so that no file is written at the very moment at which it is read

		time.Sleep(time.Minute)
		if log := c.log.take(); strings.Contains(log, "configuration") {
			t.Errorf("nothing changed, and the log says\n%s", log)
		}
		c.write(t, "config.yaml", without)
		time.Sleep(time.Second)
		if c.knows("gone") || !c.knows("other") {
			t.Error("the change is not applied")
		}
		c.write(t, "app", "app-secret-2")
		time.Sleep(time.Second)
		if log := c.log.take(); !strings.Contains(log, `changed_clients="app (secret), other (secret)"`) {
			t.Errorf("the secret is not read again:\n%s", log)
		}
		c.write(t, "config.yaml", "issuer: 1")
		time.Sleep(time.Minute)
		if log := c.log.take(); strings.Count(log, "configuration is not applied") != 1 {
			t.Errorf("a wrong file is not told once:\n%s", log)
		}
		c.write(t, "config.yaml", without)
		time.Sleep(time.Second)
		if log := c.log.take(); strings.Count(log, "configuration applied") != 1 {
			t.Errorf("the same as before is not applied again:\n%s", log)
		}
		if err := os.Remove(filepath.Join(c.dir, "app")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		c.write(t, "app", "app-secret-3")
		time.Sleep(time.Second)
		if log := c.log.take(); !strings.Contains(log, "no such file or directory") || strings.Count(log, "configuration applied") != 1 {
			t.Errorf("a secret that was away for a while:\n%s", log)
		}
	})
}

func TestFollowSwappedLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		mount := func(name, yaml string) {
			t.Helper()
			folder := filepath.Join(dir, name)
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, "config.yaml"), []byte(strings.ReplaceAll(yaml, "DIR", dir)), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Symlink(name, filepath.Join(dir, "..tmp")), os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data"))); err != nil {
				t.Fatal(err)
			}
		}
		mount("..1", strings.NewReplacer("passwordFile: DIR/odd", "password: x", "secretFile: DIR/app", "secret: x", "${file:DIR/app}", "y").Replace(alone))
		file := filepath.Join(dir, "config.yaml")
		if err := os.Symlink("..data/config.yaml", file); err != nil {
			t.Fatal(err)
		}
		in := app.Input{File: file}
		found, err := in.Read()
		if err != nil || found.Plan == nil {
			t.Fatal(err, app.Report(found.Problems))
		}
		c := &configured{dir: dir, file: file, reloaded: startFrom(t, found.Plan, in)}
		ctx, stop := context.WithCancel(t.Context())
		go c.core.Follow(ctx)
		defer synctest.Wait()
		defer stop()
		time.Sleep(7 * time.Millisecond) // so that no file is written at the very moment at which it is read
		mount("..2", strings.NewReplacer("passwordFile: DIR/odd", "password: x", "secretFile: DIR/app", "secret: x", "${file:DIR/app}", "y", "id: gone", "id: other").Replace(alone))
		time.Sleep(time.Second)
		if c.knows("gone") || !c.knows("other") {
			t.Error("the change is not applied")
		}
	})
}

// However often the file changes, the last state that is right is in force within a second.
func TestFollowInAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startConfigured(t, alone, aloneFiles)
		ctx, stop := context.WithCancel(t.Context())
		go c.core.Follow(ctx)
		defer synctest.Wait()
		defer stop()
		time.Sleep(7 * time.Millisecond) // so that no file is written at the very moment at which it is read
		var oldest, right int            // the client that was there a second ago, and the last one
		for i := range 500 {
			text := strings.Replace(alone, "id: gone", fmt.Sprintf("id: c%d", i), 1)
			if i%5 == 0 {
				text = "issuer: ["
			} else {
				right = i
			}
			c.write(t, "config.yaml", text)
			time.Sleep(20 * time.Millisecond)
			if oldest = i - 50; i%50 == 0 && i > 0 && !c.knowsAny(oldest, i) {
				t.Errorf("at change %d none of the last second is in force", i)
			}
		}
		time.Sleep(time.Second)
		if !c.knows(fmt.Sprint("c", right)) {
			t.Errorf("the last one is not in force")
		}
	})
}

func (c *configured) knowsAny(from, to int) bool {
	for i := from; i <= to; i++ {
		if c.knows(fmt.Sprint("c", i)) {
			return true
		}
	}
	return false
}

// A connector is opened again when a file has changed that it reads at its opening, and stays open while that can't be used.
func TestReloadReadsTheFilesOfConnectors(t *testing.T) {
	authority := func() string {
		dir := t.TempDir()
		writeCertificate(t, dir, time.Now(), time.Now().Add(time.Hour))
		text, err := os.ReadFile(filepath.Join(dir, "crt"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first, second := authority(), authority()
	c := startConfigured(t, alone, map[string]string{"odd": "x", "app": "y"})
	withCA := strings.Replace(alone, "connectors:\n", "connectors:\n- {type: gitea, id: git, name: Git, config: {clientID: a, clientSecret: b, baseURL: 'https://127.0.0.1:1', rootCAs: [DIR/ca]}}\n", 1)
	c.write(t, "config.yaml", withCA)
	for _, step := range []struct{ ca, want string }{
		{first, "connectors_added=1"}, {first, "connectors_added=0"}, {"nonsense", "connectors_added=0"}, {first, "connectors_added=0"},
		{second, "connectors_added=1 connectors_kept=1 connectors_closed=1"},
	} {
		c.write(t, "ca", step.ca)
		c.log.take()
		if _, err := c.core.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		log := c.log.take()
		if !strings.Contains(log, step.want) || strings.Contains(log, "rootCAs[0]") != (step.ca == "nonsense") {
			t.Errorf("no %s in\n%s", step.want, log)
		}
	}
}
