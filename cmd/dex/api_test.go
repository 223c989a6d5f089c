package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dex/internal/admin"
	"dex/internal/admin/admintest"
	"dex/internal/admin/rest"
	"dex/internal/client"
	"dex/internal/federation"
)

// An apiServer is a server with the management API, and a folder for files.
type apiServer struct {
	*admintest.Fixture
	t     *testing.T
	dir   string
	url   string
	token string // the file with one
}

// serveAPI serves the API to tokens with some roles. More answers first; nil if nothing does.
func serveAPI(t *testing.T, more func(http.ResponseWriter, *http.Request) bool, roles ...admin.Role) *apiServer {
	t.Helper()
	f := admintest.New(t, nil)
	door := rest.New(rest.Options{Log: slog.New(slog.DiscardHandler), Events: f, Enter: func() (rest.Room, func()) {
		return rest.Room{Service: f.Service, Access: admin.NewAccess(admin.AccessConfig{Tokens: f.Tokens})}, func() {}
	}})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if more == nil || !more(w, r) {
			door.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	s := &apiServer{Fixture: f, t: t, dir: t.TempDir(), url: server.URL}
	s.token = s.write("token", s.tokenFor(roles...)+"\n")
	return s
}

func (s *apiServer) tokenFor(roles ...admin.Role) string {
	s.t.Helper()
	token, _, err := s.Tokens.Create(admintest.As(s.t, admin.RoleAll), "ci", roles, time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

func (s *apiServer) write(name, text string) string {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// An outcome is how a command ended.
type outcome struct {
	t              *testing.T
	line           string
	status         int
	stdout, stderr string // with the message of the error
}

// run runs a command against the server. In its line FOLDER stands for the folder.
func (s *apiServer) run(stdin, line string) outcome {
	s.t.Helper()
	args := strings.Fields(strings.ReplaceAll(line, "FOLDER", s.dir))
	return runAPI(s.t, stdin, append(args, "--server", s.url, "--token-file", s.token)...)
}

func runAPI(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	o := outcome{t: t, line: strings.Join(args, " ")}
	if cmd, err := root.ExecuteC(); err != nil {
		o.status = exitStatus(cmd, err)
		errs.WriteString(complaint(cmd, err))
	}
	o.stdout, o.stderr = out.String(), errs.String()
	return o
}

// want checks the exit status, and what is printed.
func (o outcome) want(status int, stdout string, stderr ...string) outcome {
	o.t.Helper()
	if o.status != status || stdout != "*" && o.stdout != stdout {
		o.t.Fatalf("dex %s: exit status %d, want %d\nstdout:\n%s\nwant:\n%s\nstderr:\n%s", o.line, o.status, status, o.stdout, stdout, o.stderr)
	}
	for _, part := range stderr {
		if !strings.Contains(o.stderr, part) {
			o.t.Errorf("dex %s: no %q on standard error:\n%s", o.line, part, o.stderr)
		}
	}
	return o
}

func TestClientsFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := serveAPI(t, nil, admin.RoleClients)
	s.run("", "client create app --name App --redirect-uri https://app.example.com/a --redirect-uri https://app.example.com/b --dry-run").
		want(0, "", "client app: would be created")
	s.run("", "client get app").want(exitNotFound, "", `client "app" does not exist`, "(404 Not Found from ")
	made := s.run("", "client create app --name App --redirect-uri https://app.example.com/a --redirect-uri https://app.example.com/b").
		want(0, "*", "client app: created", "can't be read again")
	s.run("", "client create app --name App").want(exitConflict, "", "exists already")
	s.run("", "client create cli --name Cli --public").want(0, "", "created")
	s.run("", "client get app").want(0, `id: app
name: App
redirectURIs:
- https://app.example.com/a
- https://app.example.com/b
origin: storage
revision: "2"
`)
	list := s.run("", "client list").want(0, "*")
	for _, want := range []string{
		"ID          NAME        TYPE          REDIRECT URIS                 ORIGIN\n", "cli         Cli         public        -                             storage\n",
		"app         App         confidential  https://app.example.com/a +1  storage\n",
		"configured  Configured  confidential  -                             configuration\n",
	} {
		if !strings.Contains(list.stdout, want) {
			t.Errorf("no %q in\n%s", want, list.stdout)
		}
	}
	secret := s.run("", "client rotate-secret app").want(0, "*", "can't be read again")
	if len(secret.stdout) < 20 || secret.stdout == made.stdout || strings.Count(secret.stdout, "\n") != 1 {
		t.Errorf("secrets %q and %q", made.stdout, secret.stdout)
	}
	s.run("", "client end-previous-secret app").want(0, "", "only the current secret")
	s.run("", "client delete configured").want(exitConflict, "", "configuration")
	anonymous := s.run("", "client create --name Nameless --public").want(0, "")
	if id, _, _ := strings.Cut(strings.TrimPrefix(anonymous.stderr, "client "), ":"); len(id) < 20 {
		t.Errorf("got %s", anonymous.stderr)
	}
	s.run("", "client delete app none --dry-run").want(exitNotFound, "", "client app: would be deleted", `client "none" does not exist`)
	s.run("", "client delete app").want(0, "", "client app: deleted")
	s.run("", "user list").want(exitForbidden, "", "403 Forbidden")
}

func TestUsersFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := serveAPI(t, nil, admin.RoleUsers)
	s.run("first password\n", "user create jane@example.com --username jane --user-id u-1 --group a --group b").want(0, "", "user jane@example.com: created")
	s.run("", "user list").want(0, `EMAIL                   NAME  USER ID  GROUPS  ORIGIN
jane@example.com        jane  u-1      a +1    storage
Configured@example.com  -     c        -       configuration
`)
	s.run("first password\n", "user check-password jane@example.com").want(0, "", "is right")
	s.run("second password", "user set-password jane@example.com").want(0, "", "the password was changed")
	s.run("first password\n", "user check-password jane@example.com").want(exitRefused, "", "the password is wrong")
	s.run("second password\n", "user check-password jane@example.com").want(0, "")
	s.run("\n", "user set-password jane@example.com").want(exitRefused, "", "the password is empty")
	s.run("p\n", "user set-password joe@example.com").want(exitNotFound, "", "does not exist")
	shown := s.run("", "user get jane@example.com -o json").want(0, "*")
	if strings.Contains(shown.stdout, "hash") || !strings.Contains(shown.stdout, "\n  \"groups\": [\n") {
		t.Errorf("got %s", shown.stdout)
	}
	s.run("", "user delete jane@example.com").want(0, "", "deleted")
}

func TestApply(t *testing.T) {
	t.Parallel()
	s := serveAPI(t, nil, admin.RoleAll)
	file := `staticClients:
- {id: app, name: App, secret: unspeakable, redirectURIs: ["https://app.example.com/cb"]}
---
staticPasswords:
- {email: jane@example.com, userID: u-1, username: jane, hash: ` + admintest.Hash + `}
connectors:
- {id: corp, type: oidc, name: Corp, config: {issuer: "https://login.example.com", clientID: dex, clientSecret: unspeakable}}
`
	s.run(file, "apply -f - --dry-run").want(0, "*", "connector corp: would be created", "client app: would be created", "user jane@example.com: would be created")
	if changes := s.Changes(); len(changes) != 1 { // the token
		t.Errorf("--dry-run changed %q", changes)
	}
	s.run(file, "apply -f -").want(0, "", "connector corp: created\nclient app: created\nuser jane@example.com: created\n")
	s.run(file, "apply -f -").want(0, "", "connector corp: unchanged\nclient app: unchanged\nuser jane@example.com: unchanged\n")

	changed := strings.NewReplacer("name: App", "name: Graphs", "login.example.com", "sso.example.com").Replace(file)
	diff := s.run(changed, "apply -f - --dry-run").want(0, `  ~ config.clientSecret: (secret changed)
  ~ config.issuer: "https://login.example.com" -> "https://sso.example.com"
  ~ name: "App" -> "Graphs"
  ~ secret: (secret changed)
  ~ hash: (secret changed)
`)
	if strings.Contains(diff.stderr, "unspeakable") {
		t.Error(diff.stderr)
	}
	s.run(changed, "apply -f -").want(0, "", "client app: replaced")
	s.run("staticClients: [{id: app, name: Graphs, redirectURIs: ['https://app.example.com/cb']}]", "client apply -f -").want(0, "", "client app: unchanged")

	list := s.run("", "connector list -o yaml").want(0, "*")
	if strings.Contains(list.stdout, "unspeakable") || !strings.HasPrefix(list.stdout, "connectors:\n") {
		t.Errorf("got %s", list.stdout)
	}
	s.run(list.stdout, "apply -f -").want(0, "", "connector corp: unchanged", "connector configured: left alone, as it was printed as one of the server's configuration")
}

func TestApplyWritesAllOrNothing(t *testing.T) {
	t.Parallel()
	s := serveAPI(t, nil, admin.RoleClients)
	before := len(s.Changes())
	wrong := s.run("staticClients:\n- {id: a, name: A, public: true}\n- id: b\n  name: B\n  public: true\n  redirectURIs: ['https://b.example.com', 'javascript:x']\n", "apply -f -").
		want(exitRefused, "", "client b: ", "<stdin>:6:43: staticClients[1].redirectURIs[1]: ", "Nothing was written.")
	if strings.Contains(wrong.stderr, "\n  redirectURIs") {
		t.Errorf("a member is there twice:\n%s", wrong.stderr)
	}
	s.run("staticClients:\n- {id: a, name: A, public: true}\nstaticPasswords:\n- {email: a@example.com}\n", "apply -f -").
		want(exitForbidden, "", "user a@example.com: ", "Nothing was written.")
	s.run("staticPasswords:\n- {email: a@example.com}\n", "client apply -f -").want(exitRefused, "", "<stdin>:2:3: staticPasswords[0]: is a user, and this command is for clients; use dex apply")
	s.run("staticClients:\n- {id: configured, name: C, public: true}\n", "apply -f -").want(exitConflict, "", "configuration")
	s.run("staticClients: []\n", "apply -f -").want(exitRefused, "", "has no clients, users or connectors")
	s.run("", "apply -f /none").want(exitRefused, "", "open /none: no such file or directory")
	if after := len(s.Changes()); after != before {
		t.Errorf("something was written: %q", s.Changes()[before:])
	}
	s.run("staticClients:\n- {id: a, name: A, public: true}\n", "client create -f -").want(0, "", "client a: created")
	s.run("staticClients:\n- {id: a, name: A, public: true}\n", "client create -f -").want(exitConflict, "", "client a: ", "exists")
}

// Somebody who is faster isn't overwritten.
func TestApplyNoticesOthers(t *testing.T) {
	t.Parallel()
	puts := 0
	var s *apiServer
	s = serveAPI(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && r.URL.RawQuery == "" {
			if puts++; puts == 2 {
				if err := s.Clients.Delete(admintest.As(t, admin.RoleAll), "app", ""); err != nil {
					t.Error(err)
				}
			}
		}
		return false
	}, admin.RoleClients)
	const file = "staticClients:\n- {id: app, name: App, public: true}\n"
	s.run(file, "apply -f -").want(0, "", "created")
	s.run(strings.Replace(file, "App", "Other", 1), "apply -f -").want(exitConflict, "", "412 Precondition Failed", "Of 1, 0 were written")
}

func TestExitStatuses(t *testing.T) {
	t.Parallel()
	s := serveAPI(t, nil, admin.RoleRead)
	s.run("", "client get").want(exitUsage, "", "ID is missing", "Usage: dex client get ID")
	s.run("", "client list --output xml").want(exitUsage, "", "--output must be json or yaml")
	s.run("", "client crate").want(exitUsage, "", `did you mean "create"?`)
	s.run("", "token revoke --user x").want(exitUsage, "", "client all")
	runAPI(t, "", "login").want(exitUsage, "", `did you mean "token"?`)
	s.run("", "client delete configured").want(exitForbidden, "")
	runAPI(t, "", "client", "list", "--server", s.url, "--token-file", s.write("other", "dexadmin_a_b")).want(exitForbidden, "", "--token-file")
	runAPI(t, "", "client", "list", "--server", "nonsense").want(exitUsage, "", "https://")
	runAPI(t, "", "client", "list", "--server", "unix:///none/such").want(exitUnreachable, "", "unix:///none/such can't be asked")
	runAPI(t, "", "client", "list", "--server", s.url, "--token", "x").want(exitUsage, "", "unknown flag: --token")
}

// Shells put proposals into the command line as they are, and terminals do what they are sent.
func TestNamesThatWouldDoSomething(t *testing.T) {
	t.Parallel()
	s := serveAPI(t, nil, admin.RoleAll)
	for _, id := range []string{"evil$(reboot)", "evil;reboot", "evil\n:0", "evil`x`", "evil'", "evil ok", "evil\tx", "evil@a.test", "evil/a:b=c+d"} {
		if _, err := s.Clients.Create(admintest.As(t, admin.RoleAll), client.Client{ID: id, Name: "a\u009b31m\u202e", Public: true}); err != nil {
			t.Error(err)
		}
	}
	o := runAPI(t, "", "__complete", "client", "get", "--server", s.url, "--token-file", s.token, "evil").want(0, "*")
	if !strings.HasPrefix(o.stdout, "evil/a:b=c+d\nevil@a.test\n:4\n") {
		t.Errorf("got %q", o.stdout)
	}
	for format, never := range map[string]string{"json": "\u009b\u202e", "yaml": "\u009b"} {
		shown := s.run("", "client get evil@a.test -o "+format).want(0, "*")
		if strings.ContainsAny(shown.stdout, never) || !strings.Contains(shown.stdout, "31m") {
			t.Errorf("%s: got %q", format, shown.stdout)
		}
	}
}

// A printed list is a file for apply, on another's machine and with another's rights: texts in it stand for themselves.
func TestPrintedListsNameNoFiles(t *testing.T) {
	t.Parallel()
	s := serveAPI(t, nil, admin.RoleAll)
	ctx := admintest.As(t, admin.RoleAll)
	file := s.write("private", "unspeakable")
	name := "a ${file:" + file + "} ${env:HOME} ${text:b} $HOME ${file:"
	if _, err := s.Clients.Create(ctx, client.Client{ID: "a", Name: name, Public: true}); err != nil {
		t.Fatal(err)
	}
	settings, err := json.Marshal(map[string]string{"username": name, "password": "p"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Connectors.Create(ctx, federation.Definition{ID: "a", Type: "mockPassword", Name: name, Settings: settings}); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"client", "connector"} {
		list := s.run("", kind+" list -o yaml").want(0, "*").stdout
		s.run("", kind+" apply --dry-run -f "+s.write(kind+".yaml", list)).want(0, "", kind+" a: unchanged")
		s.run("", kind+" apply -f "+s.write(kind+".yaml", list)).want(0, "", kind+" a: unchanged")
	}
	if c, err := s.Clients.Get(ctx, "a"); err != nil || c.Value.Name != name {
		t.Errorf("the client is %+v, %v", c.Value, err)
	}
	if c, err := s.Connectors.GetWithSecrets(ctx, "a"); err != nil || c.Value.Name != name || string(c.Value.Settings) == "" ||
		strings.Contains(string(c.Value.Settings), "unspeakable") {
		t.Errorf("the connector is %s, %v", c.Value.Settings, err)
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	s := serveAPI(t, nil, admin.RoleRead)
	args := []string{"client", "get", "--server", s.url, "--token-file", s.token, "conf"}
	if o := runAPI(t, "", append([]string{"__complete"}, args...)...).want(0, "*"); !strings.HasPrefix(o.stdout, "configured\n:4\n") {
		t.Errorf("got %q", o.stdout)
	}
	args[3] = "unix:///none/such"
	if o := runAPI(t, "", append([]string{"__complete"}, args...)...).want(0, "*"); !strings.HasPrefix(o.stdout, ":4\n") {
		t.Errorf("got %q", o.stdout)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if o := runAPI(t, "", "completion", shell); o.status != 0 {
			t.Errorf("%s: %s", shell, o.stderr)
		}
	}
}

func TestTheServerFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := serveAPI(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/configuration") {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"file":"dex.yaml","current":false,"problems":[{"line":3,"message":"no"}]}`))
		return true
	}, admin.RoleAll)
	if keys := s.run("", "key list").want(0, "*"); !strings.HasPrefix(keys.stdout, "ID  ALGORITHM  STATE") || !strings.Contains(keys.stdout, "\nk1  RS256") {
		t.Errorf("got %s", keys.stdout)
	}
	s.run("", "key rotate").want(0, "", "dex key list shows when")
	s.run("", "key rotate --now").want(0, "", "no longer")
	s.run("", "key rotate --dry-run").want(0, "", "nothing was changed")
	s.run("", "config status").want(exitRefused, "file: dex.yaml\ncurrent: false\nproblems:\n- line: 3\n  message: \"no\"\n", "was refused")
	s.run("", "config reload").want(0, "*")
	s.run("", "token list --user-id u-1 --connector local").want(0, "ID  CLIENT  CREATED  LAST USED  EXPIRES\n")
	s.run("", "token revoke --user-id u-1 --connector local --all").want(0, "", "logins that were ended: 0")
	s.run("", "token revoke --user-id u-1 --connector local --all --dry-run").want(0, "", "would be ended: 0")

	made := s.run("", "admin token create --name other --role read --expires 1h").want(0, "*", " of other, until ")
	id := strings.Split(made.stdout, "_")[1]
	if list := s.run("", "admin token list").want(0, "*"); !strings.Contains(list.stdout, id+"  other  read ") || strings.Contains(list.stdout, made.stdout[len(made.stdout)-10:]) {
		t.Errorf("got %s", list.stdout)
	}
	s.run("", "admin token revoke "+id).want(0, "")
	s.run("", "admin token revoke "+id).want(exitNotFound, "")
	s.run("", "admin token create --name x --role boss").want(exitRefused, "", `"boss" is not one of`)
	s.run("", "admin token list --config x").want(exitUsage, "", "not both")
}
