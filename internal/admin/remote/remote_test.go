package remote_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dex/internal/admin/remote"
	"dex/internal/config"
)

const token = "dexadmin_id_unspeakable"

func environment(values map[string]string) config.Environment {
	return func(name string) (string, bool) { value, ok := values[name]; return value, ok }
}

func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return name
}

func TestFlagsGoBeforeTheEnvironmentAndThatBeforeTheFile(t *testing.T) {
	t.Parallel()
	name := write(t, "server: https://file\nca: ca.crt\ntoken: "+token+"\n", 0o600)
	ca := filepath.Join(filepath.Dir(name), "ca.crt")
	for _, c := range []struct {
		flags remote.Settings
		env   map[string]string
		want  remote.Settings
	}{
		{want: remote.Settings{Server: "https://file", CA: ca, Token: token}},
		{env: map[string]string{"DEX_API_SERVER": "https://env"}, want: remote.Settings{Server: "https://env"}}, // the token is for another one
		{
			flags: remote.Settings{Server: "https://flag", TokenFile: "f"},
			env:   map[string]string{"DEX_API_SERVER": "https://env", "DEX_API_TOKEN": "t", "DEX_API_CERT": "c", "DEX_API_KEY": "k"},
			want:  remote.Settings{Server: "https://flag", TokenFile: "f", Cert: "c", Key: "k"},
		},
		{
			flags: remote.Settings{Server: "https://file"}, env: map[string]string{"DEX_API_CA": "/ca"},
			want: remote.Settings{Server: "https://file", CA: "/ca", Token: token},
		},
	} {
		env := map[string]string{"DEX_API_CONFIG": name}
		for k, v := range c.env {
			env[k] = v
		}
		if got, err := remote.Resolve(c.flags, environment(env)); err != nil || got != c.want {
			t.Errorf("%+v, %v: got %+v, %v", c.flags, c.env, got, err)
		}
	}
	home := t.TempDir()
	if _, err := remote.Resolve(remote.Settings{}, environment(map[string]string{"HOME": home})); err == nil ||
		!strings.Contains(err.Error(), "no server is given: use --server, or DEX_API_SERVER, or server: in "+home+"/.config/dex/config.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"readable token":   {"server: https://a\ntoken: " + token + "\n", 0o640, "chmod 600"},
		"writable":         {"server: https://a\n", 0o622, "chmod 600"},
		"unknown key":      {"servr: https://a\n", 0o600, `config.yaml:1:1: servr: unknown key; did you mean "server"?`},
		"no YAML":          {"server: [\n", 0o600, "not valid YAML"},
		"several":          {"server: https://a\n---\nca: b\n", 0o600, "more than one YAML document"},
		"no such file":     {"", 0, "no such file"},
		"wrong server":     {"server: dex.example.com\n", 0o600, "must be an address such as https://"},
		"user in address":  {"server: https://a:b@c\n", 0o600, "must be an address such as https://"},
		"relative socket":  {"server: unix://a\n", 0o600, "absolute path"},
		"clear text":       {"server: http://dex.example.com\ntoken: " + token + "\n", 0o600, "without TLS"},
		"two tokens":       {"server: https://a\ntoken: " + token + "\ntokenFile: b\n", 0o600, "leave one out"},
		"no token file":    {"server: https://a\ntokenFile: b\n", 0o600, "the token can't be read"},
		"no authority":     {"server: https://a\nca: config.yaml\n", 0o600, "no certificate in PEM"},
		"only certificate": {"server: https://a\ncert: b\n", 0o600, "--cert and --key"},
		"token with space": {"server: https://a\ntoken: a b\n", 0o600, "spaces"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "none")
			if c.text != "" {
				file = write(t, c.text, c.mode)
			}
			s, err := remote.Resolve(remote.Settings{}, environment(map[string]string{"DEX_API_CONFIG": file}))
			if err == nil {
				_, err = remote.New(s, time.Second)
			}
			if _, ok := errors.AsType[*remote.SettingsError](err); !ok || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), token) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// serve answers on a Unix socket and returns a client for it.
func serve(t *testing.T, h http.HandlerFunc) *remote.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	if err := server.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	c, err := remote.New(remote.Settings{Server: "unix://" + socket, Token: token}, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestACall(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() != "/api/v2/clients/a%2Fb%3F/%2E%2E" || r.URL.RawQuery != "dryRun=true" || r.Method != http.MethodPut ||
			r.Header.Get("Authorization") != "Bearer "+token || r.Header.Get("If-Match") != `"7"` || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %s %s %v", r.Method, r.URL, r.Header)
		}
		w.Header().Set("ETag", `"8"`)
		w.WriteHeader(http.StatusCreated)
	})
	answer, err := c.Do(t.Context(), remote.Call{
		Method: http.MethodPut, Path: []string{"clients", "a/b?", ".."}, Body: map[string]string{}, IfMatch: `"7"`, DryRun: true,
	})
	if err != nil || answer.ETag != `"8"` || answer.Status != http.StatusCreated {
		t.Errorf("got %+v, %v", answer, err)
	}
}

func TestWhatTheServerRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status     int
		kind, body string
		want       string
	}{
		"members": {
			422, "application/problem+json", `{"title":"t","detail":"not valid","errors":[{"member":"a[0]","detail":"is \u001b[31mred"}]}`,
			"not valid\n  a[0]: is \uFFFD[31mred\n(422 Unprocessable Entity from unix://",
		},
		"nobody":   {401, "application/problem+json", `{"detail":"who?"}`, "--token-file"},
		"redirect": {302, "text/html", "", "not from Dex"},
		"proxy":    {502, "text/html", "<h1>unspeakable</h1>", "not from Dex's management API"},
		"garbage":  {500, "application/problem+json", "{", "not from Dex's management API"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				w.Header().Set("Location", "/elsewhere")
				w.Header().Set("X-Request-Id", "r-1")
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			})
			_, err := s.Do(t.Context(), remote.Call{Method: http.MethodGet, Path: []string{"version"}})
			refused, ok := errors.AsType[*remote.Refused](err)
			if !ok || refused.Status != c.status || !strings.Contains(err.Error(), c.want) || !strings.HasSuffix(err.Error(), ", request r-1)") ||
				strings.Contains(err.Error(), "unspeakable") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	c, err := remote.New(remote.Settings{Server: "unix:///none/such"}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Do(t.Context(), remote.Call{Method: http.MethodGet, Path: []string{"version"}})
	if _, ok := errors.AsType[*remote.UnreachableError](err); !ok || !strings.Contains(err.Error(), "DEX_API_SERVER") {
		t.Errorf("got %v", err)
	}
}
