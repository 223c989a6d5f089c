package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v4"

	"dex/test/servers"
)

// kubelogin is the program that kubectl runs to sign people in: the real one where KUBELOGIN_BIN names it, else one that does the same.
var kubelogin = sync.OnceValues(func() (path string, err error) {
	if path := os.Getenv("KUBELOGIN_BIN"); path != "" {
		return path, nil
	}
	path = filepath.Join(filepath.Dir(binaries.dex), "kubectl-oidc_login")
	return path, goBuild(".", "CGO_ENABLED=0", "-o", path, "./kubelogin")
})

// A desk is somebody's computer, with kubectl, kubelogin, and a browser that shows what it is asked to.
type desk struct {
	*reader
	opened string // the file with the address that the browser was asked to show
}

// newDesk returns a computer that reaches servers by names and trusts only what it is told to.
func newDesk(t *testing.T, n *names, ca []byte) *desk {
	t.Helper()
	d := &desk{reader: newReader(t, t.TempDir(), "kubectl")}
	program, err := kubelogin()
	must(t, err)
	program, err = filepath.Abs(program)
	must(t, err)
	d.install(t, "kubectl-oidc_login", program)
	d.opened = filepath.Join(d.folder, "opened")
	browser := writeFile(t, d.bin, "xdg-open", "#!/bin/sh\necho \"$1\" >"+d.opened+".new && mv "+d.opened+".new "+d.opened+"\n")
	must(t, os.Chmod(browser, 0o700))
	writeFile(t, d.folder, "openid-ca.pem", string(ca))
	d.environment = append(append(d.environment, n.environment()...), "HOME="+d.folder, "KUBECONFIG="+filepath.Join(d.folder, "config"))
	return d
}

// A typed is what becomes of commands.
type typed struct {
	shown string
	err   error
}

// begin types commands that wait for a login.
func (d *desk) begin(t *testing.T, commands string) <-chan typed {
	t.Helper()
	_ = os.Remove(d.opened) // of an earlier login
	done := make(chan typed, 1)
	go func() {
		shown, err := d.try(t, commands)
		done <- typed{shown, err}
	}()
	return done
}

// asked waits until the browser is asked to show a page, and returns its address.
func (d *desk) asked(t *testing.T) string {
	t.Helper()
	var address string
	eventually(t, patience, "the browser is opened", func() bool {
		text, err := os.ReadFile(d.opened)
		address = strings.TrimSpace(string(text))
		return err == nil
	})
	return address
}

// A guest is the person at the desk, in the browser.
type guest struct {
	*visitor
	login, password string
}

// signIn follows kubelogin's own page to Dex, signs in at the local connector, and returns the authorization request and the last page.
func (g *guest) signIn(t *testing.T, address string) (request url.Values, last *page) {
	t.Helper()
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := stay.Get(address)
	must(t, err)
	_ = resp.Body.Close()
	to, err := resp.Location()
	must(t, err)
	request = to.Query()
	to.Path = strings.TrimSuffix(to.Path, "/auth") + "/auth/local"
	last, err = g.get(t.Context(), to.String())
	must(t, err)
	if strings.HasSuffix(last.url.Path, "/login") {
		last, err = g.enterPassword(t.Context(), last, g.login, g.password)
		must(t, err)
	}
	return request, last
}

// finish waits for the end of commands that must work.
func finish(t *testing.T, done <-chan typed) string {
	t.Helper()
	end := <-done
	if end.err != nil {
		t.Fatalf("%v\n%s", end.err, end.shown)
	}
	return end.shown
}

