package e2e

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"go.yaml.in/yaml/v4"
)

// article is the manifest of the users' article.
const article = `
apiVersion: apps/v1
kind: Deployment
metadata:
  labels: {k8s-app: oauth2-proxy}
  name: oauth2-proxy
  namespace: oauth2-proxy-ns
spec:
  replicas: 1
  selector:
    matchLabels: {k8s-app: oauth2-proxy}
  template:
    metadata:
      labels: {k8s-app: oauth2-proxy}
    spec:
      containers:
      - name: oauth2-proxy
        image: quay.io/oauth2-proxy/oauth2-proxy:latest
        imagePullPolicy: Always
        args:
        - --provider=oidc
        - --oidc-issuer-url=http://<your-domain>/dex
        - --scope=openid profile email
        - --email-domain=*
        - --upstream=static://200
        - --http-address=0.0.0.0:4180
        env:
        - {name: OAUTH2_PROXY_CLIENT_ID, value: <dex-client-id>}
        - {name: OAUTH2_PROXY_CLIENT_SECRET, value: <dex-client-secret>}
        - {name: OAUTH2_PROXY_COOKIE_SECRET, value: "bVbMfxlt8Wmq4E1OYTICqS_AZHTeVDUEdFP5LGbY05c"}
        ports:
        - {containerPort: 4180, protocol: TCP}
        resources:
          limits: {cpu: 100m, memory: 128Mi}
          requests: {cpu: 100m, memory: 128Mi}
`

// guideBlocks returns the blocks of a language in the guide.
func guideBlocks(t *testing.T, language string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "docs", "oauth2-proxy.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, found[1])
	}
	return blocks
}

// guideDeployment returns the guide's Deployment and Service.
func guideDeployment(t *testing.T) string {
	t.Helper()
	for _, block := range guideBlocks(t, "yaml") {
		if strings.Contains(block, "kind: Deployment") {
			return block
		}
	}
	t.Fatal("the guide has no Deployment")
	return ""
}

// argsOf returns the arguments of a Deployment's container, the first object of a manifest.
func argsOf(t *testing.T, manifest string) []string {
	t.Helper()
	var deployment struct {
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct{ Args []string }
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(strings.Split(manifest, "\n---\n")[0]), &deployment); err != nil {
		t.Fatal(err)
	}
	return deployment.Spec.Template.Spec.Containers[0].Args
}

// An ingressSite is the guide's: nginx with TLS, and behind it Dex, oauth2-proxy and an application, all on one host.
type ingressSite struct {
	ca      *authority
	address string // of nginx
	url     string
	proxy   string // address of oauth2-proxy, which isn't started yet
	dex     *dex
}

// startIngressSite starts everything but oauth2-proxy. The user is in some groups. The guide's configuration of nginx may be
// changed.
func startIngressSite(t *testing.T, groups []string, change func(string) string) *ingressSite {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `<!DOCTYPE html><link rel="icon" href="data:,"><p id="page">%s</p><p id="email">%s</p><p id="groups">%s</p>`,
			html.EscapeString(r.RequestURI), html.EscapeString(r.Header.Get("X-Auth-Request-Email")),
			html.EscapeString(r.Header.Get("X-Auth-Request-Groups")))
	}))
	t.Cleanup(app.Close)
	s := &ingressSite{ca: newAuthority(t), address: freeAddress(t), proxy: freeAddress(t)}
	s.url = "https://" + s.address
	c := newConfiguration(t).withoutConsent()
	inner := strings.TrimSuffix(strings.TrimPrefix(c.issuer, "http://"), "/dex")
	c.withIssuer(s.url + "/dex")
	c.with("staticClients", []section{{
		"id": proxyClientID, "name": "Oauth2 Proxy Static Client", "secret": proxyClientSecret,
		"redirectURIs": []string{s.url + "/oauth2/callback"},
	}})
	c.root["staticPasswords"].([]section)[0]["groups"] = groups
	blocks := guideBlocks(t, "nginx")
	if len(blocks) != 1 {
		t.Fatalf("the guide has %d blocks for nginx", len(blocks))
	}
	dir := t.TempDir()
	cert, key := s.ca.issue(t, 2)
	runNginx(t, s.address, change(replaceAll(t, blocks[0], map[string]string{
		"listen 443 ssl": "listen " + s.address + " ssl", "/etc/nginx/tls.crt": writeFile(t, dir, "tls.crt", cert),
		"/etc/nginx/tls.key": writeFile(t, dir, "tls.key", key), "127.0.0.1:4180": s.proxy, "127.0.0.1:5556": inner,
		"127.0.0.1:8080": strings.TrimPrefix(app.URL, "http://"),
	})))
	s.dex = startServer(t, binaries.dex, c, s.ca.pool())
	return s
}

