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
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

// A chartSite is a server that runs with what the chart has rendered, behind nginx in the place of the Ingress.
type chartSite struct {
	*operator
	host string
	idp  *samlProvider

	server  *dex   // by its own address, within the cluster
	inner   string // host and port of its plain listener
	visitor *visitor
	tokens  tokenAnswer
}

// values are the article's, filled in.
func (s *chartSite) values(certificate []byte) string {
	return strings.NewReplacer("DOMAIN", s.host, "SAML-LOGIN-URL", s.idp.ssoURL(),
		"CA-CERTIFICATE", base64.StdEncoding.EncodeToString(certificate)).Replace(articleValues)
}

type ingress struct {
	Spec struct {
		IngressClassName string
		Rules            []struct {
			Host string
			HTTP struct {
				Paths []struct {
					Path, PathType string
					Backend        struct {
						Service struct {
							Name string
							Port struct{ Name string }
						}
					}
				}
			}
		}
	}
}

func (s *chartSite) wantIngress(t *testing.T) {
	t.Helper()
	var want, got ingress
	if err := json.Unmarshal([]byte(`{"Spec": {"IngressClassName": "nginx", "Rules": [{"Host": "sso.example.com", "HTTP": {"Paths": [{
		"Path": "/dex", "PathType": "Prefix", "Backend": {"Service": {"Name": "dex", "Port": {"Name": "http"}}}}]}}]}}`), &want); err != nil {
		t.Fatal(err)
	}
	s.object(t, "ingress", "dex", &got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// start starts the server as the chart's container would, and nginx in front of it.
func (s *chartSite) start(t *testing.T) {
	t.Helper()
	s.inner = freeAddress(t)
	s.launch(t)
	inner := &dex{configuration: &configuration{issuer: "http://" + s.inner}}
	certificate, key, err := s.cluster.Authority.Issue("ingress", s.host)
	if err != nil {
		t.Fatal(err)
	}
	certFile := writeFile(t, s.folder, "ingress.pem", string(certificate))
	keyFile := writeFile(t, s.folder, "ingress.key", string(key))
	locations := s.locations(t)
	plain := startNginx(t, inner, "server { listen LISTEN; server_name "+s.host+"; "+locations+" }")
	secured := startNginx(t, inner, "server { listen LISTEN ssl; server_name "+s.host+"; ssl_certificate "+certFile+
		"; ssl_certificate_key "+keyFile+"; "+locations+" }")

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.cluster.Authority.PEM)
	resolve := map[string]string{s.host + ":80": plain.address, s.host + ":443": secured.address}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if to, ok := resolve[address]; ok {
				address = to
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	s.visitor = newVisitor(transport)
}

// locations are the Ingress's rule as nginx's controller writes it.
func (s *chartSite) locations(t *testing.T) string {
	t.Helper()
	var rule ingress
	s.object(t, "ingress", "dex", &rule)
	path := rule.Spec.Rules[0].HTTP.Paths[0].Path
	pass := " { proxy_pass http://DEX; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; " +
		"proxy_set_header X-Forwarded-Proto $scheme; } "
	return "location = " + path + pass + "location " + path + "/" + pass
}

// launch runs the container's command, with the service account where a pod has it.
func (s *chartSite) launch(t *testing.T) {
	t.Helper()
	var deployment struct {
		Spec struct {
			Template struct {
				Spec struct {
					ServiceAccountName string
					Containers         []struct{ Args []string }
				}
			}
		}
	}
	s.object(t, "deployment", "dex", &deployment)
	var secret struct{ Data map[string][]byte }
	s.object(t, "secret", "dex", &secret)
	config := writeFile(t, s.folder, "config.yaml", string(secret.Data["config.yaml"]))

	pod := deployment.Spec.Template.Spec
	account, err := s.cluster.ServiceAccount(t.Context(), "dex", pod.ServiceAccountName)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--mount", "sh", "-euc", inPod, account, binaries.dex}
	telemetry := freeAddress(t)
	for _, arg := range pod.Containers[0].Args[1:] {
		switch arg {
		case "0.0.0.0:5556":
			arg = s.inner
		case "0.0.0.0:5558":
			arg = telemetry
		case "/etc/dex/config.yaml":
			arg = config
		}
		args = append(args, arg)
	}
	cmd := exec.Command("unshare", args...)
	api, err := url.Parse(s.cluster.URL)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cleanEnvironment(), "KUBERNETES_SERVICE_HOST="+api.Hostname(), "KUBERNETES_SERVICE_PORT="+api.Port())
	transport := newTransport(nil)
	s.server = &dex{
		process: startCommand(t, "dex", cmd), transport: transport,
		configuration: &configuration{issuer: "http://" + s.inner + "/dex", telemetry: "http://" + telemetry},
	}
	t.Cleanup(transport.CloseIdleConnections)
	s.server.waitReady(t)
}

// inPod puts a folder where pods have their service account, in a mount namespace of its own, and becomes the command after it.
const inPod = `
mount -t tmpfs tmpfs /run
mkdir -p /run/secrets/kubernetes.io/serviceaccount
mount --bind "$0" /run/secrets/kubernetes.io/serviceaccount
exec "$@"`

// askAsHelmTest runs what helm test would have a pod run, with the image's configuration for trials.
func (s *chartSite) askAsHelmTest(t *testing.T) {
	t.Helper()
	var pod struct {
		Spec struct {
			Containers []struct{ Args []string }
		}
	}
	if err := yaml.Unmarshal([]byte(s.run(t, "helm get hooks -n dex dex")), &pod); err != nil {
		t.Fatal(err)
	}
	command := strings.NewReplacer("dex.dex.svc:5558", strings.TrimPrefix(s.server.telemetry, "http://"), "/etc/dex/", "deploy/container/").
		Replace(strings.Join(pod.Spec.Containers[0].Args, " "))
	wantContains(t, s.run(t, "DEX_CONFIG_TEMPLATE=true "+command), "is well")
}

func (s *chartSite) get(t *testing.T, address string) *page {
	t.Helper()
	p, err := s.visitor.get(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantKeys looks for what the server has written with its account's rights.
func (s *chartSite) wantKeys(t *testing.T) {
	t.Helper()
	wantContains(t, s.run(t, "kubectl --namespace dex get signingkeies --output name"), "openid-connect-keys")
	for _, verb := range []string{"deletecollection authcodes.dex.coreos.com", "get secrets", "list customresourcedefinitions", "get devicerequests.dex.coreos.com"} {
		if out, err := s.try(t, "kubectl auth can-i --namespace dex --as system:serviceaccount:dex:dex "+verb); err == nil {
			t.Errorf("the account may %s: %s", verb, out)
		}
	}
}

func (s *chartSite) wantDiscovery(t *testing.T) {
	t.Helper()
	for _, scheme := range []string{"http", "https"} {
		p := s.get(t, scheme+"://"+s.host+"/dex/.well-known/openid-configuration")
		var metadata map[string]any
		if err := json.Unmarshal([]byte(p.body), &metadata); err != nil {
			t.Fatalf("%v\n%s", err, p.body)
		}
		if metadata["issuer"] != "https://"+s.host+"/dex" {
			t.Errorf("over %s the issuer is %v", scheme, metadata["issuer"])
		}
		for name, value := range metadata {
			if address, ok := value.(string); ok && !strings.HasPrefix(address, "https://"+s.host+"/dex") {
				t.Errorf("%s is %s", name, address)
			}
		}
	}
}

func (s *chartSite) authURL() string {
	return "https://" + s.host + "/dex/auth?" + url.Values{
		"client_id": {"DEX-CLIENT-ID"}, "redirect_uri": {"https://" + s.host + "/oauth2/callback"},
		"response_type": {"code"}, "scope": {"openid profile email offline_access"}, "state": {"some state"},
	}.Encode()
}

// pageLink matches what a page loads, links to or posts to.
var pageLink = regexp.MustCompile(`\s(?:href|src|action)="([^"]+)"`)

func (s *chartSite) wantLinks(t *testing.T) {
	t.Helper()
	p := s.get(t, s.authURL())
	wantContains(t, p.body, "Example SAML connection", "Example Azure AD OIDC connection")
	links := pageLink.FindAllStringSubmatch(p.body, -1)
	if len(links) < 4 {
		t.Fatalf("a page with %d links:\n%s", len(links), p.body)
	}
	for _, link := range links {
		target, err := p.url.Parse(strings.ReplaceAll(link[1], "&amp;", "&"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(target.String(), "https://"+s.host+"/dex/") {
			t.Errorf("a link leads to %s", target)
			continue
		}
		if strings.Contains(target.Path, "/static/") || strings.Contains(target.Path, "/theme/") {
			if asset := s.get(t, target.String()); asset.status != http.StatusOK {
				t.Errorf("%s: %d", target, asset.status)
			}
		}
	}
}

// signIn signs in through the identity provider, and gets tokens.
func (s *chartSite) signIn(t *testing.T) {
	t.Helper()
	s.idp.knows("https://"+s.host+"/dex/callback", s.server.endpoint("/saml/saml/metadata"))
	p := s.get(t, strings.Replace(s.authURL(), "/auth?", "/auth/saml?", 1))
	for range 4 { // the request, the response, and the response from our own site
		action, fields, ok := formOf(p)
		if !ok || strings.HasSuffix(p.url.Path, "/approval") {
			break
		}
		var err error
		if p, err = s.visitor.post(t.Context(), action, fields); err != nil {
			t.Fatal(err)
		}
	}
	end, err := s.visitor.answerConsent(t.Context(), p, "approve")
	if err != nil {
		t.Fatal(err)
	}
	if end.url.Host != s.host || end.url.Path != "/oauth2/callback" || end.url.Query().Get("state") != "some state" {
		t.Fatalf("the login ends with %d at %s\n%s", end.status, end.url, end.body)
	}
	s.token(t, url.Values{
		"grant_type": {"authorization_code"}, "code": {end.url.Query().Get("code")}, "redirect_uri": {"https://" + s.host + "/oauth2/callback"},
	})
}

func (s *chartSite) refresh(t *testing.T) {
	t.Helper()
	s.token(t, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {s.tokens.RefreshToken}})
}

func (s *chartSite) token(t *testing.T, form url.Values) {
	t.Helper()
	form.Set("client_id", "DEX-CLIENT-ID")
	form.Set("client_secret", "DEX-CLIENT-SECRET")
	p, err := s.visitor.post(t.Context(), "https://"+s.host+"/dex/token", form)
	if err != nil {
		t.Fatal(err)
	}
	s.tokens = tokenAnswer{}
	if err := json.Unmarshal([]byte(p.body), &s.tokens); err != nil || s.tokens.IDToken == "" || s.tokens.RefreshToken == "" {
		t.Fatalf("%v: %d %s", err, p.status, p.body)
	}
}

// restart replaces the server as an upgrade replaces its pod.
func (s *chartSite) restart(t *testing.T) {
	t.Helper()
	s.server.stop(t)
	s.launch(t)
}
