package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"dex/internal/faulttest"
)

// A proxy is nginx in front of a server.
type proxy struct {
	*process
	address string
}

// startNginx starts nginx with a server block. LISTEN and DEX in it are replaced by addresses.
func startNginx(t *testing.T, d *dex, block string) *proxy {
	t.Helper()
	address := freeAddress(t)
	inner, err := url.Parse(d.issuer)
	if err != nil {
		t.Fatal(err)
	}
	return runNginx(t, address, strings.NewReplacer("LISTEN", address, "DEX", inner.Host).Replace(block))
}

// runNginx starts nginx with a server block that listens at an address.
func runNginx(t *testing.T, address, block string) *proxy {
	t.Helper()
	dir := t.TempDir()
	var folders strings.Builder // nginx's default ones are for root only
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&folders, "%s_temp_path %s;\n", kind, filepath.Join(dir, kind))
	}
	settings := writeFile(t, dir, "nginx.conf", fmt.Sprintf(
		"daemon off;\nmaster_process off;\npid %s;\nerror_log stderr info;\nevents {}\nhttp {\naccess_log off;\n%s%s\n}\n",
		filepath.Join(dir, "pid"), &folders, block))
	p := &proxy{startProcess(t, "nginx", "/usr/sbin/nginx", "-e", "stderr", "-p", dir, "-c", settings), address}
	eventually(t, patience, "nginx listens", func() bool {
		if !p.running() {
			t.Fatalf("nginx ended at start:\n%s", p.log)
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
	return p
}

// documentedProxy returns the server block of docs/proxies.md, without TLS.
func documentedProxy(t *testing.T) string {
	t.Helper()
	guide, err := os.ReadFile(filepath.Join("..", "docs", "proxies.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(guide), "```nginx\n")
	block, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatal("docs/proxies.md has no example for nginx")
	}
	for was, is := range map[string]string{"443 ssl": "LISTEN", "127.0.0.1:5556": "DEX"} {
		if !strings.Contains(block, was) {
			t.Fatalf("the example for nginx has no %s", was)
		}
		block = strings.Replace(block, was, is, 1)
	}
	return block
}

// signInThrough signs in with a password through the proxy, and returns the answer to the application.
func (p *proxy) signInThrough(t *testing.T, d *dex, state string) url.Values {
	t.Helper()
	address := strings.Replace(d.authURL("/auth", url.Values{"connector_id": {"local"}, "state": {state}}),
		strings.TrimPrefix(d.issuer, "http://"), p.address+"/dex", 1)
	transport := newTransport(nil)
	t.Cleanup(transport.CloseIdleConnections)
	answer, err := newVisitor(transport).signIn(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// A state of 2.4 kB made an answer too large for nginx's default buffers.
var _ = faulttest.Add("N6", func(t *testing.T) {
	d := startDex(t, newConfiguration(t))
	long := func(length int) string {
		b := make([]byte, length*3/4)
		_, _ = rand.Read(b) // never fails
		return base64.RawURLEncoding.EncodeToString(b)
	}
	for name, test := range map[string]struct {
		block string
		state string
	}{
		"by default":    {"server { listen LISTEN; location / { proxy_pass http://DEX; } }", long(2400)},
		"as documented": {documentedProxy(t), long(6000)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := startNginx(t, d, test.block).signInThrough(t, d, test.state).Get("state"); got != test.state {
				t.Errorf("the state comes back as %q", got)
			}
		})
	}
})

// If nginx passed on the host without its port, and browsers used an address other than the issuer's, no form was accepted
// over plain HTTP.
var _ = faulttest.Add("P19", func(t *testing.T) {
	const host = "dex.outside.test" // unlike 127.0.0.1, browsers don't trust it, and don't say where forms come from
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `<!DOCTYPE html><link rel="icon" href="data:,"><p id="arrived">Welcome</p>`)
	}))
	t.Cleanup(application.Close)
	c := newConfiguration(t).with("staticClients", []section{
		{"id": clientID, "name": "Example App", "secret": clientSecret, "redirectURIs": []string{application.URL}},
	})
	d := startDex(t, c)
	for name, header := range map[string]string{
		"$host": "Host $host", "$proxy_host": "X-Forwarded-Host $host", "$http_host": "Host $http_host",
	} {
		t.Run(name, func(t *testing.T) {
			p := startNginx(t, d, "server { listen LISTEN; location / { proxy_pass http://DEX; proxy_set_header "+header+"; } }")
			_, port, err := net.SplitHostPort(p.address)
			if err != nil {
				t.Fatal(err)
			}
			b := newBrowser(t, chromedp.Flag("host-resolver-rules", "MAP "+host+" 127.0.0.1"))
			request := c.authURL("/auth", url.Values{"connector_id": {"local"}, "redirect_uri": {application.URL}})
			b.open(strings.Replace(request, strings.TrimPrefix(d.issuer, "http://"), net.JoinHostPort(host, port)+"/dex", 1))
			b.enterPassword(adminEmail, adminPassword, approveButton)
			b.click(approveButton, "#arrived")
		})
	}

	t.Run("another site", func(t *testing.T) {
		p := startNginx(t, d, "server { listen LISTEN; location / { proxy_pass http://DEX; proxy_set_header Host $host; } }")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.address+"/dex/device/auth/verify_code",
			strings.NewReader("user_code=BBBB-BBBB"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://evil.test:8080")
		page, err := newVisitor(newTransport(nil)).visit(r)
		if err != nil || page.status != http.StatusForbidden {
			t.Errorf("%v, %v", page, err)
		}
	})
})