func asPrinted(text string) string { return text }

// replaceAll replaces what must be in a text.
func replaceAll(t *testing.T, text string, replacements map[string]string) string {
	t.Helper()
	var pairs []string
	for was, is := range replacements {
		if !strings.Contains(text, was) {
			t.Fatalf("there is no %q in\n%s", was, text)
		}
		pairs = append(pairs, was, is)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// startProxy starts oauth2-proxy with a manifest's arguments, after some replacements. It trusts the site's authority.
func (s *ingressSite) startProxy(t *testing.T, manifest string, replacements map[string]string, more ...string) *authProxy {
	t.Helper()
	args := strings.Split(replaceAll(t, strings.Join(argsOf(t, manifest), "\n"), replacements), "\n")
	p := runAuthProxy(t, "http://"+s.proxy, append(args, more...), "SSL_CERT_FILE="+writeFile(t, t.TempDir(), "ca.pem", s.ca.pem()))
	p.waitReady(t)
	return p
}

// startGuideProxy starts oauth2-proxy as in the guide.
func (s *ingressSite) startGuideProxy(t *testing.T, more ...string) *authProxy {
	t.Helper()
	return s.startProxy(t, guideDeployment(t), map[string]string{
		"https://dex.example.com": s.url, "https://app.example.com": s.url, "0.0.0.0:4180": s.proxy, "10.0.0.0/8": "127.0.0.1",
	}, more...)
}

// visit goes to a page of the application in a new browser, and logs in with a password after choosing to.
func (s *ingressSite) visit(t *testing.T, page, then string) *tab {
	t.Helper()
	b := newBrowser(t, chromedp.Flag("ignore-certificate-errors", true))
	b.open(s.url + page)
	b.see(loginChoice)
	b.follow("Log in with Email", passwordForm)
	b.enterPassword(adminEmail, adminPassword, then)
	return b
}

// TestOAuth2ProxyBehindNginx follows the article and the guide in a browser, through a real nginx.
func TestOAuth2ProxyBehindNginx(t *testing.T) {
	t.Parallel()
	t.Run("S0-22: the article's deployment in a browser", func(t *testing.T) {
		t.Parallel()
		s := startIngressSite(t, []string{"team-a", "team-a/admins"}, asPrinted)
		// Printed with http, which oauth2-proxy would refuse: see S0-20.
		s.startProxy(t, article, map[string]string{"http://<your-domain>": s.url, "0.0.0.0:4180": s.proxy})
		b := s.visit(t, "/report", approveButton)
		b.wantText("main", "Oauth2 Proxy Static Client")
		b.click(approveButton, "#page")
		b.open(s.url + "/report")
		b.wantText("#page", "/report")
		b.open(s.url + "/oauth2/userinfo")
		b.wantText("body", `"email":"`+adminEmail+`"`)
		if status := evaluate[int](b, `(() => {
			const request = new XMLHttpRequest();
			request.open("GET", "/oauth2/auth", false);
			request.send();
			return request.status;
		})()`); status != http.StatusAccepted {
			t.Errorf("/oauth2/auth answers %d", status)
		}
	})
	t.Run("the guide", func(t *testing.T) {
		t.Parallel()
		s := startIngressSite(t, []string{"team-a", "team-a/admins"}, asPrinted)
		s.startGuideProxy(t)
		const page = "/report?week=4&of=a%26b"
		b := s.visit(t, page, "#page") // without the consent page
		b.wantText("#page", page)
		b.wantText("#email", adminEmail)
		b.wantText("#groups", "team-a,team-a/admins")
		b.open(s.url + "/oauth2/sign_out?rd=/report")
		b.see(loginChoice)
	})
}
