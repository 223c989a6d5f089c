package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"go.yaml.in/yaml/v4"
)

// TestOAuth2ProxyOneClick follows the guide to one sign-in and one sign-out for two applications, each behind an oauth2-proxy, with the
// guide's clients, flags and link, and a browser.
func TestOAuth2ProxyOneClick(t *testing.T) {
	t.Parallel()
	s := startOneClickSite(t)
	b := newBrowser(t, chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("host-resolver-rules", s.names.browserRules()))
	const app, wiki, inside = "https://app.example.com/", "https://wiki.example.com/", "Authenticated"

	b.open(app)
	b.enterPassword(adminEmail, adminPassword, approveButton)
	b.click(approveButton, "body")
	b.wantText("body", inside)
	b.open(wiki) // nobody asks for the password; for consent once
	b.click(approveButton, "body")
	b.wantText("body", inside)

	b.open(s.signOut)
	b.see(passwordForm) // the application has asked for a new login
	b.open(wiki)
	b.see(passwordForm)

	b.open(app)
	b.enterPassword(adminEmail, adminPassword, "body")
	b.wantText("body", inside)
	b.open(wiki)
	b.wantText("body", inside)
}

// A oneClickSite is a Dex and two oauth2-proxies at the guide's names.
type oneClickSite struct {
	names   *names
	signOut string // the guide's link
}

func startOneClickSite(t *testing.T) *oneClickSite {
	t.Helper()
	s := &oneClickSite{names: newNames(t)}
	ca := newAuthority(t)
	dir := t.TempDir()
	certificate, key := ca.issueTo(t, 2, func(c *x509.Certificate) {
		c.DNSNames = []string{"dex.example.com", "app.example.com", "wiki.example.com"}
	})
	certificate, key = writeFile(t, dir, "tls.crt", certificate), writeFile(t, dir, "tls.key", key)

	c := newConfiguration(t)
	guide := oneClickGuide(t)
	for name, value := range guide.clients {
		c.with(name, value)
	}
	delete(c.root, "connectors")
	address := freeAddress(t)
	c.with("web", section{"https": address, "tlsCert": certificate, "tlsKey": key}).withIssuer(guide.clients["issuer"].(string))
	s.names.is("dex.example.com:443", address)
	transport := newTransport(ca.pool())
	transport.DialContext = s.names.dial
	d := &dex{process: startProcess(t, "dex", binaries.dex, "serve", c.write(t)), configuration: c, transport: transport}
	t.Cleanup(transport.CloseIdleConnections)
	d.waitReady(t)

	for _, name := range []string{"app", "wiki"} {
		address, host := freeAddress(t), name+".example.com"
		s.names.is(host+":443", address)
		args := slices.Concat([]string{
			"--provider=oidc", "--oidc-issuer-url=" + c.issuer, "--provider-ca-file=" + writeFile(t, dir, name+".pem", ca.pem()),
			"--redirect-url=https://" + host + "/oauth2/callback", "--email-domain=*", "--upstream=static://200",
			"--https-address=" + address, "--tls-cert-file=" + certificate, "--tls-key-file=" + key, "--http-address=" + freeAddress(t),
		}, guide.flags)
		cmd := exec.Command(oauth2ProxyProgram(t), args...)
		cmd.Env = append(cleanEnvironment(), "OAUTH2_PROXY_CLIENT_ID="+name+"-proxy", "OAUTH2_PROXY_CLIENT_SECRET="+proxyClientSecret,
			"OAUTH2_PROXY_COOKIE_SECRET="+proxyCookieSecret)
		cmd.Env = append(cmd.Env, s.names.environment()...)
		p := startCommand(t, "oauth2-proxy", cmd)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12}}}
		eventually(t, patience, "oauth2-proxy answers", func() bool {
			if !p.running() {
				t.Fatalf("oauth2-proxy ended at start:\n%s", p.log)
			}
			resp, err := client.Get("https://" + address + "/ping")
			if err != nil {
				return false
			}
			_ = resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		})
	}
	s.signOut = guide.signOut
	return s
}

// oneClick is what the guide says of one click.
type oneClick struct {
	clients section // of Dex's configuration
	flags   []string
	signOut string
}

func oneClickGuide(t *testing.T) (g oneClick) {
	t.Helper()
	for _, block := range guideBlocks(t, "yaml") {
		if !strings.Contains(block, "app-proxy") {
			continue
		}
		for _, variable := range []string{"secretEnv: APP_PROXY_SECRET", "secretEnv: WIKI_PROXY_SECRET"} {
			block = strings.ReplaceAll(block, variable, "secret: '"+proxyClientSecret+"'")
		}
		if err := yaml.Unmarshal([]byte(block), &g.clients); err != nil {
			t.Fatal(err)
		}
	}
	for _, block := range guideBlocks(t, "flags") {
		g.flags = strings.Split(strings.TrimSpace(block), "\n")
	}
	for _, block := range guideBlocks(t, "link") {
		g.signOut = strings.TrimSpace(block)
	}
	if g.clients == nil || g.flags == nil || g.signOut == "" {
		t.Fatalf("the guide is not whole: %+v", g)
	}
	return g
}
