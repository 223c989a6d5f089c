package e2e

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A container runs programs in a copy of the image's files, as an engine does with a read-only root file system: as the image's
// user, without any capability, and with /var/dex as a volume.
type container struct {
	*ociImage
	root   string
	volume string
}

func newContainer(t *testing.T) *container {
	t.Helper()
	c := &container{ociImage: readImage(t), root: filepath.Join(t.TempDir(), "root"), volume: t.TempDir()}
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", c.folder, c.root).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Mkdir(filepath.Join(c.root, "proc"), 0o555); err != nil { // engines mount it
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(c.volume, 1001, 1001); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// put adds a file to the image, as a derived image would.
func (c *container) put(t *testing.T, name, text string) {
	t.Helper()
	whole := filepath.Join(c.root, name)
	if err := os.MkdirAll(filepath.Dir(whole), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(whole, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// inside is the command that runs a program below the root, in namespaces that are there already.
func (c *container) inside(environ []string, args ...string) []string {
	whole := append([]string{"/usr/bin/env", "-i"}, c.config.Config.Env...)
	whole = append(append(whole, environ...), "/usr/bin/setpriv", "--no-new-privs", "/usr/sbin/chroot")
	if os.Geteuid() == 0 {
		whole = append(whole, "--userspec="+c.config.Config.User, "--groups=")
	}
	return append(append(whole, c.root), args...)
}

// command returns the command of a container. Without a network of its own it shares this machine's.
func (c *container) command(ownNetwork bool, environ []string, args ...string) *exec.Cmd {
	const script = `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && mount --bind "$1" "$0/var/dex" && mount --rbind /proc "$0/proc" || exit 125
shift; exec "$@"`
	whole := []string{"--mount"}
	if os.Geteuid() != 0 {
		whole = append(whole, "--user", "--map-root-user")
	}
	prepare := script
	if ownNetwork {
		whole = append(whole, "--net")
		prepare = "ip link set lo up && " + script
	}
	whole = append(whole, "sh", "-c", prepare, c.root, c.volume)
	cmd := exec.Command("unshare", append(whole, c.inside(environ, args...)...)...)
	cmd.Env = cleanEnvironment()
	return cmd
}

// entry is the image's entry point with its command, or another one.
func (c *container) entry(command ...string) []string {
	if command == nil {
		command = c.config.Config.Cmd
	}
	return append(append([]string{}, c.config.Config.Entrypoint...), command...)
}

// run runs a command in the container to its end.
func (c *container) run(t *testing.T, environ []string, args ...string) outcome {
	t.Helper()
	return finished(t, c.command(false, environ, args...))
}

func finished(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if _, exited := errors.AsType[*exec.ExitError](cmd.Run()); cmd.ProcessState == nil && !exited {
		t.Fatalf("%s can't be run", cmd)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// TestImageRuns runs the image's programs.
func TestImageRuns(t *testing.T) {
	t.Parallel()
	t.Run("S2-15: as it is", testImageAsItIs)
	t.Run("S2-15: configured by variables", testImageVariables)
	t.Run("S2-15: configured by a template", testImageTemplate)
	t.Run("S1-78: pages of one's own", testImagePages)
	t.Run("entry point", testEntryPoint)
}

// Without any setting the server starts, answers its health check, writes to its volume only, and stops with 0.
func testImageAsItIs(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	p := startCommand(t, "dex", c.command(true, nil, c.entry()...))
	check := []string{"docker-entrypoint", "dex", "healthcheck", "/etc/dex/config.docker.yaml"}
	c.waitWell(t, p, nil, check)
	status, err := readProc(p.cmd.Process.Pid, "status")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Uid:\t1001\t1001\t1001\t1001"} {
		if !strings.Contains(status, want) && (os.Geteuid() == 0 || strings.HasPrefix(want, "NoNew")) {
			t.Errorf("the process doesn't have %q:\n%s", want, status)
		}
	}
	if _, err := os.Stat(filepath.Join(c.volume, "dex.db")); err != nil {
		t.Error(err)
	}
	if out, err := exec.CommandContext(t.Context(), "diff", "-rq", "-x", "proc", c.folder, c.root).CombinedOutput(); err != nil {
		t.Errorf("files have changed: %s", out)
	}
	p.signal(t, syscall.SIGSTOP)
	if o := c.join(t, p, nil, append(check, "--timeout=100ms")...); o.status != 1 || !strings.Contains(o.stderr, "doesn't answer") {
		t.Errorf("a server that hangs: %+v", o)
	}
	p.signal(t, syscall.SIGCONT)
	p.stop(t)
}

// variables of the image's configuration: one client, one user, everything else that it has.
func variables(t *testing.T, web, telemetry string) []string {
	t.Helper()
	return []string{
		"DEX_ISSUER=http://" + web + "/dex", "DEX_WEB_HTTP=" + web, "DEX_TELEMETRY_HTTP=" + telemetry,
		"DEX_STORAGE_SQLITE3_CONFIG_FILE=/var/dex/other.db",
		"DEX_EXPIRY_DEVICE_REQUESTS=6m", "DEX_EXPIRY_ID_TOKENS=1h", "DEX_EXPIRY_AUTH_REQUESTS=2h", "DEX_EXPIRY_SIGNING_KEYS=3h",
		"DEX_SIGNER_LOCAL_ALGORITHM=ES256", "DEX_LOG_LEVEL=debug", "DEX_LOG_FORMAT=json", "DEX_OAUTH2_RESPONSE_TYPES=[code, code id_token]",
		"DEX_OAUTH2_SKIP_APPROVAL_SCREEN=true", "DEX_OAUTH2_ALWAYS_SHOW_LOGIN_SCREEN=true", "DEX_OAUTH2_PASSWORD_CONNECTOR=local",
		"DEX_ENABLE_PASSWORD_DB=true", "DEX_CONNECTORS_ENABLE_MOCK=true",
		"DEX_USER_EMAIL=" + adminEmail, "DEX_USER_PASSWORD_HASH=" + adminHash, "DEX_USER_NAME=admin",
		"DEX_CLIENT_ID=" + clientID, "DEX_CLIENT_NAME=Example: App", "DEX_CLIENT_SECRET_FILE=/run/secrets/client",
		"DEX_CLIENT_REDIRECT_URIS=" + callbackURL + ", https://app.example.com/callback",
		"TZ=Asia/Tokyo",
	}
}

func testImageVariables(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.put(t, "/run/secrets/client", clientSecret+"\n")
	web, telemetry := freeAddress(t), freeAddress(t)
	transport := newTransport(nil)
	d := &dex{
		process:       startCommand(t, "dex", c.command(false, variables(t, web, telemetry), c.entry()...)),
		configuration: &configuration{issuer: "http://" + web + "/dex", telemetry: "http://" + telemetry},
		transport:     transport,
	}
	t.Cleanup(transport.CloseIdleConnections)
	d.waitReady(t)
	d.mustLogin(t, "mock")
	if claims := d.idClaims(t, d.mustLogin(t, "local").IDToken); claims["email"] != adminEmail || claims["name"] != "admin" {
		t.Errorf("claims %v", claims)
	}
	_, discovery := d.fetch(t, d.endpoint("/.well-known/openid-configuration"))
	for _, want := range []string{`"code id_token"`, `"ES256"`, `"password"`} {
		if !strings.Contains(discovery, want) {
			t.Errorf("no %s in the metadata", want)
		}
	}
	if _, err := os.Stat(filepath.Join(c.volume, "other.db")); err != nil {
		t.Error(err)
	}
	health := func(path string, more ...string) {
		t.Helper()
		o := c.run(t, variables(t, web, telemetry), c.entry(append([]string{"dex", "healthcheck", "/etc/dex/config.docker.yaml"}, more...)...)...)
		if o.status != 0 || !strings.Contains(o.stdout, path+" answers 200 OK") {
			t.Errorf("health check: %+v", o)
		}
	}
	health("http://" + telemetry + "/healthz/ready?type=short")

	refused := func(variable, want string) {
		t.Helper()
		o := c.run(t, append(variables(t, web, telemetry), variable), c.entry("dex", "check", "/etc/dex/config.docker.yaml")...)
		if !strings.Contains(o.stdout, want) {
			t.Errorf("%s: %+v", variable, o)
		}
	}
	refused("DEX_CONNECTORS_ENABLE_MOCK=perhaps", "DEX_CONNECTORS_ENABLE_MOCK must be true or false")
	refused("DEX_ISSUER=https://id.example.com", "signs everybody in who presses its button")
	refused("DEX_WEB_HTTPS=0.0.0.0:5554", "DEX_WEB_TLS_CERT must name")
	refused("DEX_OAUTH2_SKIP_APPROVAL_SCREEN=perhaps", "oauth2.skipApprovalScreen: must be true or false")
	refused("DEX_CLIENT_SECRET_FILE=", "DEX_CLIENT_SECRET must be set")
	refused("DEX_USER_PASSWORD_HASH=", "DEX_USER_PASSWORD_HASH must be what")
	for _, off := range []string{"false", "no", "0", "off", ""} {
		refused("DEX_CONNECTORS_ENABLE_MOCK="+off, "The configuration can be used.")
	}

	d.stop(t)
	log := d.log.String()
	for _, want := range []string{`+09:00","level":"DEBUG"`, `+09:00","level":"INFO"`} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in the log:\n%s", want, log)
		}
	}
	if strings.Contains(log, "signs everybody in") {
		t.Error("the connector for trials is warned of with an issuer on this machine")
	}
}

// A template is rendered again at each reload, and no file is written.
func testImageTemplate(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	web := freeAddress(t)
	const template = `issuer: http://{{ .Env.WEB }}/dex
web: {http: "{{ .Env.WEB }}"}
storage: {type: memory}
enablePasswordDB: true
frontend: {issuer: {{ file.Read "/etc/dex/name" | strings.TrimSpace | toJSON }}}
`
	c.put(t, "/etc/dex/own.yml", template)
	c.put(t, "/etc/dex/name", "First Name\n")
	transport := newTransport(nil)
	d := &dex{
		process:       startCommand(t, "dex", c.command(false, []string{"WEB=" + web}, c.entry("dex", "serve", "own.yml")...)),
		configuration: &configuration{issuer: "http://" + web + "/dex"},
		transport:     transport,
	}
	t.Cleanup(transport.CloseIdleConnections)
	d.waitReady(t)
	named := func(name string) {
		t.Helper()
		if _, page := d.fetch(t, d.endpoint("/device")); !strings.Contains(page, name) {
			t.Errorf("the page doesn't have the name %s", name)
		}
	}
	named("First Name")
	hangup := func(line string) {
		t.Helper()
		d.signal(t, syscall.SIGHUP)
		eventually(t, patience, "the log says "+line, func() bool { return strings.Contains(d.log.String(), line) })
	}
	c.put(t, "/etc/dex/name", "Second Name\n")
	hangup(`msg="configuration applied"`)
	named("Second Name")
	c.put(t, "/etc/dex/own.yml", template+"expiry: {idTokens: {{ .Env.NOTHING }}}\n")
	hangup("/etc/dex/own.yml:6:27: the environment variable NOTHING is not set")
	named("Second Name")
	d.stop(t)
	if left, err := os.ReadDir(c.volume); err != nil || len(left) > 0 {
		t.Errorf("%v are left, error %v", left, err)
	}
}

// The seed's recipe: FROM this image, COPY web /srv/dex/web, ENV DEX_FRONTEND_DIR=/srv/dex/web.
func testImagePages(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.put(t, "/srv/dex/web/templates/device.html", `{{ template "header.html" . }}<p>Pages of our own</p>{{ template "footer.html" . }}`)
	c.put(t, "/srv/dex/web/static/own.css", "p { color: green }")
	web, telemetry := freeAddress(t), freeAddress(t)
	environ := append(variables(t, web, telemetry), "DEX_CLIENT_SECRET=s", "DEX_FRONTEND_DIR=/srv/dex/web")
	transport := newTransport(nil)
	d := &dex{
		process:       startCommand(t, "dex", c.command(false, environ, c.entry()...)),
		configuration: &configuration{issuer: "http://" + web + "/dex"},
		transport:     transport,
	}
	t.Cleanup(transport.CloseIdleConnections)
	d.waitReady(t)
	for path, want := range map[string]string{"/device": "Pages of our own", "/static/own.css": "color: green", "/static/main.css": "dex"} {
		if status, text := d.fetch(t, d.endpoint(path)); status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %d\n%s", path, status, text)
		}
	}
}

func testEntryPoint(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	host, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	const configuration = "issuer: http://127.0.0.1/dex\nweb: {http: 127.0.0.1:5556}\nstorage: {type: memory}\nenablePasswordDB: true\n"
	c.put(t, "/etc/dex/literal.yaml", configuration+"frontend: {extra: {a: \"{{ literal\"}}\n")
	c.put(t, "/etc/dex/plain.json", configuration+"frontend: {extra: {a: \"{{ literal }}\"}}\n")
	c.put(t, "/other.tmpl", configuration+"frontend: {extra: {a: {{ env.Getenv \"A\" \"b\" }}}}\n")
	for _, entry := range []struct {
		args, environ  []string
		status         int
		stdout, stderr string // parts
	}{
		{args: []string{}, status: 1, stderr: "no program is given"},
		{args: []string{"dex"}, status: 2, stdout: "serve"},
		{args: []string{"dex", "version"}, stdout: "Dex Version: " + releaseVersion},
		{args: []string{"/usr/local/bin/dex", "version"}, stdout: "Dex Version: " + releaseVersion},
		{args: []string{"dex", "--help"}, stdout: "healthcheck"},
		{args: []string{"dex", "serv"}, status: 2, stderr: `did you mean "serve"?`},
		{args: []string{"dex", "serve"}, status: 2, stderr: "FILE is missing"},
		{args: []string{"serve", "/etc/dex/config.docker.yaml"}, status: 127, stderr: "commands of dex begin with dex: dex serve /etc/dex/config.docker.yaml"},
		{args: []string{"sh", "-c", "true"}, status: 127, stderr: "not found"},
		{args: []string{"/bin/sh"}, status: 127, stderr: "no such file"},
		{args: []string{"/etc/passwd"}, status: 126, stderr: "permission denied"},
		{args: []string{"docker-entrypoint", "dex", "version"}, stdout: "Dex Version"},
		{args: []string{"dex", "check", "/etc/dex/config.docker.yaml"}, stdout: "can be used"},
		{args: []string{"dex", "check", "config.docker.yaml"}, stdout: "can be used"}, // names without a folder mean /etc/dex, as upstream
		{args: []string{"dex", "check", "other.tmpl"}, stdout: "can be used"},
		{args: []string{"dex", "check", "plain.json"}, status: 2, stderr: "no such file"},
		{args: []string{"dex", "check", "/etc/dex/plain.json"}, stdout: "can be used"}, // JSON was never rendered
		{args: []string{"dex", "check", "literal.yaml"}, status: 2, stdout: "literal.yaml:5:"},
		{args: []string{"dex", "check", "literal.yaml"}, environ: []string{"DEX_CONFIG_TEMPLATE=false"}, stdout: "can be used"},
		{args: []string{"dex", "healthcheck", "config.docker.yaml"}, environ: []string{"DEX_WEB_HTTP=" + net.JoinHostPort(host, port)}, status: 1, stderr: "doesn't answer"},
	} {
		o := c.run(t, entry.environ, c.entry(entry.args...)...)
		if o.status != entry.status || !strings.Contains(o.stdout, entry.stdout) || !strings.Contains(o.stderr, entry.stderr) {
			t.Errorf("%q %v:\n%+v\nwant %+v", entry.args, entry.environ, o, entry)
		}
	}
	// Whoever goes round the entry point gets no templates.
	if o := c.run(t, nil, "/usr/local/bin/dex", "check", "/etc/dex/literal.yaml"); o.status != 0 {
		t.Errorf("without the entry point: %+v", o)
	}
}
