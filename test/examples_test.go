package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// copyExamples returns a folder like the repository's root after `make build`, as far as the sample configurations need it.
func copyExamples(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range []string{"config-ad-kubelogin.yaml", "ldap/config-ldap.yaml", "ldap/config-ldap.ldif", "ldap/run.sh"} {
		content, err := os.ReadFile(filepath.Join(repository, "examples", name))
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(root, "examples", name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binaries.dex, filepath.Join(root, "bin/dex")); err != nil {
		t.Fatal(err)
	}
	return root
}

// edit replaces texts in a sample, as its comments tell the reader to. Each must be there once.
func edit(t *testing.T, file string, pairs ...string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(text, pairs[i]) != 1 {
			t.Fatalf("%s has %q not once", file, pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startIn starts a program from a folder.
func startIn(t *testing.T, dir string, program string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	return startCommand(t, filepath.Base(program), cmd)
}

// startDirectory runs the LDAP example's script on two free ports, and returns the one for LDAPS.
func startDirectory(t *testing.T, root string) (ldaps string) {
	t.Helper()
	address, tlsAddress := freeAddress(t), freeAddress(t)
	port := func(address string) string {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	cmd := exec.Command("examples/ldap/run.sh")
	cmd.Dir = root
	cmd.Env = append(cleanEnvironment(), "LDAP_PORT="+port(address), "LDAPS_PORT="+port(tlsAddress))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	t.Cleanup(func() { // runs after the script was stopped: what it leaves, if anything
		if cmd.Process != nil && syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) == nil {
			t.Error("the script has left a server behind")
		}
	})
	p := startCommand(t, "run.sh", cmd)
	eventually(t, patience, "the directory listens", func() bool {
		if !p.running() {
			t.Fatalf("it ended:\n%s", p.log)
		}
		return answersOn(address) && answersOn(tlsAddress)
	})
	return port(tlsAddress)
}

func answersOn(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// TestLDAPExample follows the LDAP example's README. It uses the sample's ports, so it must not run in parallel.
func TestLDAPExample(t *testing.T) {
	requireFreePorts(t)
	root := copyExamples(t)
	ldaps := startDirectory(t, root)
	edit(t, filepath.Join(root, "examples/ldap/config-ldap.yaml"), "\n    host: localhost:636\n", "\n    host: localhost:"+ldaps+"\n")
	d := &dex{
		process:       startIn(t, root, "./bin/dex", "serve", "examples/ldap/config-ldap.yaml"),
		configuration: &configuration{issuer: "http://127.0.0.1:5556/dex"}, transport: newTransport(nil),
	}
	d.waitReady(t)
	for _, person := range []struct {
		login, password, name string
		groups                []string
	}{
		{"janedoe@example.com", "foo", "jane", []string{"admins", "developers"}},
		{"johndoe@example.com", "bar", "john", []string{"admins"}},
	} {
		t.Run(person.name, func(t *testing.T) {
			v := newVisitor(d.transport)
			form, err := v.get(t.Context(), d.authURL("/auth", url.Values{"scope": {"openid email profile groups"}}))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(form.body, "Email Address") {
				t.Errorf("the form does not ask for an e-mail address: %d %s", form.status, form.url)
			}
			if p, err := v.enterPassword(t.Context(), form, person.login, "wrong"); err != nil || p.status != http.StatusUnauthorized {
				t.Errorf("a wrong password: %+v, error %v", p, err)
			}
			consent, err := v.enterPassword(t.Context(), form, person.login, person.password)
			if err != nil {
				t.Fatal(err)
			}
			done, err := v.answerConsent(t.Context(), consent, "approve")
			if err != nil {
				t.Fatal(err)
			}
			tokens, err := d.redeem(t.Context(), done.answer.Get("code"))
			if err != nil {
				t.Fatal(err)
			}
			got := personOf(t, tokens.IDToken)
			if got.Email != person.login || got.Name != person.name || !slices.Equal(slices.Sorted(slices.Values(got.Groups)), person.groups) {
				t.Errorf("the application is told %+v", got)
			}
		})
	}
}

// A person is the user of a token.
type person struct {
	Name, Email string
	Groups      []string
}

func personOf(t *testing.T, token string) (p person) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// commandsOf returns the commands in a sample's comments, block by block.
func commandsOf(t *testing.T, file string) (blocks []string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(content)) {
		command, ok := strings.CutPrefix(line, "#   ")
		switch {
		case !ok:
		case inside:
			blocks[len(blocks)-1] += command
		default:
			blocks = append(blocks, command)
		}
		inside = ok
	}
	return blocks
}

// TestActiveDirectoryExample makes certificates as the sample says, and starts it from the root of the repository. Another test
// signs users in with a real directory. It uses the sample's ports, so it must not run in parallel.
func TestActiveDirectoryExample(t *testing.T) {
	const address = "127.0.0.1:32000"
	if answersOn(address) {
		t.Fatalf("%s, which the sample listens on, must be free", address)
	}
	sample := filepath.Join(repository, "examples/config-ad-kubelogin.yaml")
	blocks := commandsOf(t, sample)
	if len(blocks) != 3 || !strings.HasPrefix(blocks[0], "bin/dex serve examples/config-ad-kubelogin.yaml") {
		t.Fatalf("the sample shows the commands\n%s", strings.Join(blocks, "\n\n"))
	}
	for name, tc := range map[string]struct {
		commands, authority string
		edits               []string
	}{
		"S1-82 S1-84 a certificate that is its own authority": {blocks[1], "openid-ca.pem", nil},
		"S1-83 S1-84 an edited file, and a certificate of an authority": {blocks[1] + blocks[2], "ca.pem", []string{
			"\n    host: localhost:636\n", "\n    host: ldap.example.com:636\n",
			"\n    bindDN: cn=dex,cn=Users,dc=example,dc=com\n", "\n    bindDN: cn=Administrator,cn=users,dc=example,dc=com\n",
			"\n    bindPW: change-me\n", "\n    bindPW: admin0!\n",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			root := copyExamples(t)
			edit(t, filepath.Join(root, "examples/config-ad-kubelogin.yaml"), tc.edits...)
			makeCertificates(t, root, tc.commands)
			startIn(t, root, "bin/dex", "serve", "examples/config-ad-kubelogin.yaml")
			checkKubelogin(t, filepath.Join(root, tc.authority), address)
		})
	}
	t.Run("S1-81 the request file", func(t *testing.T) {
		for _, line := range []string{
			"[req]", "req_extensions = v3_req", "distinguished_name = req_distinguished_name", "[req_distinguished_name]",
			"[ v3_req ]", "basicConstraints = CA:FALSE", "keyUsage = nonRepudiation, digitalSignature, keyEncipherment",
			"subjectAltName = @alt_names", "[alt_names]", "DNS.1 = dex.example.com",
			`-out openid-ca.pem -keyout openid-key.pem -config req.cnf -subj "/CN=kube-ca" -nodes`,
		} {
			if !strings.Contains(blocks[1], line+"\n") {
				t.Errorf("there is no %s", line)
			}
		}
	})
}

// makeCertificates runs commands in a folder.
func makeCertificates(t *testing.T, dir, commands string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-eu")
	cmd.Dir, cmd.Stdin, cmd.Env = dir, strings.NewReader(commands), cleanEnvironment()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// checkKubelogin uses the sample as kubelogin does, trusting an authority, and checks the form that it opens.
func checkKubelogin(t *testing.T, authority, address string) {
	t.Helper()
	pem, err := os.ReadFile(authority)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s is no certificate", authority)
	}
	v := newVisitor(&http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) { // dex.example.com doesn't resolve
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	})
	const issuer = "https://dex.example.com:32000/dex"
	var discovery *page
	eventually(t, patience, "dex answers", func() bool {
		var err error
		discovery, err = v.get(t.Context(), issuer+"/.well-known/openid-configuration")
		return err == nil
	})
	if discovery.status != http.StatusOK || !strings.Contains(discovery.body, `"issuer":"`+issuer+`"`) &&
		!strings.Contains(discovery.body, `"issuer": "`+issuer+`"`) {
		t.Errorf("discovery: %d %s", discovery.status, discovery.body)
	}
	form, err := v.get(t.Context(), issuer+"/auth?"+url.Values{
		"client_id": {"kubernetes"}, "redirect_uri": {"http://localhost:8000"}, "response_type": {"code"}, "state": {"s"},
		"scope": {"openid email profile groups"}, "nonce": {"n"},
	}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if form.status != http.StatusOK || !strings.Contains(form.body, "Email Address") {
		t.Errorf("the form of the login: %d %s", form.status, form.body)
	}
}