// testKubelogin uses kubectl as the guide says, and kubelogin in each of its ways.
func testKubelogin(t *testing.T, s *clusterSite, d *dex) {
	k := newDesk(t, s.names, s.authority.PEM)
	k.do(t, "kubectl config set-cluster here --server="+s.api.URL+" --certificate-authority="+s.api.CAFile+
		"; kubectl config set-context here --cluster=here; kubectl config use-context here")
	jane := &guest{newVisitor(d.transport), "jane@example.com", adminPassword}
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	setting := strings.TrimSpace(blockWith(t, loginGuide, "sh", "k8s.io/v1 "))
	k.do(t, setting+" --exec-arg=--listen-address="+address)

	t.Run("S1-89 S1-91: a public client", func(t *testing.T) {
		done := k.begin(t, blockWith(t, loginGuide, "sh", "kubectl --user=oidc get nodes"))
		request, last := jane.signIn(t, k.asked(t))
		if !strings.Contains(last.body, "Authenticated") {
			t.Errorf("the browser ends with status %d at %s", last.status, last.url)
		}
		if shown := finish(t, done); !strings.Contains(shown, "No resources found") {
			t.Errorf("kubectl says %s", shown)
		}
		wantRequest(t, request, port)
	})
	t.Run("S1-93: the context's user, and the token from the cache", func(t *testing.T) {
		_ = os.Remove(k.opened)
		k.do(t, blockWith(t, loginGuide, "sh", "set-context"))
		if _, err := os.Stat(k.opened); err == nil {
			t.Error("the browser was opened again")
		}
		if shown := k.do(t, strings.TrimSuffix(blockWith(t, loginGuide, "sh", "whoami"), "\n")+" -o json"); !strings.Contains(shown, `"jane@example.com"`) ||
			!strings.Contains(shown, `"developers"`) {
			t.Errorf("kubectl says %s", shown)
		}
	})
	t.Run("S1-89: refreshed, and signed in again once the refresh token is no good", func(t *testing.T) {
		testKubeloginRefresh(t, k, jane, setting+" --exec-arg=--listen-address="+address+" --exec-arg=--force-refresh")
	})
	get := "kubectl oidc-login get-token --oidc-issuer-url=" + d.issuer + " --certificate-authority=openid-ca.pem --oidc-extra-scope=email" +
		" --token-cache-dir=$(mktemp -d) "
	t.Run("S1-92: a secret, and another port", func(t *testing.T) { testKubeloginSecret(t, k, jane, get) })
	t.Run("S2-11: device code", func(t *testing.T) {
		done := k.begin(t, get+"--grant-type=device-code --oidc-client-id=kubernetes")
		jane.approveDevice(t, d, k.asked(t))
		wantCredential(t, finish(t, done))
	})
	t.Run("S2-11: password", func(t *testing.T) {
		wantCredential(t, k.do(t, get+"--oidc-client-id=kubernetes --username=jane@example.com --password="+adminPassword))
	})
	t.Run("S1-92: what doesn't fit", func(t *testing.T) { testKubeloginMistakes(t, k, jane, get) })
}

// wantRequest checks the parameters of the authorization request: the ones that the program is known to send, and no others.
func wantRequest(t *testing.T, got url.Values, port string) {
	t.Helper()
	want := map[string]string{
		"response_type": "code", "client_id": "kubernetes", "redirect_uri": "http://localhost:" + port, "access_type": "offline",
		"code_challenge_method": "S256", "scope": "profile email groups offline_access openid",
	}
	for name := range got {
		if slices.Contains([]string{"state", "nonce", "code_challenge"}, name) {
			if len(got.Get(name)) != 43 { // 256 bits
				t.Errorf("%s is %q", name, got.Get(name))
			}
			continue
		}
		if got.Get(name) != want[name] {
			t.Errorf("the request has %s=%s, want %q", name, got.Get(name), want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("the request lacks %v", want)
	}
}

// wantCredential checks what kubelogin tells kubectl, for jane.
func wantCredential(t *testing.T, shown string) {
	t.Helper()
	var credential struct {
		APIVersion, Kind string
		Status           struct{ ExpirationTimestamp, Token string }
	}
	if err := json.Unmarshal([]byte(shown[max(strings.Index(shown, "{"), 0):]), &credential); err != nil {
		t.Fatalf("%v in %s", err, shown)
	}
	if credential.Kind != "ExecCredential" || credential.APIVersion != "client.authentication.k8s.io/v1beta1" || credential.Status.ExpirationTimestamp == "" {
		t.Errorf("the credential is %s", shown)
	}
	wantPart(t, payloadOf(t, credential.Status.Token), map[string]any{"email": "jane@example.com"})
}

// testKubeloginRefresh has kubelogin use its refresh token, and then one that is no good.
func testKubeloginRefresh(t *testing.T, k *desk, jane *guest, setting string) {
	k.do(t, setting)
	files, err := filepath.Glob(filepath.Join(k.folder, ".kube/cache/oidc-login/*"))
	must(t, err)
	i := slices.IndexFunc(files, func(name string) bool { return !strings.Contains(filepath.Base(name), ".") })
	if i < 0 {
		t.Fatalf("the cache has %q", files)
	}
	before, err := os.ReadFile(files[i])
	must(t, err)
	_ = os.Remove(k.opened)
	k.do(t, "kubectl get nodes")
	after, err := os.ReadFile(files[i])
	must(t, err)
	if _, err := os.Stat(k.opened); err == nil || string(after) == string(before) {
		t.Error("it was not refreshed without the browser")
	}
	var kept map[string]any
	must(t, json.Unmarshal(after, &kept))
	kept["refresh_token"] = "no-good"
	text, err := json.Marshal(kept)
	must(t, err)
	must(t, os.WriteFile(files[i], text, 0o600))
	done := k.begin(t, "kubectl get nodes")
	jane.signIn(t, k.asked(t))
	finish(t, done)
}

// testKubeloginSecret signs in as a client with a secret, where the first port is taken.
func testKubeloginSecret(t *testing.T, k *desk, jane *guest, get string) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = taken.Close() }()
	address := freeAddress(t)
	both := "--oidc-client-id=kubectl --oidc-client-secret=of-kubectl --listen-address=" + taken.Addr().String() + " --listen-address=" + address
	done := k.begin(t, get+both)
	request, last := jane.signIn(t, k.asked(t))
	_, port, _ := net.SplitHostPort(address)
	if request.Get("redirect_uri") != "http://localhost:"+port {
		t.Errorf("it goes back to %s", request.Get("redirect_uri"))
	}
	// With a secret, addresses are compared letter by letter.
	if last.status != http.StatusBadRequest || !strings.Contains(last.body, "wants you sent back to an address that is not registered for it") {
		t.Errorf("status %d at %s", last.status, last.url)
	}
	_, err = jane.get(t.Context(), "http://localhost:"+port+"/?error=access_denied")
	must(t, err)
	if end := <-done; end.err == nil || !strings.Contains(end.shown, "access_denied") {
		t.Errorf("it ends with %s", end.shown)
	}
}

