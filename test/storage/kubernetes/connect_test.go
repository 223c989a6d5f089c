package kubernetes_test

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dex/internal/kubeapi"
	"dex/internal/store"
	"dex/internal/store/kubernetes"
	"dex/test/servers"
)

// pod returns the folder of the service account as a pod would have it, and sets a pod's environment.
func pod(t *testing.T, n servers.KubernetesNamespace) (folder string) {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", u.Hostname())
	t.Setenv("KUBERNETES_SERVICE_PORT", u.Port())
	t.Setenv("KUBERNETES_POD_NAMESPACE", "")
	folder, err = server.ServiceAccount(t.Context(), n.Namespace, n.Account)
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestInCluster runs as in a pod, and continues after the cluster has replaced the token.
func TestInCluster(t *testing.T) {
	t.Run("S0-09 in the cluster, with a token that is renewed", testInCluster)
}

func testInCluster(t *testing.T) {
	n := fresh(t)
	folder := pod(t, n)
	token, err := server.SecretToken(t.Context(), n, "pod")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Project(folder, n.Namespace, token); err != nil {
		t.Fatal(err)
	}
	s := open(t, kubernetes.Config{InCluster: true}, quiet, kubeapi.ServiceAccount(folder))
	create(t, s, "login", "a", 1)
	if got := names(t, n, "authrequests"); len(got) != 1 {
		t.Errorf("the namespace has the objects %q", got)
	}
	changes := watch(t, s)

	if err := server.EndToken(t.Context(), n, "pod"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(t.Context(), "login", "a")
	wantRefusal(t, "Get with a token that has ended", err)
	if err != nil && strings.Contains(err.Error(), token) {
		t.Errorf("the error tells the token: %v", err)
	}
	if err := server.Project(folder, n.Namespace, n.Token+"\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "login", "a"); err != nil {
		t.Errorf("Get with the new token: %v", err)
	}
	create(t, s, "login", "b", 1)
	post(t, n, "oauth2clients", "OAuth2Client", exampleApp, object{"id": "example-app"})
	wantChange(t, "with the new token", changes, "client", "example-app")
}

// TestNotInCluster checks the error for inCluster outside of a cluster.
func TestNotInCluster(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	wantOpenError(t, kubernetes.Config{InCluster: true}, "KUBERNETES_SERVICE_HOST")
	wantOpenError(t, kubernetes.Config{}, "must specify either")
	wantOpenError(t, kubernetes.Config{KubeConfigFile: filepath.Join(t.TempDir(), "none")}, "none: no such file")
	t.Setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	wantOpenError(t, kubernetes.Config{InCluster: true}, "/var/run/secrets/kubernetes.io/serviceaccount/token")
}

func wantOpenError(t *testing.T, c kubernetes.Config, want string) {
	t.Helper()
	s, err := kubernetes.Open(t.Context(), c, quiet)
	if err == nil {
		_ = s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Open with %+v: got error %v, want one with %q", c, err, want)
	}
}

// TestCredentials authenticates with each kind of credentials that a kubeconfig may have.
func TestCredentials(t *testing.T) {
	n := fresh(t)
	certificate, key, err := server.Authority.Issue(n.User)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, content := range map[string][]byte{"c.pem": certificate, "k.pem": key, "token": []byte(n.Token)} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, user := range map[string]object{
		"Token":           {"token": n.Token},
		"TokenFile":       {"tokenFile": filepath.Join(folder, "token")},
		"CertificateFile": {"client-certificate": filepath.Join(folder, "c.pem"), "client-key": filepath.Join(folder, "k.pem")},
		"CertificateData": {"client-certificate-data": certificate, "client-key-data": key},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := server.WriteKubeConfig(n.Namespace, user)
			if err != nil {
				t.Fatal(err)
			}
			s := open(t, kubernetes.Config{KubeConfigFile: file}, quiet)
			create(t, s, "login", name, 1)
		})
	}
	for name, c := range map[string]struct {
		user   object
		status string
	}{"nobody": {object{}, "403"}, "a stranger": {object{"token": "wrong"}, "401"}} {
		file, err := server.WriteKubeConfig(n.Namespace, c.user)
		if err != nil {
			t.Fatal(err)
		}
		s, err := kubernetes.Open(t.Context(), kubernetes.Config{KubeConfigFile: file}, quiet)
		if err == nil {
			t.Errorf("%s was let in", name)
			_ = s.Close()
			continue
		}
		if !strings.Contains(err.Error(), server.URL) || !strings.Contains(err.Error(), c.status) || strings.Contains(err.Error(), "wrong") {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	file, err := server.WriteKubeConfig("another", object{"token": n.Token})
	if err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, kubernetes.Config{KubeConfigFile: file}, `in the namespace "another"`)
}

// TestPassword authenticates at a proxy: API servers themselves take no passwords any more.
func TestPassword(t *testing.T) {
	n := fresh(t)
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(server.Authority.PEM)
	way := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer way.CloseIdleConnections()
	proxy := &httputil.ReverseProxy{Transport: way, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Header.Set("Authorization", "Bearer "+n.Token)
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "somebody" || password != "pass:word" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	defer front.Close()
	file := filepath.Join(t.TempDir(), "config")
	text := `{contexts: [{name: a, context: {cluster: a, user: a, namespace: "` + n.Namespace + `"}}], ` +
		`clusters: [{name: a, cluster: {server: "` + front.URL + `"}}], ` +
		`users: [{name: a, user: {username: somebody, password: "pass:word"}}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := kubernetes.Open(t.Context(), kubernetes.Config{KubeConfigFile: file}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	create(t, s, "login", "a", 1)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestNobodyThere checks the error if no server is listening.
func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config")
	text := `{contexts: [{name: a, context: {cluster: a}}], clusters: [{name: a, cluster: {server: "https://` + address + `"}}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	wantOpenError(t, kubernetes.Config{KubeConfigFile: file}, "https://"+address)
	wantOpenError(t, kubernetes.Config{KubeConfigFile: file}, "connection refused")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to say so", took)
	}
}

// TestDefinitions starts with a cluster without definitions. No other test may run meanwhile.
func TestDefinitions(t *testing.T) {
	old := open(t, config(fresh(t)), quiet)
	create(t, old, "login", "a", 1)
	n := fresh(t)
	undefine(t)
	_, err := old.Get(t.Context(), "login", "a")
	wantRefusal(t, "Get without the definition", err)
	_, err = old.List(t.Context(), "client", store.Query{})
	wantRefusal(t, "List without the definition", err)

	check := config(n)
	check.CRDHandling = kubernetes.CRDCheck
	wantOpenError(t, check, "authcodes.dex.coreos.com, authrequests.dex.coreos.com, oauth2clients.dex.coreos.com")

	wantOpenError(t, config(n), "connectors.dex.coreos.com")
	wantOpenError(t, config(n), "allow the verb create for customresourcedefinitions")

	if err := server.AllowDefinitions(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	logged := &lockedBuffer{}
	s := open(t, config(n), slog.New(slog.NewTextHandler(logged, nil)))
	create(t, s, "login", "a", 1)
	if created := strings.Count(logged.String(), "custom resource definition created"); created != 8 {
		t.Errorf("%d definitions were created, want 8: %s", created, logged)
	}
	open(t, check, quiet)

	undefine(t)
	done := make(chan error)
	for range 3 { // replicas that start together
		go func() {
			s, err := kubernetes.Open(t.Context(), config(n), quiet)
			if err == nil {
				err = s.Close()
			}
			done <- err
		}()
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Errorf("Open beside others: %v", err)
		}
	}
}