// approveDevice signs in on the page for devices, whose code is in its address.
func (g *guest) approveDevice(t *testing.T, d *dex, address string) {
	t.Helper()
	form := url.Values{"user_code": {mustParse(t, address).Query().Get("user_code")}, "decision": {"continue"}}
	p, err := g.post(t.Context(), d.endpoint("/device/auth/verify_code"), form)
	must(t, err)
	p, err = g.get(t.Context(), linkTo(t, d, p.body, "/auth/local?"))
	must(t, err)
	p, err = g.enterPassword(t.Context(), p, g.login, g.password)
	must(t, err)
	wantPage(t, p, http.StatusOK, "Device connected")
}

// testKubeloginMistakes gives kubelogin what doesn't fit to Dex, one thing at a time.
func testKubeloginMistakes(t *testing.T, k *desk, jane *guest, get string) {
	other, err := servers.NewAuthority()
	must(t, err)
	writeFile(t, k.folder, "other-ca.pem", string(other.PEM))
	for name, c := range map[string]struct{ from, to, says string }{
		"another issuer":    {"/dex ", "/other ", "404"},
		"another authority": {"openid-ca.pem", "other-ca.pem", "certificate signed by unknown authority"},
		"another port":      {":32000", ":32001", "Bad Gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			shown, err := k.try(t, replaced(t, get, c.from, c.to)+"--oidc-client-id=kubernetes")
			if err == nil || !strings.Contains(shown, c.says) {
				t.Errorf("it says %s (%v), want %s", shown, err, c.says)
			}
		})
	}
	t.Run("another client", func(t *testing.T) {
		done := k.begin(t, get+"--oidc-client-id=other --authentication-timeout-sec=3 --listen-address="+freeAddress(t))
		_, last := jane.signIn(t, k.asked(t))
		if last.status != http.StatusBadRequest || !strings.Contains(last.body, "is not registered with this service") {
			t.Errorf("status %d at %s", last.status, last.url)
		}
		if end := <-done; end.err == nil {
			t.Errorf("it ends with %s", end.shown)
		}
	})
	t.Run("another secret", func(t *testing.T) {
		shown, err := k.try(t, get+"--oidc-client-id=kubectl --oidc-client-secret=other --username=jane@example.com --password="+adminPassword)
		if err == nil || !strings.Contains(shown, "invalid_client") {
			t.Errorf("it says %s (%v)", shown, err)
		}
	})
}

// execUser is a user entry of a kubeconfig.
type execUser struct {
	Name string
	User struct {
		Exec struct {
			APIVersion      string `yaml:"apiVersion"`
			Command         string
			Args            []string
			InteractiveMode string `yaml:"interactiveMode"`
		}
	}
}

// execUsers returns the users in a kubeconfig.
func execUsers(t *testing.T, file string) []execUser {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	var config struct{ Users []execUser }
	must(t, yaml.Unmarshal(text, &config))
	return config.Users
}
